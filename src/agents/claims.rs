//! How this node comes to own the sessions of its agents, and how it loses them.
//!
//! A claim is a compare-and-set on the fence that was seen. Of two nodes the later live connection wins: whoever
//! meets another owner looks whether its own connection still answers before it tries again. Who loses a session
//! detaches the agent, and leaves its socket open: if somebody goes on speaking there, two agents use one uid.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ampora_proto::identity::Sender;
use ampora_proto::session::ConnectionKey;
use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::outcome::OpOutcome;
use ampora_raft::planted::{self, Bug};
use ampora_raft::records::{ReleaseReason, Session, Transport};
use futures_util::future::join_all;

use super::agent::{Agent, ELSEWHERE, POLLS, State};
use super::identity;
use super::room::Room;
use crate::history::said::Ended;
use crate::telemetry::names;

/// The first reply of a connection waits this long for its claim; some clients give up after a second.
pub(super) const CLAIM_WAIT: Duration = Duration::from_millis(250);

/// A claim that meets a newer session each time gives up: the next message claims again.
const CLAIM_TRIES: u32 = 3;

/// How long the socket of a claim that met another owner has to answer a ping.
const ANSWER_WAIT_MS: u64 = 3_000;

/// Between two looks at whether it has.
const ANSWER_LOOK: Duration = Duration::from_millis(50);

/// Agents that are claimed again together: what a batch holds.
const CLAIMED_TOGETHER: usize = 512;

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

/// What a grant comes to.
enum Granted {
    Settled(Entered),
    /// It was of an incarnation that is over.
    Stale,
}

