//! Dispatches by selector that operators gave to this node, until their deliveries are counted.
//!
//! Whether an instruction came to the node that serves its agent is known when there is a delivery, whoever makes it.

use std::collections::BTreeMap;

use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::records::{DeliveryError, DeliveryState, DispatchState};
use parking_lot::Mutex;

use crate::agents::room::Room;
use crate::telemetry::dispatches;

/// Dispatches whose deliveries are still to be made; one that is too many is not counted.
const ACCEPTED_MAX: usize = 4_096;

/// By dispatch, the last agent that was counted.
#[derive(Debug, Default)]
pub struct Accepted(Mutex<BTreeMap<DispatchId, Option<InstanceUid>>>);

impl Accepted {
    /// A dispatch was accepted here.
    pub fn add(&self, dispatch: DispatchId) {
        let mut accepted = self.0.lock();
        if accepted.len() < ACCEPTED_MAX {
            accepted.entry(dispatch).or_insert(None);
        }
    }
}

/// Counts the deliveries that were made since the last look.
pub(super) fn count(room: &Room) {
    let mut accepted = room.accepted.0.lock();
    let view = room.consensus.view();
    accepted.retain(|dispatch, after| {
        for delivery in view.fleet.deliveries(*dispatch, *after) {
            *after = Some(delivery.agent);
            if delivery.state == DeliveryState::Failed(DeliveryError::LacksCapability) {
                continue;
            }
            let record = view.fleet.agent(delivery.agent);
            let session = record.and_then(|record| view.fleet.valid_session(record));
            dispatches::accepted(session.map(|session| session.node), room.author.node);
        }
        let record = view.fleet.dispatch(*dispatch);
        record.is_some_and(|record| matches!(record.state, DispatchState::Expanding { .. }))
    });
}
