//! What becomes history: when a session begins and ends, and what its agent says that is other than before.
//!
//! "Before" is what was noted last in this session, as a hash: the record of the fleet lags behind and leaves out what
//! decides nothing. Where nothing was noted yet, the record is asked, so that an agent that comes back and says
//! everything again says nothing new.
//!
//! Everything is noted under the fence of a session. What an agent says while its claim is on its way is kept, the
//! newest of each kind, and noted when the claim is granted: after the beginning of the session, with the time at which
//! it was said. It goes unnoted with the reports that the fleet never hears (`Room::unsay`); the agent is asked for
//! everything then, and what it says is compared with the record again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;

use ampora_proto::session::Report;
use ampora_proto::wire;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::proposal::Retention;
use ampora_raft::records::{
    AgentRecord, AgentUpdate, ConfigReport, ConfigStatus, Description, PackageAggregate,
    ReleaseReason,
};
use ampora_storage::history::event::EventKind;
use prost::Message;

use super::agent::{Agent, State};
use super::convert::Encoded;
use super::room::Room;
use crate::history::queue::{Kept, Note};
use crate::history::said::{Ended, Said};
use crate::telemetry::history::Dropped;

/// Kinds of events that are words of the agent: the sum of what is kept for one.
const KINDS: usize = 5;

/// What history has heard of an agent last.
#[derive(Debug, Default)]
pub struct Words {
    /// By [`place`]; `None` where the record is to be asked.
    said: [Option<NonZeroU64>; KINDS],
    /// Said without a session; nearly always none.
    #[expect(
        clippy::box_collection,
        reason = "eight bytes of an idle agent, not twenty-four"
    )]
    kept: Option<Box<Vec<KeptWord>>>,
}

#[derive(Debug)]
struct KeptWord {
    word: Word,
    at_ms: u64,
    said: Said,
    /// Its room.
    _kept: Kept,
}

/// Something that an agent said, in hashes.
#[derive(Clone, Copy, Debug)]
struct Word {
    kind: EventKind,
    /// Of all of it that is not time or progress.
    full: NonZeroU64,
    /// Of as much of it as a record holds.
    brief: u64,
}

impl Words {
    /// The next words are compared with the record, and what was kept is not noted.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The next words are compared with the record.
    pub fn forget_said(&mut self) {
        self.said = Default::default();
    }

    /// Whether it is other than before; it is what comes before the next.
    fn is_news(&mut self, word: Word, record: Option<&AgentRecord>) -> bool {
        let Some(before) = place(word.kind).and_then(|place| self.said.get_mut(place)) else {
            return true;
        };
        match before.replace(word.full) {
            Some(before) => before != word.full,
            None => record.is_none_or(|record| brief_of(record, word.kind) != word.brief),
        }
    }

    /// Whether these words were the last of their kind already.
    fn is_repeated(&self, word: Word) -> bool {
        let kept = self.kept.iter().flat_map(|kept| kept.iter());
        let kept = kept.map(|kept| kept.word);
        let before = kept.rev().find(|kept| kept.kind == word.kind);
        let said = || self.said.get(place(word.kind)?).copied().flatten();
        before.map(|before| before.full).or_else(said) == Some(word.full)
    }

    /// Keeps words until it is known what session they belong to.
    fn keep(&mut self, word: KeptWord) {
        let kept = self.kept.get_or_insert_default();
        let before = kept.len();
        kept.retain(|kept| kept.word.kind != word.word.kind);
        if kept.len() < before {
            Dropped::Collapsed.count(1);
        }
        kept.push(word);
    }
}

/// The place of a kind among the words of an agent.
fn place(kind: EventKind) -> Option<usize> {
    match kind {
        EventKind::Connected | EventKind::Disconnected => None,
        EventKind::Health => Some(0),
        EventKind::Description => Some(1),
        EventKind::ConfigStatus => Some(2),
        EventKind::EffectiveConfig => Some(3),
        EventKind::Packages => Some(4),
    }
}