impl Room {
    /// Makes sure that this node owns the session, waiting a moment for a claim. A claim that takes longer
    /// goes on by itself: its offer follows then. With `takes_over` from another live node too, if one has it.
    pub async fn enter(
        self: &Arc<Self>,
        agent: &Arc<Agent>,
        transport: Transport,
        takes_over: bool,
    ) -> Entered {
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
            .spawn(async move { room.claim(&claimer, transport, takes_over).await });
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

    /// Claims the session without anybody who waits for it.
    pub(super) fn claim_soon(self: &Arc<Self>, agent: &Arc<Agent>) {
        let claims = agent.with(|state| {
            let claims = state.connected && state.fence.is_none() && !state.claiming;
            state.claiming |= claims;
            claims.then_some(state.transport)
        });
        if let Some(transport) = claims {
            let (room, claimer) = (self.clone(), agent.clone());
            self.tasks
                .spawn(async move { room.claim(&claimer, transport, true).await });
        }
    }

    /// The session that a claim has to name, if there is one; `None` when there is no room for the agent.
    fn expected(&self, uid: InstanceUid) -> Option<Option<Session>> {
        let view = self.consensus.view();
        match view.fleet.agent(uid) {
            Some(record) => Some(record.session),
            None => (view.fleet.agents_len() < self.author.agents_max as usize).then_some(None),
        }
    }

    /// The session of an agent that another live node owns.
    pub fn owned_elsewhere(&self, uid: InstanceUid) -> Option<Session> {
        let view = self.consensus.view();
        let session = view.fleet.valid_session(view.fleet.agent(uid)?)?;
        (session.node != self.author.node).then_some(session)
    }

    /// Claims the session until it is granted or refused, or the connection is gone.
    async fn claim(&self, agent: &Agent, transport: Transport, takes_over: bool) -> Entered {
        let uid = agent.uid;
        let mut seen = self.expected(uid);
        for _ in 0..CLAIM_TRIES {
            let Some(held) = seen else {
                // whoever is refused comes back: the log is spared the question
                acquired("agent_limit");
                agent.with(|state| self.settled(uid, state));
                return Entered::Refused;
            };
            let owner = self.owned_elsewhere(uid);
            if owner.is_some() && !(takes_over && self.turn_to_take(agent).await) {
                break;
            }
            let expect = held.map(|session| session.fence);
            match self.batches.claim(uid, expect, transport).await {
                Ok(OpOutcome::Granted { fence, created, .. }) => {
                    acquired("granted");
                    if let Some(owner) = owner {
                        let now_ms = self.clock.boot_ms();
                        self.takeovers.took(uid, owner.node, now_ms);
                    }
                    match self.granted(agent, fence, created) {
                        Granted::Settled(entered) => return entered,
                        Granted::Stale => seen = self.expected(uid),
                    }
                }
                Ok(OpOutcome::Conflict(held)) => {
                    acquired("conflict");
                    if !self.still_answers(agent).await {
                        break;
                    }
                    seen = Some(Some(held));
                }
                Ok(OpOutcome::AgentLimit) => seen = None,
                Ok(
                    OpOutcome::Done
                    | OpOutcome::NotOwner
                    | OpOutcome::TooLarge
                    | OpOutcome::NotEnrolled(_),
                )
                | Err(_) => break,
            }
        }
        acquired("failed");
        agent.with(|state| self.settled(uid, state));
        self.drop_if_idle(uid);
        Entered::NotYet
    }

    /// The claim is over. In one step, so that the next one cannot begin between.
    fn settled(&self, uid: InstanceUid, state: &mut State) {
        state.claiming = false;
        self.batches.claim_settled(uid);
    }

    /// Waits until the session may be taken from a live owner; false when the connection went meanwhile.
    async fn turn_to_take(&self, agent: &Agent) -> bool {
        let now_ms = self.clock.boot_ms();
        let wait_ms = self.takeovers.wait_ms(agent.uid, now_ms);
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        agent.with(|state| state.connected)
    }

    /// Whether the connection of a claim that met another owner is alive: it was the later one then. A poll has been
    /// answered long since, and the next one claims anew.
    async fn still_answers(&self, agent: &Agent) -> bool {
        let asked_ms = self.clock.boot_ms();
        let Some(wake) = agent.with(|state| state.link.as_ref().and_then(|link| link.wake.clone()))
        else {
            return false;
        };
        wake.ping();
        while self.clock.boot_ms() < asked_ms + ANSWER_WAIT_MS {
            let (connected, alive_ms) = agent.with(|state| (state.connected, state.alive_ms));
            if !connected {
                return false;
            }
            if alive_ms > asked_ms {
                return true;
            }
            tokio::time::sleep(ANSWER_LOOK).await;
        }
        false
    }

    fn granted(&self, agent: &Agent, fence: Fence, created: bool) -> Granted {
        let owned = agent.with(|state| {
            let view = self.consensus.view();
            let record = view.fleet.agent(agent.uid);
            let held = record.and_then(|record| record.session);
            let is_held =
                held.is_some_and(|held| held.fence == fence && held.epoch == self.liveness.epoch());
            if !is_held {
                return None;
            }
            if !state.connected {
                self.unsay(agent.uid, state);
            }
            self.settled(agent.uid, state);
            let is_forgotten = created && state.recorded;
            state.recorded = true;
            if is_forgotten {
                state.words.forget_said();
                state.session.request_full_state();
            }
            if !state.connected {
                return Some(false);
            }
            let desired = record.and_then(|record| view.fleet.desired(record).version);
            state.fence = Some(fence);
            self.began(agent.uid, state, fence, record.map(|record| &**record));
            state.session.set_owned(true);
            state
                .session
                .set_desired(desired.map(|version| version.hash.0));
            self.arm(agent.uid, state.session.poll_timeout());
            Some(true)
        });
        match owned {
            None => self.overtaken(agent),
            Some(false) => {
                // the connection went while its claim was on the way: nobody else would give the session up
                let last_sequence = agent.with(|state| state.session.complete_to());
                self.batches
                    .release(agent.uid, fence, ReleaseReason::Lost, last_sequence);
                self.drop_if_idle(agent.uid);
                Granted::Settled(Entered::NotYet)
            }
            Some(true) => {
                agent.wake();
                self.changes.agent_arrived(agent.uid);
                Granted::Settled(Entered::Owned(fence))
            }
        }
    }

    /// A grant that is over already when it is heard of: another node took the session, or this one began again.
    fn overtaken(&self, agent: &Agent) -> Granted {
        let Some(owner) = self.owned_elsewhere(agent.uid) else {
            return Granted::Stale;
        };
        agent.with(|state| self.settled(agent.uid, state));
        self.detach(agent, owner);
        Granted::Settled(Entered::NotYet)
    }

    /// Another connection or node has the session under a newer fence.
    pub fn session_moved(self: &Arc<Self>, uid: InstanceUid, fence: Fence) {
        if self.batches.forget(uid) {
            // it may have come back meanwhile, and wait for its next session
            self.ask_again(BTreeSet::from([uid]));
        }
        let Some(agent) = self.registry.get(uid) else {
            return;
        };
        let is_known = self.consensus.view().fleet.agent(uid).is_some();
        let had = agent.with(|state| {
            if state.fence.is_none() {
                state.words.forget();
            }
            let had = state.fence == Some(fence);
            if had {
                state.fence = None;
                let why = if is_known {
                    Ended::Moved
                } else {
                    Ended::Forgotten
                };
                self.ended(uid, state, fence, why);
            }
            had
        });
        if !had {
            return;
        }
        match self.owned_elsewhere(uid) {
            Some(owner) => self.detach(&agent, owner),
            // the new owner has let it go again, and this connection is there
            None if is_known => {
                agent.with(|state| {
                    state.session.set_owned(false);
                    state.session.request_full_state();
                });
                self.claim_soon(&agent);
            }
            None => self.let_go(&agent),
        }
    }

    /// The agent was forgotten: it comes back as a new one, over another socket.
    fn let_go(&self, agent: &Agent) {
        let link = agent.with(|state| {
            state.connected = false;
            state.session.set_owned(false);
            state.link.take()
        });
        if let Some(wake) = link.and_then(|link| link.wake) {
            wake.detach(agent.uid);
        }
        self.drop_if_idle(agent.uid);
    }

    /// Lets an agent go that another node serves. Its socket stays: a live one shows that two agents use the uid,
    /// and one that is dead is cut for its silence.
    fn detach(&self, agent: &Agent, owner: Session) {
        let uid = agent.uid;
        let now_ms = self.clock.boot_ms();
        let is_newcomer = self.takeovers.goes_back(uid, owner.node, now_ms);
        let (events, link) = agent.with(|state| {
            state.fence = None;
            state.connected = false;
            state.words.forget();
            let events = state.session.give_up(true);
            state.session.request_full_state();
            let link = state.link.take();
            let connection = link.as_ref().map(|link| link.connection);
            match connection {
                Some(connection) if connection != POLLS && !is_newcomer => {
                    state.displaced = Some(connection);
                    // whoever it is, it speaks from somewhere else now
                    state.holder.message(
                        Sender {
                            connection: ELSEWHERE,
                            fingerprint: None,
                            sequence_broken: true,
                        },
                        now_ms,
                    );
                }
                Some(connection) => state.holder.connection_gone(connection),
                None => {}
            }
            (events, link)
        });
        self.conclude(agent, events);
        if let Some(link) = link {
            if is_newcomer && link.connection != POLLS {
                identity::issue(self, uid, link.connection, None);
            }
            if let Some(wake) = link.wake {
                wake.ping();
            }
        }
        self.drop_if_idle(uid);
    }

    /// The incarnation is over: nothing that was decided in it may leave.
    pub(super) async fn forget_fences(&self) {
        for some in self.registry.uids().chunks(CLAIMED_TOGETHER) {
            for agent in some.iter().filter_map(|uid| self.registry.get(*uid)) {
                let events = agent.with(|state| {
                    state.fence = None;
                    state.words.forget();
                    state.claiming |= planted::is(Bug::AgentForgotten);
                    state.session.give_up(false)
                });
                self.conclude(&agent, events);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Claims everybody who is connected here, in batches. Who is another node's by now went there later.
    pub(super) async fn claim_again(self: Arc<Self>) {
        for some in self.registry.uids().chunks(CLAIMED_TOGETHER) {
            let mut claims = Vec::new();
            for agent in some.iter().filter_map(|uid| self.registry.get(*uid)) {
                if let Some(owner) = self.owned_elsewhere(agent.uid) {
                    if agent.with(|state| state.connected && !state.claiming) {
                        self.detach(&agent, owner);
                    }
                    continue;
                }
                let transport = agent.with(|state| {
                    let claims = state.connected && state.fence.is_none() && !state.claiming;
                    state.claiming |= claims;
                    claims.then_some(state.transport)
                });
                if let Some(transport) = transport {
                    let room = self.clone();
                    claims.push(async move { room.claim(&agent, transport, true).await });
                } else {
                    self.drop_if_idle(agent.uid);
                }
            }
            join_all(claims).await;
        }
    }

    /// What these agents said last was lost here: they are asked for everything, as far as the budget goes.
    pub(super) fn ask_again(&self, uids: BTreeSet<InstanceUid>) {
        for uid in uids {
            let Some(agent) = self.registry.get(uid) else {
                continue;
            };
            agent.with(|state| state.session.request_full_state());
            self.unasked.lock().insert(uid);
        }
    }
}

/// Whether a connection key stands for another node.
pub(super) fn is_elsewhere(connection: ConnectionKey) -> bool {
    connection == ELSEWHERE
}

fn acquired(outcome: &'static str) {
    metrics::counter!(names::OWNERSHIP_ACQUIRES, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
