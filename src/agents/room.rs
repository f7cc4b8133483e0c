//! The room in which agents are served: what its parts share, and how an agent enters and leaves. It does
//! not know sockets or HTTP; transports bring bytes through [`super::exchange`].

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ampora_proto::identity::Aliases;
use ampora_proto::session::{ConnectionKey, Known, Session};
use ampora_proto::wire;
use ampora_raft::consensus::Consensus;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{AgentRecord, ConfigStatus, ReleaseReason, Transport};
use ampora_raft::time::Clock;
use parking_lot::Mutex;

use super::agent::{Agent, State};
use super::agent_types::AgentTypes;
use super::batches::{Author, Batches};
use super::bodies::ReportedBodies;
use super::changes::Changes;
use super::delivery::Evidence;
use super::delivery::accepted::Accepted;
use super::forward::Elsewhere;
use super::full_states::FullStates;
use super::liveness::{Liveness, Renewals};
use super::offers::Offers;
use super::registry::Registry;
use super::sockets::Sockets;
use super::takeovers::Takeovers;
use crate::attempts::Attempts;
use crate::entropy::Entropy;
use crate::history::queue::Queue;
use crate::history::said::Ended;
use crate::tasks::Tasks;

/// Between two looks at whether a release has reached the fleet.
const RELEASE_LOOK_MS: u64 = 500;

/// What the configuration says about serving agents.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `opamp.max_message_bytes`, both directions.
    pub message_bytes_max: usize,
    /// `opamp.heartbeat_window_seconds`.
    pub heartbeat_window_ms: u64,
    /// `opamp.auth: token`: agents need an enrollment token.
    pub needs_token: bool,
    /// `agents.max_per_token`.
    pub agents_per_token_max: Option<u32>,
}