impl Room {
    /// A claim was granted to a live connection.
    pub(super) fn began(
        &self,
        uid: InstanceUid,
        state: &mut State,
        fence: Fence,
        record: Option<&AgentRecord>,
    ) {
        let transport = state.transport;
        let at_ms = self.clock.wall_ms();
        self.note(uid, fence, at_ms, Said::Connected { transport });
        let kept = state.words.kept.take();
        for kept in kept.into_iter().flat_map(|kept| *kept) {
            if state.words.is_news(kept.word, record) {
                self.note(uid, fence, kept.at_ms, kept.said);
            }
        }
    }

    /// A session is over. Whoever has the next one may have said newer things by then.
    pub(super) fn ended(&self, uid: InstanceUid, state: &mut State, fence: Fence, why: Ended) {
        state.words.forget();
        self.note(uid, fence, self.clock.wall_ms(), Said::Disconnected(why));
    }

    /// Owners of sessions died, and their agents have not come back: whoever had the fleet note that says it. `before`
    /// is the fleet before `given` was applied. Nothing is said of agents that came back meanwhile.
    pub fn owners_died(&self, before: &Fleet, given: &Retention) {
        let Retention::ForgetAgents { agents, .. } = given else {
            return;
        };
        let view = self.consensus.view();
        let at_ms = self.clock.wall_ms();
        for uid in agents {
            let session = before.agent(*uid).and_then(|record| record.session);
            let ended = view
                .fleet
                .agent(*uid)
                .filter(|record| record.session.is_none());
            let released = ended.and_then(|record| record.released);
            let died = released.is_some_and(|released| released.reason == ReleaseReason::OwnerDied);
            if let Some(session) = session.filter(|_| died) {
                let why = Ended::OwnerDied(session.node);
                self.note(*uid, session.fence, at_ms, Said::Disconnected(why));
            }
        }
    }

    fn note(&self, agent: InstanceUid, fence: Fence, at_ms: u64, said: Said) {
        self.history.note(Note {
            at_ms,
            agent,
            fence,
            said,
        });
    }
}

/// Notes what of a report is other than before. `update` and `encoded` are what was made of the report.
pub(super) fn said(
    room: &Room,
    agent: &Agent,
    report: &Report,
    update: &AgentUpdate,
    encoded: Encoded,
) {
    let view = room.consensus.view();
    let record = view.fleet.agent(agent.uid).map(|record| &**record);
    let at_ms = room.clock.wall_ms();
    agent.with(|state| {
        let capabilities = state.session.capabilities();
        let mut hear = |word: Word, said: &dyn Fn() -> Said| {
            if let Some(fence) = state.fence {
                if state.words.is_news(word, record) {
                    room.note(agent.uid, fence, at_ms, said());
                }
            } else if state.connected && !state.words.is_repeated(word) {
                let said = said();
                if let Some(kept) = room.history.keep(&said) {
                    state.words.keep(KeptWord {
                        word,
                        at_ms,
                        said,
                        _kept: kept,
                    });
                }
            }
        };
        described(report, update, record, capabilities, &mut hear);
        if let (Some(tree), Some(body)) = (&report.health, &encoded.health) {
            let brief = update.health.as_ref().map(|health| {
                let texts = (&*health.status, &*health.last_error);
                hash(&(health.healthy, texts))
            });
            let word = Word::new(EventKind::Health, health(tree), brief.unwrap_or(0));
            hear(word, &|| Said::Health(body.clone()));
        }
        if let (Some(status), Some(config)) = (&report.remote_config_status, &update.config) {
            let full = hash(&(
                &status.last_remote_config_hash[..],
                status.status,
                &status.error_message,
            ));
            let word = Word::new(EventKind::ConfigStatus, full, reported(config));
            hear(word, &|| Said::ConfigStatus {
                hash: config.hash.as_slice().into(),
                status: config.status,
                error: status.error_message.as_str().into(),
            });
        }
        if let (Some(body), Some(hash)) = (&encoded.effective, update.effective) {
            let full = self::hash(&hash);
            let word = Word::new(EventKind::EffectiveConfig, full, full);
            hear(word, &|| Said::EffectiveConfig {
                hash,
                body: body.clone(),
            });
        }
        if let (Some(statuses), Some(sum)) = (&report.package_statuses, &update.packages) {
            let word = Word::new(EventKind::Packages, packages(statuses), aggregate(sum));
            hear(word, &|| Said::Packages(statuses.encode_to_vec().into()));
        }
    });
}

