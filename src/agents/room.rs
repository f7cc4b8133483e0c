//! The room in which agents are served: what its parts share, and how an agent enters and leaves. It does
//! not know sockets or HTTP; transports bring bytes through [`super::exchange`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ampora_proto::identity::Aliases;
use ampora_proto::session::{ConnectionKey, Known, Session};
use ampora_proto::wire;
use ampora_raft::consensus::Consensus;
use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::outcome::OpOutcome;
use ampora_raft::records::{AgentRecord, ConfigStatus, ReleaseReason, Transport};
use ampora_raft::time::Clock;
use parking_lot::Mutex;

use super::agent::{Agent, State};
use super::agent_types::AgentTypes;
use super::batches::{Author, Batches};
use super::bodies::ReportedBodies;
use super::changes::Changes;
use super::delivery::Evidence;
use super::full_states::FullStates;
use super::offers::Offers;
use super::registry::Registry;
use super::sockets::Sockets;
use crate::attempts::Attempts;
use crate::tasks::Tasks;
use crate::telemetry::names;

/// The first reply of a connection waits this long for its claim; some clients give up after a second.
pub(super) const CLAIM_WAIT: Duration = Duration::from_millis(250);

/// A claim that meets a newer session each time gives up: the next message claims again.
const CLAIM_TRIES: u32 = 3;

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
    /// Claims on their way to the log, and the task that brings them there.
    pub tasks: Tasks,
    /// This node in its incarnation.
    pub author: Author,
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
    /// Encoded configurations.
    pub offers: Offers,
    /// Bodies that agents reported.
    pub bodies: ReportedBodies,
    /// Sessions that wait for a time: at most one entry for each agent, and outdated ones are harmless.
    pub timers: Mutex<BTreeSet<(u64, InstanceUid)>>,
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
}

