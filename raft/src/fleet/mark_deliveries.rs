//! `MarkDeliveries`: what became of deliveries, as the nodes that handle them say. Marks that the state or
//! the ownership does not allow are not taken: another one was first.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use super::limits::{DETAIL_BYTES_MAX, MARKS_MAX};
use crate::ids::{ConfigHash, Epoch, Fence, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{Mark, MarkDeliveries, MarkTo};
use crate::records::{Delivery, DeliveryError, DeliveryState};

/// Rows that one mark may touch: the delivery and its dispatch.
const ROWS_PER_MARK: usize = 2;

impl Fleet {
    pub(super) fn mark_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        given: &MarkDeliveries,
    ) -> Result<Outcome, Rejection> {
        if given.marks.len() > MARKS_MAX {
            return Err(Rejection::TooLarge("marks".into()));
        }
        if !self.is_live(given.node, given.epoch) {
            return Err(Rejection::Fenced(given.epoch));
        }
        let marker = (given.node, given.epoch);
        let mut taken = Vec::new();
        for (place, mark) in (0_u16..).zip(&given.marks) {
            if cx.rows_left() < ROWS_PER_MARK {
                return Ok(Outcome::Deliveries { taken, more: true });
            }
            if let Some(delivery) = self.marked(cx, marker, mark) {
                self.put_delivery(cx, delivery);
                taken.push(place);
            }
        }
        Ok(Outcome::Deliveries { taken, more: false })
    }

    /// The delivery after the mark, or `None` when the mark is not allowed.
    fn marked(&self, cx: &Context<'_>, marker: (NodeId, Epoch), mark: &Mark) -> Option<Delivery> {
        let delivery = self.delivery(mark.dispatch, mark.agent)?;
        let owned = self.owned_under(marker, mark);
        match (&delivery.state, &mark.to) {
            (DeliveryState::Queued, MarkTo::Sent { fence, hash }) => {
                let due = self.dispatch(mark.dispatch)?.expires_at_ms > cx.deadline_ms;
                let by = (marker.0, marker.1, *fence);
                (due && owned == Some(*fence)).then(|| sent(delivery, cx, by, *hash))
            }
            (DeliveryState::Queued, MarkTo::Failed(error)) => {
                let allowed = owned.is_some() || self.agent(mark.agent).is_none();
                allowed.then(|| finished(delivery, cx, failed(error)))
            }
            (DeliveryState::Sent, MarkTo::Succeeded) => self
                .may_finish(marker, delivery, owned)
                .then(|| finished(delivery, cx, DeliveryState::Succeeded)),
            (DeliveryState::Sent, MarkTo::Failed(error)) => self
                .may_finish(marker, delivery, owned)
                .then(|| finished(delivery, cx, failed(error))),
            (DeliveryState::Queued, MarkTo::Succeeded)
            | (DeliveryState::Sent, MarkTo::Sent { .. })
            | (
                DeliveryState::Succeeded
                | DeliveryState::Failed(_)
                | DeliveryState::Expired
                | DeliveryState::Cancelled,
                _,
            ) => None,
        }
    }

    /// The fence under which the marker owns the agent, if it does.
    fn owned_under(&self, marker: (NodeId, Epoch), mark: &Mark) -> Option<Fence> {
        let session = self.valid_session(self.agent(mark.agent)?)?;
        ((session.node, session.epoch) == marker).then_some(session.fence)
    }

    /// Who saw the end: the sender, the owner of the agent, or anybody once the sender's epoch is over.
    fn may_finish(
        &self,
        marker: (NodeId, Epoch),
        delivery: &Delivery,
        owned: Option<Fence>,
    ) -> bool {
        let sender = delivery.sent_by.map(|(node, epoch, _)| (node, epoch));
        let alive = sender.is_some_and(|(node, epoch)| self.is_live(node, epoch));
        owned.is_some() || sender == Some(marker) || !alive
    }
}

fn sent(
    delivery: &Delivery,
    cx: &Context<'_>,
    by: (NodeId, Epoch, Fence),
    hash: Option<ConfigHash>,
) -> Delivery {
    Delivery {
        state: DeliveryState::Sent,
        sent_ms: Some(cx.wall_ms),
        sent_at_ms: Some(cx.time_ms),
        sent_by: Some(by),
        sent_hash: hash,
        ..delivery.clone()
    }
}

/// The delivery in a terminal state.
pub(super) fn finished(delivery: &Delivery, cx: &Context<'_>, state: DeliveryState) -> Delivery {
    Delivery {
        state,
        finished_ms: Some(cx.wall_ms),
        ..delivery.clone()
    }
}

/// The failure with its text cut to what a row may hold.
fn failed(error: &DeliveryError) -> DeliveryState {
    DeliveryState::Failed(match error {
        DeliveryError::AgentFailed(text) if text.len() > DETAIL_BYTES_MAX => {
            let cut = text.floor_char_boundary(DETAIL_BYTES_MAX);
            DeliveryError::AgentFailed(Arc::from(&text[..cut]))
        }
        DeliveryError::AgentFailed(_)
        | DeliveryError::LacksCapability
        | DeliveryError::OutcomeUnknown
        | DeliveryError::Unconfirmed
        | DeliveryError::NothingAssigned
        | DeliveryError::MailboxFull
        | DeliveryError::AgentForgotten => error.clone(),
    })
}