/// Description and capabilities are one kind: who says one of them says both.
fn described(
    report: &Report,
    update: &AgentUpdate,
    record: Option<&AgentRecord>,
    capabilities: u64,
    hear: &mut impl FnMut(Word, &dyn Fn() -> Said),
) {
    if report.description.is_none() && report.capabilities.is_none() {
        return;
    }
    let recorded = record.map(|record| &record.description);
    // capabilities alone say nothing of an agent that has still to say who it is
    let known = recorded.filter(|known| !known.labels.is_empty());
    let Some(description) = update.description.as_ref().or(known) else {
        return;
    };
    let full = self::description(description, capabilities);
    let word = Word::new(EventKind::Description, full, full);
    hear(word, &|| Said::Description {
        description: description.clone(),
        capabilities,
    });
}

impl Word {
    fn new(kind: EventKind, full: u64, brief: u64) -> Self {
        Self {
            kind,
            full: NonZeroU64::new(full).unwrap_or(NonZeroU64::MIN),
            brief,
        }
    }
}

/// The `brief` that the words would have which the record knows; 0 where it knows none.
fn brief_of(record: &AgentRecord, kind: EventKind) -> u64 {
    let brief = match kind {
        EventKind::Connected | EventKind::Disconnected => None,
        EventKind::Health => record.health.as_ref().map(|health| {
            let texts = (&*health.status, &*health.last_error);
            hash(&(health.healthy, texts))
        }),
        EventKind::Description => Some(description(&record.description, record.capabilities)),
        EventKind::ConfigStatus => Some(reported(&ConfigReport {
            hash: record.config.reported_hash.clone().unwrap_or_default(),
            status: record.config.status,
            error: record.config.error.clone(),
        })),
        EventKind::EffectiveConfig => record.effective.as_ref().map(hash),
        EventKind::Packages => record.packages.as_ref().map(aggregate),
    };
    brief.unwrap_or(0)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn description(description: &Description, capabilities: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Description {
        name,
        agent_type,
        agent_version,
        labels,
        truncated,
    } = description;
    (name, agent_type, agent_version, truncated, capabilities).hash(&mut hasher);
    for label in labels {
        (&label.key, &label.value, label.scalar).hash(&mut hasher);
    }
    hasher.finish()
}

/// The fleet keeps the text of a failure alone, and beyond the failure.
fn reported(config: &ConfigReport) -> u64 {
    let error = match config.status {
        ConfigStatus::Failed => &*config.error,
        ConfigStatus::Unset | ConfigStatus::Applied | ConfigStatus::Applying => "",
    };
    hash(&(&config.hash, config.status as u8, error))
}

fn aggregate(sum: &PackageAggregate) -> u64 {
    let PackageAggregate {
        offered_hash,
        installed,
        pending,
        failed,
    } = sum;
    hash(&(offered_hash, installed, pending, failed))
}

/// A tree without its times, which change with every start and every look.
fn health(tree: &wire::ComponentHealth) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_tree(tree, &mut hasher);
    hasher.finish()
}

/// As deep as the decoder lets a message nest, which is 100 levels.
fn hash_tree(tree: &wire::ComponentHealth, hasher: &mut DefaultHasher) {
    (tree.healthy, &tree.status, &tree.last_error).hash(hasher);
    for attribute in &tree.attributes {
        attribute.encode_to_vec().hash(hasher);
    }
    tree.component_health_map.len().hash(hasher);
    for (name, below) in &tree.component_health_map {
        name.hash(hasher);
        hash_tree(below, hasher);
    }
}

/// Statuses without the progress of downloads.
fn packages(statuses: &wire::PackageStatuses) -> u64 {
    let mut hasher = DefaultHasher::new();
    statuses.server_provided_all_packages_hash.hash(&mut hasher);
    statuses.error_message.hash(&mut hasher);
    for (name, package) in &statuses.packages {
        name.hash(&mut hasher);
        let texts = (&package.agent_has_version, &package.server_offered_version);
        let hashes = (&package.agent_has_hash, &package.server_offered_hash);
        (texts, hashes, package.status, &package.error_message).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
