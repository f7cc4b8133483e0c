//! Deliveries that are on their way into the log as sent: whoever asks the log may never hear its answer.
//!
//! A mark whose answer was lost may have taken effect, and may still. So the delivery stays here until the fleet shows
//! which: then it is handed over after all, once, or ended. One delivery is handed over by one task at a time, and
//! what a session concludes of it before its mark is known waits behind the mark, which the fleet would miss otherwise.

use std::collections::BTreeMap;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{DispatchId, Epoch, Fence, InstanceUid, NodeId};
use ampora_raft::proposal::{Mark, MarkTo};
use ampora_raft::records::DeliveryState;
use parking_lot::Mutex;

type Key = (DispatchId, InstanceUid);

/// The deliveries. Bounded by those that the fleet has: each is here once.
#[derive(Debug, Default)]
pub(super) struct Handing(Mutex<BTreeMap<Key, State>>);

/// How far one has got.
#[derive(Debug)]
struct State {
    stage: Stage,
    /// Under what it was, or was to be, marked as sent.
    epoch: Epoch,
    fence: Fence,
    /// What the session concluded meanwhile.
    concluded: Option<MarkTo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The log is being asked; `again`: after an answer that was lost.
    Asking { again: bool },
    /// The answer was lost.
    Unsure,
    /// It was marked and handed over, and a fleet that is behind may still show it as queued.
    Done,
}

/// The right to hand one delivery over. Dropped without an answer it leaves the delivery unsure.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    handing: &'a Handing,
    key: Key,
    answered: bool,
}

/// What is to be done for a delivery whose mark had no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is still queued: it may be tried again.
    Queued(InstanceUid),
    /// It was marked, under this fence, and nobody has handed it over.
    Marked(DispatchId, InstanceUid, Fence),
    /// It was marked, and the session has said how it ended.
    Concluded(Mark),
}

impl Handing {
    /// The turn to hand a delivery over; none while another task has it or has had it.
    pub(super) fn begin(&self, key: Key, (epoch, fence): (Epoch, Fence)) -> Option<Turn<'_>> {
        let mut states = self.0.lock();
        let again = match states.get(&key).map(|state| state.stage) {
            None => false,
            Some(Stage::Unsure) => true,
            Some(Stage::Asking { .. } | Stage::Done) => return None,
        };
        let concluded = states.remove(&key).and_then(|state| state.concluded);
        states.insert(
            key,
            State {
                stage: Stage::Asking { again },
                epoch,
                fence,
                concluded,
            },
        );
        Some(Turn {
            handing: self,
            key,
            answered: false,
        })
    }

    /// Keeps a conclusion back whose delivery is not known to be marked; gives back any other.
    pub(super) fn keep_back(&self, mark: Mark) -> Option<Mark> {
        let mut states = self.0.lock();
        match states.get_mut(&(mark.dispatch, mark.agent)) {
            Some(state) if state.stage != Stage::Done => {
                state.concluded = Some(mark.to);
                None
            }
            Some(_) | None => Some(mark),
        }
    }

    /// What the fleet shows of deliveries without an answer. Those that are decided are not here any more.
    pub(super) fn look(&self, fleet: &Fleet, node: NodeId, epoch: Epoch) -> Vec<Found> {
        let mut found = Vec::new();
        self.0.lock().retain(|(dispatch, agent), state| {
            if matches!(state.stage, Stage::Asking { .. }) {
                return true;
            }
            let delivery = fleet.delivery(*dispatch, *agent);
            let is_queued = delivery.is_some_and(|known| known.state == DeliveryState::Queued);
            if is_queued {
                found.extend((state.stage == Stage::Unsure).then_some(Found::Queued(*agent)));
                return true;
            }
            let by = (node, epoch, state.fence);
            // what an incarnation that is over has sent is ended by the duty
            let is_ours = state.stage == Stage::Unsure
                && state.epoch == epoch
                && delivery.is_some_and(|known| {
                    known.state == DeliveryState::Sent && known.sent_by == Some(by)
                });
            if is_ours {
                found.push(match state.concluded.take() {
                    Some(to) => Found::Concluded(Mark {
                        dispatch: *dispatch,
                        agent: *agent,
                        to,
                    }),
                    None => Found::Marked(*dispatch, *agent, state.fence),
                });
            }
            false
        });
        found
    }
}

impl Turn<'_> {
    /// The log has answered. What the session has concluded meanwhile, when the mark took effect.
    pub(super) fn answered(mut self, taken: bool, fleet: &Fleet) -> Option<Mark> {
        self.answered = true;
        let mut states = self.handing.0.lock();
        let state = states.get_mut(&self.key)?;
        if !taken && state.stage == (Stage::Asking { again: true }) {
            // an earlier try may have been first
            state.stage = Stage::Unsure;
            return None;
        }
        let (dispatch, agent) = self.key;
        let concluded = state.concluded.take().filter(|_| taken);
        let delivery = fleet.delivery(dispatch, agent);
        if taken && delivery.is_some_and(|known| known.state == DeliveryState::Queued) {
            state.stage = Stage::Done;
        } else {
            states.remove(&self.key);
        }
        concluded.map(|to| Mark {
            dispatch,
            agent,
            to,
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        if let Some(state) = self.handing.0.lock().get_mut(&self.key) {
            state.stage = Stage::Unsure;
        }
    }
}