/// Everything that serving agents needs.
pub struct Room {
    /// The log and the fleet.
    pub consensus: Consensus,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Entropy,
    /// Claims on their way to the log, and the tasks that keep this node alive in it.
    pub tasks: Tasks,
    /// This node.
    pub author: Author,
    /// Its incarnation, and whether it may act in it.
    pub liveness: Liveness,
    /// Who renews it.
    pub renewals: Arc<dyn Renewals>,
    /// The configuration.
    pub settings: Settings,
    /// Agents served here.
    pub registry: Registry,
    /// Claims, releases and reports on their way to the log.
    pub batches: Arc<Batches>,
    /// What `apply` changed.
    pub changes: Arc<Changes>,
    /// What sessions concluded about deliveries.
    pub evidence: Evidence,
    /// Dispatches that are still to be counted.
    pub accepted: Accepted,
    /// Encoded configurations.
    pub offers: Offers,
    /// Bodies that agents reported.
    pub bodies: ReportedBodies,
    /// Sessions that wait for a time: at most one entry for each agent, and outdated ones are harmless.
    pub timers: Mutex<BTreeSet<(u64, InstanceUid)>>,
    /// The way to other nodes, once there is one.
    pub elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    /// Sessions that were taken from other nodes a moment ago.
    pub takeovers: Takeovers,
    /// Uids given out in place of others.
    pub aliases: Mutex<Aliases>,
    /// Agent types that have a metric label.
    pub agent_types: AgentTypes,
    /// Sockets by the token that they came with.
    pub sockets: Sockets,
    /// Who failed to show a token.
    pub attempts: Attempts,
    /// Full reports that may still be asked for.
    pub full_states: FullStates,
    /// Agents whose full state could not be asked for yet: each is there once.
    pub unasked: Mutex<BTreeSet<InstanceUid>>,
    /// What happens to agents, on its way to history.
    pub history: Queue,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("author", &self.author)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Room {
    /// Whether offers, commands and marks may go out: past its lease a node acknowledges what agents say, and no more.
    pub fn may_act(&self) -> bool {
        self.liveness.may_act(self.clock.boot_ms())
    }

    /// Runs `f` on the agent, with a session made from what the fleet remembers when it is not served yet.
    /// What `f` sees stays in the registry unless it leaves the agent idle.
    pub fn with_agent<T>(
        &self,
        uid: InstanceUid,
        transport: Transport,
        f: impl FnOnce(&mut State) -> T,
    ) -> (Arc<Agent>, T) {
        self.registry.with(
            uid,
            || {
                let view = self.consensus.view();
                let record = view.fleet.agent(uid);
                let is_recorded = record.is_some();
                let known = record.map_or_else(Known::default, |record| known(record));
                let agent = Agent::new(uid, Session::new(uid, &known), transport);
                agent.with(|state| state.recorded = is_recorded);
                agent
            },
            |agent| agent.with(f),
        )
    }

    /// The transport of an agent is gone, or it said goodbye: gives the session up unless the agent has
    /// come back over another connection.
    pub fn leave(&self, agent: &Agent, connection: ConnectionKey, reason: ReleaseReason) {
        let released = agent.with(|state| {
            state.holder.connection_gone(connection);
            state
                .displaced
                .take_if(|displaced| *displaced == connection);
            if state.link.as_ref().map(|link| link.connection) != Some(connection) {
                return None;
            }
            state.link = None;
            state.connected = false;
            state.empty_messages = 0;
            state.session.connection_lost(connection);
            self.arm(agent.uid, state.session.poll_timeout());
            let Some(fence) = state.fence.take() else {
                self.unsay(agent.uid, state);
                return None;
            };
            self.ended(
                agent.uid,
                state,
                fence,
                Ended::released(reason, self.author.node),
            );
            state.session.set_owned(false);
            Some((fence, state.session.complete_to()))
        });
        if let Some((fence, last_sequence)) = released {
            self.batches
                .release(agent.uid, fence, reason, last_sequence);
        }
        self.drop_if_idle(agent.uid);
    }

    /// Drops what an agent without session said here: by the time its claim is granted, if ever, another node may have
    /// heard newer things. Whoever serves it next asks for everything.
    pub(super) fn unsay(&self, uid: InstanceUid, state: &mut State) {
        state.words.forget();
        if self.batches.unsay(uid) {
            state.session.request_full_state();
        }
    }

    /// A pong: the socket that the agent speaks over is alive.
    pub fn sign_of_life(&self, agent: &Agent, connection: ConnectionKey) {
        let now_ms = self.clock.boot_ms();
        agent.with(|state| {
            let here = state.link.as_ref().map(|link| link.connection) == Some(connection);
            if here {
                state.alive_ms = now_ms;
            }
            // a socket whose agents are not known to heartbeat is judged by its pongs alone
            if here && !state.heartbeats {
                state.heard_ms = now_ms;
            }
        });
    }

    /// An agent that polls was told to come back later: until then its silence says nothing (C-306).
    pub fn excuse(&self, agent: &Agent, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.clock.boot_ms().saturating_add(wait_ms);
        agent.with(|state| {
            if state.connected && state.transport == Transport::Http {
                state.heard_ms = state.heard_ms.max(until_ms);
            }
        });
    }

    /// Forgets a session that nobody waits for: the fleet remembers what matters, once the release has
    /// reached it. An agent that comes back sooner finds its session as it was.
    pub fn drop_if_idle(&self, uid: InstanceUid) {
        let view = self.consensus.view();
        let session = view.fleet.agent(uid).and_then(|record| record.session);
        let held = session.is_some_and(|session| {
            session.node == self.author.node && session.epoch == self.liveness.epoch()
        });
        let mut waits = false;
        self.registry.remove_if(uid, |agent| {
            agent.with(|state| {
                let served = state.connected
                    || state.claiming
                    || state.fence.is_some()
                    || state.displaced.is_some();
                let idle = !served && state.session.can_drop();
                waits = idle && held;
                idle && !held
            })
        });
        if waits {
            self.arm(uid, Some(self.clock.boot_ms() + RELEASE_LOOK_MS));
        }
    }

    /// Moves what the fleet knows of an agent to the uid that it was given (C-068).
    pub fn rename(&self, from: InstanceUid, to: InstanceUid) {
        // whoever renamed it first has done it: the answer changes nothing here
        drop(self.batches.rename(from, to));
    }

    /// Notes when the session of an agent wants to be woken.
    pub fn arm(&self, uid: InstanceUid, at_ms: Option<u64>) {
        if let Some(at_ms) = at_ms {
            self.timers.lock().insert((at_ms, uid));
        }
    }
}

/// What the fleet remembers, as far as a session asks.
fn known(record: &AgentRecord) -> Known {
    let config = &record.config;
    Known {
        known: true,
        last_sequence: record.released.and_then(|released| released.last_sequence),
        capabilities: record.capabilities,
        has_description: !record.description.labels.is_empty(),
        reported_hash: config.reported_hash.clone().map(Into::into),
        status: match config.status {
            ConfigStatus::Unset => wire::RemoteConfigStatuses::Unset,
            ConfigStatus::Applied => wire::RemoteConfigStatuses::Applied,
            ConfigStatus::Applying => wire::RemoteConfigStatuses::Applying,
            ConfigStatus::Failed => wire::RemoteConfigStatuses::Failed,
        },
        failed_hash: config.failed_hash.map(|hash| hash.0),
        sent_hash: config.sent_hash.map(|hash| hash.0),
        custom_capabilities: record
            .custom_capabilities
            .iter()
            .map(|name| name.to_string())
            .collect(),
    }
}
