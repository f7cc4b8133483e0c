//! The delivery task: hands queued deliveries to the sessions that this node owns.
//!
//! Level-triggered: an activation takes no instruction, it reads the fleet; a crash at any
//! point is repaired by the next activation. A restart is marked as sent before it is written (at most
//! once), a push of configuration is marked after (at least once).

pub mod accepted;
pub mod duty;
mod handing;

use std::sync::Arc;
use std::time::Duration;

use ampora_proto::session::{Event, Refused, Token};
use ampora_proto::wire;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{DispatchId, Fence, InstanceUid};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::planted::{self, Bug};
use ampora_raft::proposal::{Mark, MarkDeliveries, MarkTo, Proposal};
use ampora_raft::records::{Action, DeliveryError, Transport};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::handing::{Found, Handing};
use super::agent::Agent;
use super::changes::Agents;
use super::room::Room;
use crate::node::origin;
use crate::telemetry::names;

/// What an entry may carry.
const MARKS_MAX: usize = 256;

/// Between two tries of marks that could not be proposed.
const MARKS_PERIOD: Duration = Duration::from_secs(1);

/// Marks that follow from what agents did, until they are in the log. Bounded by the deliveries that were
/// sent, of which each gives one.
#[derive(Debug, Default)]
pub struct Evidence {
    marks: Mutex<Vec<Mark>>,
    handing: Handing,
    wake: Notify,
}

impl Evidence {
    /// Keeps what a session concluded about a delivery.
    pub fn conclude(&self, agent: InstanceUid, events: Vec<Event>) {
        let marks: Vec<_> = events
            .into_iter()
            .filter_map(|event| self.handing.keep_back(mark_of(agent, event)?))
            .collect();
        if !marks.is_empty() {
            self.marks.lock().extend(marks);
            self.wake.notify_one();
        }
    }

    /// How many marks wait.
    pub fn waiting(&self) -> usize {
        self.marks.lock().len()
    }

    fn add(&self, mark: Mark) {
        self.marks.lock().push(mark);
        self.wake.notify_one();
    }
}

impl Room {
    /// Takes what time led a session to conclude. An agent that is served elsewhere by now has said there how a push
    /// went.
    pub fn conclude(&self, agent: &Agent, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let is_owned = agent.with(|state| state.fence.is_some());
        if is_owned {
            self.evidence.conclude(agent.uid, events);
            return;
        }
        let view = self.consensus.view();
        let (pushes, rest) = events.into_iter().partition(|event| {
            matches!(event, Event::PushSucceeded(_) | Event::PushUnconfirmed(_))
        });
        self.evidence.conclude(agent.uid, rest);
        let pushes: Vec<Event> = pushes;
        for mark in pushes
            .into_iter()
            .filter_map(|event| mark_of(agent.uid, event))
        {
            let delivery = view.fleet.delivery(mark.dispatch, agent.uid);
            let to = delivery.map(|delivery| duty::verdict(&view.fleet, delivery));
            self.evidence.add(Mark {
                to: to.unwrap_or(mark.to),
                ..mark
            });
        }
    }
}

fn mark_of(agent: InstanceUid, event: Event) -> Option<Mark> {
    let (token, to) = match event {
        Event::RestartConfirmed(token)
        | Event::PushSucceeded(token)
        | Event::MessageWritten(token) => (token, MarkTo::Succeeded),
        Event::MessageLost(token) => (token, MarkTo::Failed(DeliveryError::OutcomeUnknown)),
        Event::RestartUnconfirmed(token) | Event::PushUnconfirmed(token) => {
            (token, MarkTo::Failed(DeliveryError::Unconfirmed))
        }
        Event::PushFailed(token, text) => {
            let text = super::convert::clip(&text);
            (token, MarkTo::Failed(DeliveryError::AgentFailed(text)))
        }
        Event::Unsupported(token) => (token, MarkTo::Failed(DeliveryError::LacksCapability)),
        Event::GapSeen | Event::FullStateRequested | Event::ComponentsRequested => return None,
    };
    Some(Mark {
        dispatch: DispatchId(token.0),
        agent,
        to,
    })
}

/// The error of a delivery that a session refused.
fn refused(refused: &Refused) -> DeliveryError {
    match refused {
        Refused::Unsupported => DeliveryError::LacksCapability,
        Refused::NothingDesired => DeliveryError::NothingAssigned,
        Refused::MailboxFull => DeliveryError::MailboxFull,
    }
}