/// Whether an agent may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// This node owns the session.
    Owned(Fence),
    /// The claim is still on its way, or another node owns the session: acknowledge, and act on nothing.
    NotYet,
    /// The cluster has as many agents as it may.
    Refused,
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

    /// Makes sure that this node owns the session, waiting a moment for a claim. A claim that takes longer
    /// goes on by itself: its offer follows then.
    pub async fn enter(self: &Arc<Self>, agent: &Arc<Agent>, transport: Transport) -> Entered {
        let owned = agent.with(|state| match state.fence {
            Some(fence) => Some(Entered::Owned(fence)),
            None if state.claiming => Some(Entered::NotYet),
            None => {
                state.claiming = true;
                None
            }
        });
        if let Some(entered) = owned {
            return entered;
        }
        let (room, claimer) = (self.clone(), agent.clone());
        let claim = self
            .tasks
            .spawn(async move { room.claim(&claimer, transport).await });
        match tokio::time::timeout(CLAIM_WAIT, claim).await {
            Ok(Ok(entered)) => entered,
            Ok(Err(panicked)) => {
                tracing::error!(agent.id = %agent.uid, error = %panicked, "a claim panicked");
                Entered::NotYet
            }
            Err(_elapsed) => {
                acquired("late");
                Entered::NotYet
            }
        }
    }

    /// The fence that a claim has to name, if there is a session; `None` when there is no room for the agent.
    fn expected(&self, uid: InstanceUid) -> Option<Option<Fence>> {
        let view = self.consensus.view();
        match view.fleet.agent(uid) {
            Some(record) => Some(record.session.map(|session| session.fence)),
            None => (view.fleet.agents_len() < self.author.agents_max as usize).then_some(None),
        }
    }

    /// Claims the session until it is granted or refused, or the connection is gone.
    async fn claim(&self, agent: &Agent, transport: Transport) -> Entered {
        let uid = agent.uid;
        let Some(mut expect) = self.expected(uid) else {
            // whoever is refused comes back: the log is spared the question
            acquired("agent_limit");
            agent.with(|state| state.claiming = false);
            return Entered::Refused;
        };
        for _ in 0..CLAIM_TRIES {
            let outcome = self.batches.claim(uid, expect, transport).await;
            match outcome {
                Ok(OpOutcome::Granted { fence, created, .. }) => {
                    acquired("granted");
                    return self.granted(agent, fence, created);
                }
                // the later live connection wins: this one lives, so it tries again with what it learnt
                Ok(OpOutcome::Conflict(held)) if agent.with(|state| state.connected) => {
                    acquired("conflict");
                    expect = Some(held.fence);
                }
                Ok(OpOutcome::AgentLimit) => {
                    acquired("agent_limit");
                    agent.with(|state| state.claiming = false);
                    return Entered::Refused;
                }
                Ok(
                    OpOutcome::Conflict(_)
                    | OpOutcome::Done
                    | OpOutcome::NotOwner
                    | OpOutcome::TooLarge
                    | OpOutcome::NotEnrolled(_),
                )
                | Err(_) => break,
            }
        }
        acquired("failed");
        agent.with(|state| state.claiming = false);
        Entered::NotYet
    }

    fn granted(&self, agent: &Agent, fence: Fence, created: bool) -> Entered {
        let view = self.consensus.view();
        let record = view.fleet.agent(agent.uid);
        let desired = record.and_then(|record| view.fleet.desired(record).version);
        let owned = agent.with(|state| {
            state.claiming = false;
            let is_forgotten = created && state.recorded;
            state.recorded = true;
            if is_forgotten {
                state.session.request_full_state();
            }
            if !state.connected {
                return false;
            }
            state.fence = Some(fence);
            state.session.set_owned(true);
            state
                .session
                .set_desired(desired.map(|version| version.hash.0));
            true
        });
        if !owned {
            // the connection went while its claim was on the way: nobody else would give the session up
            let last_sequence = agent.with(|state| state.session.last_sequence());
            self.batches
                .release(agent.uid, fence, ReleaseReason::Lost, last_sequence);
            self.drop_if_idle(agent.uid);
            return Entered::NotYet;
        }
        agent.wake();
        self.changes.agent_arrived(agent.uid);
        Entered::Owned(fence)
    }

    /// The transport of an agent is gone, or it said goodbye: gives the session up unless the agent has
    /// come back over another connection.
    pub fn leave(&self, agent: &Agent, connection: ConnectionKey, reason: ReleaseReason) {
        let released = agent.with(|state| {
            state.holder.connection_gone(connection);
            if state.link.as_ref().map(|link| link.connection) != Some(connection) {
                return None;
            }
            state.link = None;
            state.connected = false;
            state.empty_messages = 0;
            state.session.connection_lost(connection);
            let fence = state.fence.take()?;
            state.session.set_owned(false);
            Some((fence, state.session.last_sequence()))
        });
        if let Some((fence, last_sequence)) = released {
            self.batches
                .release(agent.uid, fence, reason, last_sequence);
        }
        self.drop_if_idle(agent.uid);
    }

    /// A pong: the socket that the agent speaks over is alive.
    pub fn sign_of_life(&self, agent: &Agent, connection: ConnectionKey) {
        let now_ms = self.clock.boot_ms();
        agent.with(|state| {
            let here = state.link.as_ref().map(|link| link.connection) == Some(connection);
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

    /// Another connection or node has the session under a newer fence.
    pub fn session_moved(&self, uid: InstanceUid, fence: Fence) {
        let Some(agent) = self.registry.get(uid) else {
            return;
        };
        let link = agent.with(|state| {
            if state.fence != Some(fence) {
                return None;
            }
            state.fence = None;
            state.session.set_owned(false);
            state.connected = false;
            state.link.take()
        });
        if let Some(wake) = link.and_then(|link| link.wake) {
            wake.detach(uid);
        }
    }

    /// Forgets a session that nobody waits for: the fleet remembers what matters, once the release has
    /// reached it. An agent that comes back sooner finds its session as it was.
    pub fn drop_if_idle(&self, uid: InstanceUid) {
        let view = self.consensus.view();
        let session = view.fleet.agent(uid).and_then(|record| record.session);
        let held = session.is_some_and(|session| {
            session.node == self.author.node && session.epoch == self.author.epoch
        });
        let mut waits = false;
        self.registry.remove_if(uid, |agent| {
            agent.with(|state| {
                let served = state.connected || state.claiming || state.fence.is_some();
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

fn acquired(outcome: &'static str) {
    metrics::counter!(names::OWNERSHIP_ACQUIRES, "outcome" => outcome).increment(1);
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
