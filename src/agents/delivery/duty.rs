//! The duty `deliveries`: what is to be done once for all of them, by whoever holds the lease of that name.
//!
//! It makes the deliveries of dispatches by selector, ends those that were not sent in time, and those whose sender is
//! no more.

use std::time::Duration;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::outcome::Outcome;
use ampora_raft::planted::{self, Bug};
use ampora_raft::proposal::{Mark, MarkDeliveries, MarkTo, Proposal};
use ampora_raft::records::{ConfigStatus, Delivery, DeliveryError, DispatchState};

use super::MARKS_MAX;
use crate::node::leases::Tenure;

/// Deadlines of deliveries are looked at this often; they are stated in seconds.
const EXPIRY_PERIOD: Duration = Duration::from_secs(1);

/// What one entry may expire.
const EXPIRED_MAX: u16 = 256;

/// Performs the duty while the lease is held.
pub async fn perform(tenure: Tenure) {
    let room = tenure.room().clone();
    let mut tick = tokio::time::interval(EXPIRY_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // whoever had the lease before may have left something of each
    let mut due = true;
    loop {
        if due {
            due = !(expand(&tenure).await && finish_of_the_dead(&tenure).await);
        }
        expire(&tenure).await;
        tokio::select! {
            () = room.changes.next_deliveries_duty() => due = true,
            _ = tick.tick() => {}
        }
    }
}

/// Makes the deliveries of dispatches by selector, entry by entry; false when that failed.
async fn expand(tenure: &Tenure) -> bool {
    loop {
        let view = tenure.room().consensus.view();
        let Some(dispatch) = view.fleet.expanding().next() else {
            return true;
        };
        let Some(record) = view.fleet.dispatch(dispatch) else {
            return true;
        };
        let DispatchState::Expanding { cursor } = record.state else {
            return true;
        };
        let step = Proposal::ExpandDispatch { dispatch, cursor };
        if let Err(error) = tenure.propose(step).await {
            tracing::debug!(%error, %dispatch, "a dispatch could not be expanded");
            return false;
        }
    }
}

async fn expire(tenure: &Tenure) {
    loop {
        let consensus = &tenure.room().consensus;
        let view = consensus.view();
        let now_ms = view.fleet.deadline_ms(consensus.fleet_time_ms());
        let next_ms = view.fleet.next_expiry_ms();
        if next_ms.is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        let step = Proposal::ExpireDeliveries { limit: EXPIRED_MAX };
        match tenure.propose(step).await {
            Ok(committed)
                if matches!(committed.outcome, Outcome::Deliveries { more: true, .. }) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "deliveries could not be expired");
                return;
            }
        }
    }
}

/// Ends what was sent by incarnations that are over; false when that failed. A restart may or may not have happened,
/// and is never sent again; a push is judged by what the agent said last.
async fn finish_of_the_dead(tenure: &Tenure) -> bool {
    let room = tenure.room();
    loop {
        let view = room.consensus.view();
        let marks = due(&view.fleet, view.fleet.sent());
        if marks.is_empty() || planted::is(Bug::DeadUnfinished) {
            return true;
        }
        let step = Proposal::MarkDeliveries(MarkDeliveries {
            node: room.author.node,
            epoch: room.liveness.epoch(),
            marks,
        });
        match tenure.propose(step).await.map(|done| done.outcome) {
            Ok(Outcome::Deliveries { taken, .. }) if !taken.is_empty() => {}
            Ok(outcome) => {
                tracing::debug!(
                    ?outcome,
                    "deliveries of a node that is gone were not finished"
                );
                return false;
            }
            Err(error) => {
                tracing::debug!(%error, "deliveries of a node that is gone were not finished");
                return false;
            }
        }
    }
}

fn due(fleet: &Fleet, sent: impl Iterator<Item = (DispatchId, InstanceUid)>) -> Vec<Mark> {
    let orphaned = sent.filter_map(|(dispatch, agent)| {
        let delivery = fleet.delivery(dispatch, agent)?;
        let (node, epoch, _) = delivery.sent_by?;
        let sender = fleet.node(node);
        let is_alive = sender.is_some_and(|node| node.live && node.epoch == epoch);
        (!is_alive).then(|| Mark {
            dispatch,
            agent,
            to: verdict(fleet, delivery),
        })
    });
    orphaned.take(MARKS_MAX).collect()
}

/// What is known of a delivery by the fleet alone.
pub(in crate::agents) fn verdict(fleet: &Fleet, delivery: &Delivery) -> MarkTo {
    let Some(hash) = delivery.sent_hash else {
        return MarkTo::Failed(DeliveryError::OutcomeUnknown);
    };
    let Some(record) = fleet.agent(delivery.agent) else {
        return MarkTo::Failed(DeliveryError::AgentForgotten);
    };
    let config = &record.config;
    if config.status == ConfigStatus::Failed {
        MarkTo::Failed(DeliveryError::AgentFailed(config.error.clone()))
    } else if config.reported_hash.as_deref() == Some(&hash.0[..]) {
        MarkTo::Succeeded
    } else {
        MarkTo::Failed(DeliveryError::Unconfirmed)
    }
}
