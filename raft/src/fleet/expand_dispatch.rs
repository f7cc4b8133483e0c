//! `ExpandDispatch`: the next deliveries of a dispatch by selector, in uid order behind its cursor.

use super::context::Context;
use super::create_dispatch::{can_take, new_delivery};
use super::limits::{DELIVERIES_MAX, DELIVERIES_STEP, EXPAND_LOOKED_AT_MAX};
use super::{Fleet, limit_reached};
use crate::ids::{DispatchId, InstanceUid};
use crate::outcome::{Outcome, Rejection};
use crate::records::{DeliveryError, DeliveryState, Dispatch, DispatchState, Target};

/// What one step of an expansion found.
struct Found {
    /// Agents that match, with whether they have the capability.
    matching: Vec<(InstanceUid, bool)>,
    cursor: Option<InstanceUid>,
    /// Whether there are agents behind the cursor that were not looked at.
    more: bool,
}

impl Fleet {
    pub(super) fn expand_dispatch(
        &mut self,
        cx: &mut Context<'_>,
        id: DispatchId,
        seen: Option<InstanceUid>,
    ) -> Result<Outcome, Rejection> {
        let dispatch = self
            .dispatches
            .get(&id)
            .ok_or(Rejection::UnknownDispatch(id))?;
        if dispatch.state != (DispatchState::Expanding { cursor: seen }) {
            return Err(Rejection::CursorMoved);
        }
        let dispatch = dispatch.clone();
        if self.deliveries.len() >= DELIVERIES_MAX && self.derived.finished.len() == 0 {
            return Err(limit_reached("deliveries", DELIVERIES_MAX));
        }
        self.retire(cx);
        let found = self.look(&dispatch, seen);
        for (uid, capable) in &found.matching {
            let state = if *capable {
                DeliveryState::Queued
            } else {
                DeliveryState::Failed(DeliveryError::LacksCapability)
            };
            let delivery = new_delivery(cx, id, *uid, state);
            self.put_delivery(cx, delivery);
        }
        self.change_dispatch(cx, id, |dispatch| {
            dispatch.state = if found.more {
                DispatchState::Expanding {
                    cursor: found.cursor,
                }
            } else {
                DispatchState::Active
            };
        });
        Ok(touched(found.matching.len(), found.more))
    }

    fn look(&self, dispatch: &Dispatch, after: Option<InstanceUid>) -> Found {
        let room = DELIVERIES_MAX
            .saturating_sub(self.deliveries.len())
            .min(DELIVERIES_STEP);
        let mut found = Found {
            matching: Vec::new(),
            cursor: after,
            more: false,
        };
        for (looked_at, agent) in self.agents(after).enumerate() {
            if looked_at >= EXPAND_LOOKED_AT_MAX || found.matching.len() >= room {
                found.more = true;
                break;
            }
            found.cursor = Some(agent.uid);
            let chosen = match &dispatch.target {
                Target::Agent(uid) => agent.uid == *uid,
                Target::Selector(selector) => selector.matches(agent),
            };
            // A rename may have brought a delivery of this dispatch ahead of the cursor.
            if chosen && self.delivery(dispatch.id, agent.uid).is_none() {
                let capable = can_take(agent, &dispatch.action, dispatch.requires);
                found.matching.push((agent.uid, capable));
            }
        }
        found
    }
}

/// The outcome of a step that touched `count` deliveries.
pub(super) fn touched(count: usize, more: bool) -> Outcome {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    Outcome::Deliveries {
        taken: (0..count).collect(),
        more,
    }
}
