//! What is due, as a value: a fleet and its time go in, the next proposal comes out. It knows no clock and no log.

use std::collections::BTreeMap;
use std::time::Duration;

use ampora_raft::fleet::limits::{AGENTS_STEP, DISPATCHES_MAX, DISPATCHES_STEP, KEY_KEPT_MS};
use ampora_raft::fleet::{Fleet, is_bare, may_leave};
use ampora_raft::ids::{DispatchId, Epoch, InstanceUid, NodeId};
use ampora_raft::proposal::Retention;
use ampora_raft::records::{AgentRecord, Session};

use crate::history::postgres::exported::Exported;

/// Records looked at before other tasks get their turn: some milliseconds.
const LOOKED_AT_MAX: usize = 4_096;

/// How long agents stay known when nothing is configured: a week, and a day for bare ones.
const FORGET_DEFAULT_MS: u64 = 604_800_000;

/// Agents without a configuration or a label never stay longer than this.
const BARE_MAX_MS: u64 = 86_400_000;

/// Beyond the liveness of a dead owner: the time in which its agents are expected elsewhere.
const RETURN_MS: u64 = 30_000;

/// An upload that no version came to use stays this long at least.
const STAGED_KEPT_MS: u64 = 3_600_000;

/// Dispatches among which some may wait for Postgres beyond their time: half of those that there may be.
const DISPATCHES_WAITING_MAX: usize = DISPATCHES_MAX / 2;

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) struct Rules {
    /// Fleet time after which an agent that is gone is forgotten, and the same for bare ones; `None` is never.
    forget: Option<(u64, u64)>,
    /// `dispatch.ownership_ttl_seconds`.
    ttl_ms: u64,
}

impl Rules {
    /// The rules of `agents.forget_after_seconds`, where `None` is the default and zero is never.
    pub(in crate::node) fn new(forget_after: Option<Duration>, ttl: Duration) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let forget = match forget_after.map(ms) {
            None => Some((FORGET_DEFAULT_MS, BARE_MAX_MS)),
            Some(0) => None,
            Some(after_ms) => Some((after_ms, after_ms.min(BARE_MAX_MS))),
        };
        Self {
            forget,
            ttl_ms: ms(ttl),
        }
    }

    /// How long the agents of an owner that died may take to return.
    fn returns_ms(self) -> u64 {
        self.ttl_ms.saturating_add(RETURN_MS)
    }

    /// Between two passes: a minute, less where agents are to be forgotten sooner.
    pub(in crate::node) fn period(self) -> Duration {
        let shortest_ms = self.forget.map_or(u64::MAX, |(_, bare_ms)| bare_ms / 4);
        Duration::from_millis(shortest_ms.clamp(1_000, 60_000))
    }
}

/// What a look at the fleet found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To be proposed.
    Propose(Retention),
    /// Nothing yet; there is more to look at.
    Looked,
    /// The pass is over.
    Done,
}

/// Where a pass is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Agents after this one.
    Agents(Option<InstanceUid>),
    /// Configurations after this one.
    Versions(Option<String>),
    Dispatches,
    Keys,
    Staged,
    Over,
}

/// The duty between its steps.
#[derive(Debug)]
pub(super) struct Duty {
    rules: Rules,
    exported: Exported,
    /// When incarnations that are over, and have agents yet, were first found so; no more than there are such agents.
    over: BTreeMap<(NodeId, Epoch), u64>,
    /// The same as the pass before left it.
    over_before: BTreeMap<(NodeId, Epoch), u64>,
    stage: Stage,
    /// What an entry had no rows for is proposed again.
    again: Option<Retention>,
    /// A fleet time with the index that the fleet had then: what was uploaded before it is as old.
    uploads: Option<(u64, u64)>,
}

impl Duty {
    pub(super) fn new(rules: Rules, exported: Exported) -> Self {
        Self {
            rules,
            exported,
            over: BTreeMap::new(),
            over_before: BTreeMap::new(),
            stage: Stage::Over,
            again: None,
            uploads: None,
        }
    }

    /// Begins a pass.
    pub(super) fn begin(&mut self) {
        self.stage = Stage::Agents(None);
        self.again = None;
        self.over_before = std::mem::take(&mut self.over);
    }

    /// A proposal was applied; `more` says that it left some of what it asked for.
    pub(super) fn answered(&mut self, given: Retention, more: bool) {
        self.again = more.then_some(given);
    }

    /// Finished deliveries that left the fleet with a proposal, and that Postgres was not known to have.
    pub(super) fn overdue(&self, before: &Fleet, after: &Fleet, given: &Retention) -> u64 {
        let Retention::RetireDispatches { dispatches } = given else {
            return 0;
        };
        let gone = dispatches.iter().filter(|id| {
            let is_waited_for = !self.exported.has_dispatch(**id);
            is_waited_for && after.dispatch(**id).is_none()
        });
        let finished = gone.filter_map(|id| before.dispatch(*id)).map(|dispatch| {
            let counts = &dispatch.counts;
            u64::from(counts.succeeded + counts.failed + counts.expired + counts.cancelled)
        });
        finished.sum()
    }