/// Runs until `stop`: hands deliveries over as the fleet changes.
pub async fn drive_deliveries(room: Arc<Room>, stop: CancellationToken) {
    loop {
        let (agents, dispatches) = tokio::select! {
            taken = room.changes.next_deliveries() => taken,
            () = stop.cancelled() => return,
        };
        if dispatches {
            accepted::count(&room);
        }
        let uids = match agents {
            Agents::Named(uids) => uids.into_iter().collect(),
            Agents::All => room.registry.uids(),
        };
        for uid in uids {
            if room.registry.transport(uid) == Some(Transport::WebSocket) {
                hand_over(&room, uid).await;
            }
        }
    }
}

/// Runs until `stop`: proposes what the evidence says of deliveries.
pub async fn drive_marks(room: Arc<Room>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(MARKS_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = room.evidence.wake.notified() => {}
            // what could not be proposed waits for better times
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        look_at_unsure(&room);
        while room.may_act() {
            let marks: Vec<_> = {
                let mut marks = room.evidence.marks.lock();
                let count = marks.len().min(MARKS_MAX);
                marks.drain(..count).collect()
            };
            if marks.is_empty() {
                break;
            }
            if propose_marks(&room, marks.clone()).await.is_none() {
                room.evidence.marks.lock().extend(marks);
                break;
            }
        }
    }
}

/// Whether deliveries wait for this agent.
pub fn is_waiting(room: &Room, uid: InstanceUid) -> bool {
    room.consensus.view().fleet.queued_for(uid).next().is_some()
}

/// Hands the queued deliveries of one agent to its session. Called by the task for sockets, and by a poll
/// for agents that poll, because only then is there somebody to write to.
pub async fn hand_over(room: &Room, uid: InstanceUid) {
    let Some(agent) = room.registry.get(uid) else {
        return;
    };
    let view = room.consensus.view();
    for dispatch in view.fleet.queued_for(uid).collect::<Vec<_>>() {
        let Some(fence) = agent.acting_fence().filter(|_| room.may_act()) else {
            return;
        };
        let Some(action) = view.fleet.dispatch(dispatch).map(|d| d.action.clone()) else {
            continue;
        };
        let marked = match action {
            Action::Restart if planted::is(Bug::RestartBeforeMark) => {
                if agent.restart(Token(dispatch.0)).is_ok() {
                    mark_sent(room, dispatch, uid, fence, None).await;
                }
                continue;
            }
            Action::PushConfig => push(room, &view.fleet, dispatch, &agent, fence).await,
            // the rest waits for the mailbox, in order
            Action::CustomMessage { .. } if !agent.has_room_for_message() => return,
            Action::Restart | Action::CustomMessage { .. } => {
                let marked = mark_sent(room, dispatch, uid, fence, None).await;
                if marked == Marked::Sent {
                    hand(room, dispatch, &agent, action);
                }
                marked
            }
        };
        match marked {
            Marked::Sent => sent_age(room, dispatch),
            Marked::Refused => {}
            // what comes behind it keeps its order
            Marked::Unknown => return,
        }
    }
}

/// Gives a session what is marked as sent.
fn hand(room: &Room, dispatch: DispatchId, agent: &Agent, action: Action) {
    let token = Token(dispatch.0);
    let taken = match action {
        Action::Restart => agent.restart(token),
        Action::PushConfig => agent.push_config(token),
        Action::CustomMessage {
            capability,
            message_type,
            data,
        } => {
            let message = wire::CustomMessage {
                capability: capability.to_string(),
                r#type: message_type.to_string(),
                data: data.into(),
            };
            agent.custom_message(token, message)
        }
    };
    if let Err(why) = taken {
        fail(room, dispatch, agent.uid, refused(&why));
    }
}

