//! Marks that the log did not answer: they may have been taken, and nothing was written for them yet.
//!
//! Nothing else would look at these deliveries again, because nothing about them changes. They are proposed again until
//! the log answers; then it is known whether the mark is there, and that this node alone may still write.

use std::collections::BTreeSet;

use ampora_raft::ids::{DispatchId, Fence, InstanceUid};
use ampora_raft::records::{DeliveryError, DeliveryState};
use parking_lot::Mutex;

use super::{Room, fail};

/// Deliveries of this process that are being marked, and those whose mark is not known. Bounded by the deliveries that were
/// queued for its agents.
#[derive(Debug, Default)]
pub(super) struct Unsure(Mutex<Deliveries>);

#[derive(Debug, Default)]
struct Deliveries {
    asked: BTreeSet<(InstanceUid, DispatchId)>,
    unknown: BTreeSet<(InstanceUid, DispatchId)>,
}

/// The marking of a delivery. One that ends without an answer, whoever waited for it or went, leaves it unsure.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    unsure: &'a Unsure,
    delivery: (InstanceUid, DispatchId),
    /// Whether an earlier try was not answered.
    pub(super) again: bool,
    answered: bool,
}

impl Unsure {
    /// Begins to mark a delivery, if nobody else does.
    pub(super) fn ask(&self, uid: InstanceUid, dispatch: DispatchId) -> Option<Asking<'_>> {
        let delivery = (uid, dispatch);
        let mut deliveries = self.0.lock();
        if !deliveries.asked.insert(delivery) {
            return None;
        }
        Some(Asking {
            unsure: self,
            delivery,
            again: deliveries.unknown.remove(&delivery),
            answered: false,
        })
    }

    /// Nothing is to be known about it any more.
    pub(super) fn forget(&self, uid: InstanceUid, dispatch: DispatchId) {
        self.0.lock().unknown.remove(&(uid, dispatch));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unknown.is_empty()
    }

    pub(super) fn of(&self, uid: InstanceUid) -> Vec<DispatchId> {
        let deliveries = self.0.lock();
        let first = (uid, DispatchId(0));
        let of_it = deliveries
            .unknown
            .range(first..=(uid, DispatchId(u64::MAX)));
        of_it.map(|(_, dispatch)| *dispatch).collect()
    }

    pub(super) fn all(&self) -> Vec<(InstanceUid, DispatchId)> {
        self.0.lock().unknown.iter().copied().collect()
    }
}

impl Asking<'_> {
    /// The log has answered.
    pub(super) fn answered(mut self) -> bool {
        self.answered = true;
        self.again
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut deliveries = self.unsure.0.lock();
        deliveries.asked.remove(&self.delivery);
        if !self.answered {
            deliveries.unknown.insert(self.delivery);
        }
    }
}

/// What has become of a delivery whose mark was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It waits: the mark is proposed again.
    Queued,
    /// It is marked by this very session, and nobody has written it.
    Ours,
    /// Nothing of it may be written any more.
    Over,
}

/// Looks what the fleet says by now. What this node marked in a session that is over was never written, and ends.
pub(super) fn look(
    room: &Room,
    dispatch: DispatchId,
    uid: InstanceUid,
    fence: Option<Fence>,
) -> Found {
    let view = room.consensus.view();
    let Some(delivery) = view.fleet.delivery(dispatch, uid) else {
        return Found::Over;
    };
    match delivery.state {
        DeliveryState::Queued => return Found::Queued,
        DeliveryState::Sent => {}
        DeliveryState::Succeeded
        | DeliveryState::Failed(_)
        | DeliveryState::Expired
        | DeliveryState::Cancelled => return Found::Over,
    }
    let Some((node, epoch, under)) = delivery.sent_by else {
        return Found::Over;
    };
    if (node, epoch) == (room.author.node, room.liveness.epoch()) && fence == Some(under) {
        return Found::Ours;
    }
    if node == room.author.node {
        fail(room, dispatch, uid, DeliveryError::OutcomeUnknown);
    }
    Found::Over
}

/// Ends what was marked for agents that are not served here any more.
pub(super) fn leave_to_others(room: &Room) {
    for (uid, dispatch) in room.evidence.unsure.all() {
        let agent = room.registry.get(uid);
        let fence = agent.and_then(|agent| agent.acting_fence());
        if fence.is_none() && look(room, dispatch, uid, None) == Found::Over {
            room.evidence.unsure.forget(uid, dispatch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_is_unsure_and_asked_by_one_at_a_time() {
        let unsure = Unsure::default();
        let uid = InstanceUid::from_u128;
        for (agent, dispatch) in [(1, 7), (2, 1), (2, u64::MAX), (3, 0)] {
            drop(unsure.ask(uid(agent), DispatchId(dispatch)));
        }
        assert_eq!(unsure.of(uid(2)), [DispatchId(1), DispatchId(u64::MAX)]);
        let asking = unsure.ask(uid(2), DispatchId(1)).expect("nobody asks");
        assert!(asking.again);
        assert!(unsure.ask(uid(2), DispatchId(1)).is_none());
        assert!(asking.answered());
        let asking = unsure.ask(uid(2), DispatchId(1)).expect("nobody asks");
        assert!(!asking.again);
        assert!(!asking.answered());
        unsure.forget(uid(3), DispatchId(0));
        assert_eq!(unsure.all().len(), 2);
        assert!(!unsure.is_empty());
    }
}