    /// Looks on.
    pub(super) fn next(&mut self, fleet: &Fleet, index: u64, now_ms: u64) -> Step {
        if let Some(given) = self.again.take() {
            return Step::Propose(given);
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Agents(after) => self.agents(fleet, after, now_ms),
            Stage::Versions(after) => self.versions(fleet, after.as_deref()),
            Stage::Dispatches => {
                self.stage = Stage::Keys;
                let dispatches = self.due_dispatches(fleet, now_ms);
                if dispatches.len() == DISPATCHES_STEP {
                    self.stage = Stage::Dispatches;
                }
                propose(!dispatches.is_empty(), || Retention::RetireDispatches {
                    dispatches,
                })
            }
            Stage::Keys => {
                self.stage = Stage::Staged;
                let due = |at_ms: u64| at_ms.saturating_add(KEY_KEPT_MS) <= now_ms;
                propose(fleet.oldest_key_ms().is_some_and(due), || {
                    Retention::ExpireKeys
                })
            }
            Stage::Staged => self.uploads(fleet, index, now_ms),
            Stage::Over => Step::Done,
        }
    }

    /// The next finished dispatches that have had their time. Those that Postgres has not got wait for it; where there is
    /// no room for all of them, the oldest do not.
    fn due_dispatches(&self, fleet: &Fleet, now_ms: u64) -> Vec<DispatchId> {
        let mut kept: usize = 0;
        let (mut due, mut waiting) = (Vec::new(), Vec::new());
        for dispatch in fleet.dispatches(None) {
            if !may_leave(dispatch, now_ms) {
                kept += 1;
            } else if self.exported.has_dispatch(dispatch.id) {
                due.push(dispatch.id);
            } else {
                waiting.push(dispatch.id);
            }
        }
        let excess = (kept + waiting.len()).saturating_sub(DISPATCHES_WAITING_MAX);
        // the newest come first
        due.extend(waiting.into_iter().rev().take(excess));
        due.truncate(DISPATCHES_STEP);
        due
    }

    fn agents(&mut self, fleet: &Fleet, after: Option<InstanceUid>, now_ms: u64) -> Step {
        self.stage = Stage::Versions(None);
        let Some((after_ms, bare_after_ms)) = self.rules.forget else {
            return Step::Looked;
        };
        let mut agents = Vec::new();
        let mut looked_at = 0;
        for record in fleet.agents(after) {
            if looked_at == LOOKED_AT_MAX || agents.len() == AGENTS_STEP {
                break;
            }
            looked_at += 1;
            self.stage = Stage::Agents(Some(record.uid));
            let kept_ms = if is_bare(record) {
                bare_after_ms
            } else {
                after_ms
            };
            if self.is_due(fleet, record, kept_ms, now_ms) {
                agents.push(record.uid);
            }
        }
        if looked_at == 0 {
            self.stage = Stage::Versions(None);
        }
        propose(!agents.is_empty(), || Retention::ForgetAgents {
            agents,
            after_ms,
            bare_after_ms,
        })
    }

    fn is_due(&mut self, fleet: &Fleet, record: &AgentRecord, kept_ms: u64, now_ms: u64) -> bool {
        match (record.session, record.released) {
            (Some(_), _) if fleet.session_valid(record) => false,
            (Some(session), _) => self.over_for_ms(session, now_ms) >= self.rules.returns_ms(),
            (None, Some(released)) => released.at_ms.saturating_add(kept_ms) <= now_ms,
            (None, None) => true,
        }
    }

    /// How long the incarnation that had a session has been known to be over: of one that began anew the fleet has no time.
    fn over_for_ms(&mut self, session: Session, now_ms: u64) -> u64 {
        let incarnation = (session.node, session.epoch);
        let before = self.over_before.get(&incarnation).copied();
        let first_ms = self
            .over
            .entry(incarnation)
            .or_insert(before.unwrap_or(now_ms));
        now_ms.saturating_sub(*first_ms)
    }

    fn versions(&mut self, fleet: &Fleet, after: Option<&str>) -> Step {
        self.stage = Stage::Dispatches;
        for (looked_at, configuration) in fleet.configurations(after).enumerate() {
            if looked_at == LOOKED_AT_MAX {
                return Step::Looked;
            }
            self.stage = Stage::Versions(Some(configuration.name.to_string()));
            if !fleet.spare_versions(configuration).is_empty() {
                let configuration = configuration.name.clone();
                return Step::Propose(Retention::TrimVersions { configuration });
            }
        }
        self.stage = Stage::Dispatches;
        Step::Looked
    }

    /// Uploads have no fleet time: what stands in the log before an index that the fleet had long ago is older.
    fn uploads(&mut self, fleet: &Fleet, index: u64, now_ms: u64) -> Step {
        let Some(oldest) = fleet.oldest_staged_index() else {
            self.uploads = None;
            return Step::Looked;
        };
        match self.uploads {
            Some((since_ms, _)) if now_ms < since_ms.saturating_add(STAGED_KEPT_MS) => Step::Looked,
            Some((_, until_index)) => {
                self.uploads = Some((now_ms, index));
                propose(oldest <= until_index, || Retention::DropStaged {
                    until_index,
                })
            }
            None => {
                self.uploads = Some((now_ms, index));
                Step::Looked
            }
        }
    }
}

fn propose(is_due: bool, given: impl FnOnce() -> Retention) -> Step {
    if is_due {
        Step::Propose(given())
    } else {
        Step::Looked
    }
}
