//! The delivery task: hands queued deliveries to the sessions that this node owns.
//!
//! Level-triggered: an activation takes no instruction, it reads the fleet; a crash at any
//! point is repaired by the next activation. A restart is marked as sent before it is written (at most
//! once), a push of configuration is marked after (at least once).

pub mod accepted;
pub mod duty;
mod unsure;

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

use super::agent::Agent;
use super::changes::Agents;
use super::room::Room;
use crate::node::origin;
use crate::telemetry::names;

use unsure::{Found, Unsure};

/// What an entry may carry.
const MARKS_MAX: usize = 256;

/// Between two tries of marks that could not be proposed.
const MARKS_PERIOD: Duration = Duration::from_secs(1);

/// Marks that follow from what agents did, until they are in the log. Bounded by the deliveries that were
/// sent, of which each gives one.
#[derive(Debug, Default)]
pub struct Evidence {
    marks: Mutex<Vec<Mark>>,
    wake: Notify,
    /// Marks of what is to be written that were not answered.
    unsure: Unsure,
}

impl Evidence {
    /// Keeps what a session concluded about a delivery.
    pub fn conclude(&self, agent: InstanceUid, events: Vec<Event>) {
        let marks: Vec<_> = events
            .into_iter()
            .filter_map(|event| mark_of(agent, event))
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
        Event::PushUnassigned(token) => (token, MarkTo::Failed(DeliveryError::NothingAssigned)),
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
        let is_unsure = !room.evidence.unsure.is_empty();
        let (agents, dispatches) = tokio::select! {
            taken = room.changes.next_deliveries() => taken,
            () = tokio::time::sleep(MARKS_PERIOD), if is_unsure => {
                unsure::leave_to_others(&room);
                let again = room.evidence.unsure.all().into_iter();
                (Agents::Named(again.map(|(uid, _)| uid).collect()), false)
            }
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
    let is_unsure = !room.evidence.unsure.is_empty() && !room.evidence.unsure.of(uid).is_empty();
    is_unsure || room.consensus.view().fleet.queued_for(uid).next().is_some()
}

/// Hands the queued deliveries of one agent to its session. Called by the task for sockets, and by a poll
/// for agents that poll, because only then is there somebody to write to.
pub async fn hand_over(room: &Room, uid: InstanceUid) {
    let Some(agent) = room.registry.get(uid) else {
        return;
    };
    let view = room.consensus.view();
    let mut waiting: Vec<_> = room.evidence.unsure.of(uid);
    waiting.extend(view.fleet.queued_for(uid));
    // in the order in which they were given, each once
    waiting.sort_unstable();
    waiting.dedup();
    for dispatch in waiting {
        let Some(fence) = agent.acting_fence().filter(|_| room.may_act()) else {
            return;
        };
        let Some(action) = view.fleet.dispatch(dispatch).map(|d| d.action.clone()) else {
            room.evidence.unsure.forget(uid, dispatch);
            continue;
        };
        match action {
            Action::Restart => {
                if planted::is(Bug::RestartBeforeMark) {
                    if agent.restart(Token(dispatch.0)).is_ok() {
                        let _ = mark_sent(room, dispatch, uid, fence, None).await;
                    }
                    continue;
                }
                if may_write(room, dispatch, uid, fence).await {
                    sent_age(room, dispatch);
                    if let Err(why) = agent.restart(Token(dispatch.0)) {
                        fail(room, dispatch, uid, refused(&why));
                    }
                }
            }
            Action::PushConfig => push(room, &view.fleet, dispatch, &agent, fence).await,
            Action::CustomMessage {
                capability,
                message_type,
                data,
            } => {
                // the rest waits for the mailbox, in order
                if !agent.has_room_for_message() {
                    return;
                }
                if may_write(room, dispatch, uid, fence).await {
                    sent_age(room, dispatch);
                    let message = wire::CustomMessage {
                        capability: capability.to_string(),
                        r#type: message_type.to_string(),
                        data: data.into(),
                    };
                    if let Err(why) = agent.custom_message(Token(dispatch.0), message) {
                        fail(room, dispatch, uid, refused(&why));
                    }
                }
            }
        }
    }
}

/// Marks something as sent that is to be written once at most; whether this node, and nobody else, writes it now.
async fn may_write(room: &Room, dispatch: DispatchId, uid: InstanceUid, fence: Fence) -> bool {
    let Some(asking) = room.evidence.unsure.ask(uid, dispatch) else {
        return false;
    };
    let was_queued = unsure::look(room, dispatch, uid, Some(fence)) == Found::Queued;
    if was_queued {
        match mark_sent(room, dispatch, uid, fence, None).await {
            Some(true) => {
                asking.answered();
                return true;
            }
            // a proposal that reached the leader twice is answered for the second time
            Some(false) => {}
            None => return false,
        }
    }
    // this turn, or an earlier one that was not answered, has marked it, and nobody else had one since
    let is_unwritten = asking.answered() || was_queued;
    is_unwritten && unsure::look(room, dispatch, uid, Some(fence)) == Found::Ours
}

async fn push(room: &Room, fleet: &Fleet, dispatch: DispatchId, agent: &Agent, fence: Fence) {
    let uid = agent.uid;
    let Some(asking) = room.evidence.unsure.ask(uid, dispatch) else {
        return;
    };
    if asking.again && unsure::look(room, dispatch, uid, Some(fence)) != Found::Queued {
        // marked and pushed: the session waits for what the agent says
        asking.answered();
        return;
    }
    let desired = fleet
        .agent(uid)
        .and_then(|record| fleet.desired(record).version);
    let Some(version) = desired else {
        fail(room, dispatch, uid, DeliveryError::NothingAssigned);
        asking.answered();
        return;
    };
    match agent.push_config(Token(dispatch.0)) {
        // a crash between the write and the mark pushes once more
        Ok(()) => {
            let taken = mark_sent(room, dispatch, uid, fence, Some(version.hash)).await;
            if taken == Some(true) {
                sent_age(room, dispatch);
            }
            if taken.is_some() {
                asking.answered();
            }
        }
        Err(why) => {
            fail(room, dispatch, uid, refused(&why));
            asking.answered();
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

/// Whether the mark was taken; `None` when that is not known.
async fn mark_sent(
    room: &Room,
    dispatch: DispatchId,
    agent: InstanceUid,
    fence: Fence,
    hash: Option<ampora_raft::ids::ConfigHash>,
) -> Option<bool> {
    let mark = Mark {
        dispatch,
        agent,
        to: MarkTo::Sent { fence, hash },
    };
    let taken = propose_marks(room, vec![mark]).await?;
    Some(!taken.is_empty())
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
