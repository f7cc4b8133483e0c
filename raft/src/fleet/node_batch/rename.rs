//! A rename: the server gave an agent another uid (C-068). The conversation goes on under the new one.

use std::sync::Arc;

use super::super::Fleet;
use super::super::context::Context;
use super::Owner;
use crate::effect::Effect;
use crate::ids::InstanceUid;
use crate::outcome::OpOutcome;
use crate::records::{Delivery, DeliveryError, DeliveryState};

/// Rows that a rename touches at least: both records.
pub(super) const RENAME_ROWS: usize = 2;

/// Rows of its place of an enrollment token, under both uids.
const PLACE_ROWS: usize = 2;

impl Fleet {
    /// Moves a record with its labels, session and queued deliveries. What was sent stays under the old
    /// uid: the node that sent it knows it by that. A rename that touches more rows than this entry has
    /// left beside the `waiting` ones of later operations is `TooLarge`.
    pub(super) fn rename(
        &mut self,
        cx: &mut Context<'_>,
        owner: Owner,
        from: InstanceUid,
        to: InstanceUid,
        waiting: usize,
    ) -> OpOutcome {
        let Some(agent) = self.agents.get(&from) else {
            return OpOutcome::NotOwner;
        };
        if !owner.owns(agent) || self.agents.get(&to).is_some() {
            return OpOutcome::NotOwner;
        }
        let mut agent = (**agent).clone();
        // Each delivery touches its old row, its new one and, where it cannot move, its dispatch.
        let place = self.enrollments.get(&from).map_or(0, |_| PLACE_ROWS);
        let needed = waiting + RENAME_ROWS + place;
        let Some(spare) = cx.rows_left().checked_sub(needed) else {
            return OpOutcome::TooLarge;
        };
        let room = spare / 3;
        let queued: Vec<_> = self.queued_for(from).take(room + 1).collect();
        if queued.len() > room {
            return OpOutcome::TooLarge;
        }
        for dispatch in queued {
            if self.delivery(dispatch, to).is_none() {
                self.rename_delivery(cx, (dispatch, from), to);
            } else if let Some(delivery) = self.delivery(dispatch, from) {
                let state = DeliveryState::Failed(DeliveryError::AgentForgotten);
                let finished_ms = Some(cx.wall_ms);
                let delivery = Delivery {
                    state,
                    finished_ms,
                    ..(**delivery).clone()
                };
                self.put_delivery(cx, delivery);
            }
        }
        if let Some(place) = self.take_enrollment(cx, from) {
            let mut place = Arc::unwrap_or_clone(place);
            place.agent = to;
            self.put_enrollment(cx, place);
        }
        self.remove_agent(cx, from);
        agent.uid = to;
        self.put_agent(cx, agent);
        for uid in [from, to] {
            cx.effect(Effect::AgentChanged {
                uid,
                placement: true,
            });
        }
        OpOutcome::Done
    }
}