/// Goes on with deliveries whose mark had no answer, as the fleet shows them now.
fn look_at_unsure(room: &Room) {
    let view = room.consensus.view();
    let (node, epoch) = (room.author.node, room.liveness.epoch());
    for found in room.evidence.handing.look(&view.fleet, node, epoch) {
        let (dispatch, uid, fence) = match found {
            Found::Queued(uid) => {
                room.changes.agent_arrived(uid);
                continue;
            }
            Found::Concluded(mark) => {
                room.evidence.add(mark);
                continue;
            }
            Found::Marked(dispatch, uid, fence) => (dispatch, uid, fence),
        };
        let owner = room.registry.get(uid).filter(|_| room.may_act());
        let owner = owner.filter(|agent| agent.acting_fence() == Some(fence));
        let action = view.fleet.dispatch(dispatch).map(|d| d.action.clone());
        if let (Some(agent), Some(action)) = (owner, action) {
            hand(room, dispatch, &agent, action);
        } else if let Some(delivery) = view.fleet.delivery(dispatch, uid) {
            // it never left, and nobody else will send it
            room.evidence.add(Mark {
                dispatch,
                agent: uid,
                to: duty::verdict(&view.fleet, delivery),
            });
        }
    }
}

async fn push(
    room: &Room,
    fleet: &Fleet,
    dispatch: DispatchId,
    agent: &Agent,
    fence: Fence,
) -> Marked {
    let uid = agent.uid;
    let desired = fleet
        .agent(uid)
        .and_then(|record| fleet.desired(record).version);
    let Some(version) = desired else {
        fail(room, dispatch, uid, DeliveryError::NothingAssigned);
        return Marked::Refused;
    };
    match agent.push_config(Token(dispatch.0)) {
        // a crash between the write and the mark pushes once more
        Ok(()) => mark_sent(room, dispatch, uid, fence, Some(version.hash)).await,
        Err(why) => {
            fail(room, dispatch, uid, refused(&why));
            Marked::Refused
        }
    }
}

fn fail(room: &Room, dispatch: DispatchId, agent: InstanceUid, error: DeliveryError) {
    room.evidence.add(Mark {
        dispatch,
        agent,
        to: MarkTo::Failed(error),
    });
}

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marked {
    /// The delivery is sent, and nobody else may send it.
    Sent,
    /// Another one was first, or it was not allowed.
    Refused,
    /// It may be either, and may still become it.
    Unknown,
}

async fn mark_sent(
    room: &Room,
    dispatch: DispatchId,
    agent: InstanceUid,
    fence: Fence,
    hash: Option<ampora_raft::ids::ConfigHash>,
) -> Marked {
    let under = (room.liveness.epoch(), fence);
    let Some(turn) = room.evidence.handing.begin((dispatch, agent), under) else {
        return Marked::Unknown;
    };
    let mark = Mark {
        dispatch,
        agent,
        to: MarkTo::Sent { fence, hash },
    };
    let Some(taken) = propose_marks(room, vec![mark]).await else {
        return Marked::Unknown;
    };
    let taken = !taken.is_empty();
    let concluded = turn.answered(taken, &room.consensus.view().fleet);
    if let Some(mark) = concluded {
        room.evidence.add(mark);
    }
    if taken { Marked::Sent } else { Marked::Refused }
}

fn sent_age(room: &Room, dispatch: DispatchId) {
    if let Some(record) = room.consensus.view().fleet.dispatch(dispatch) {
        let age_ms = room.clock.wall_ms().saturating_sub(record.created_ms);
        metrics::histogram!(names::DISPATCH_ENVELOPE_AGE)
            .record(Duration::from_millis(age_ms).as_secs_f64());
    }
}

/// The indices that took effect; `None` when it is not known whether any did.
async fn propose_marks(room: &Room, marks: Vec<Mark>) -> Option<Vec<u16>> {
    let epoch = room.liveness.epoch();
    let proposal = Proposal::MarkDeliveries(MarkDeliveries {
        node: room.author.node,
        epoch,
        marks,
    });
    let origin = origin::of_node(room.author.node);
    match room.consensus.propose(origin, proposal).await {
        Ok(committed) => {
            let outcome = committed.outcome;
            if let Outcome::Deliveries { taken, .. } = outcome {
                return Some(taken);
            }
            if let Outcome::Rejected(Rejection::Fenced(_)) = outcome {
                // what this incarnation knows may still be said by the next
                room.liveness.doubt(epoch);
                return None;
            }
            tracing::error!(?outcome, "marks of deliveries were refused");
            Some(Vec::new())
        }
        Err(error) => {
            tracing::debug!(%error, "marks of deliveries were not committed");
            None
        }
    }
}

#[cfg(test)]
mod tests;
