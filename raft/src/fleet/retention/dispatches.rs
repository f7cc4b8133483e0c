//! Dispatches that are finished for long, with their deliveries. A large one leaves over several entries.

use super::super::Fleet;
use super::super::context::Context;
use super::super::limits::{DISPATCH_KEPT_MS, DISPATCHES_STEP};
use super::is_due;
use crate::ids::DispatchId;
use crate::outcome::{Outcome, Rejection};
use crate::records::{Dispatch, DispatchState};

impl Fleet {
    pub(super) fn retire_dispatches(
        &mut self,
        cx: &mut Context<'_>,
        dispatches: &[DispatchId],
    ) -> Result<Outcome, Rejection> {
        if dispatches.len() > DISPATCHES_STEP {
            return Err(Rejection::TooLarge("dispatches".into()));
        }
        let mut count = 0;
        for id in dispatches {
            let known = self.dispatches.get(id);
            if !known.is_some_and(|dispatch| may_leave(dispatch, cx.time_ms)) {
                continue;
            }
            while cx.rows_left() > 0 {
                let next = self.deliveries(*id, None).next();
                let Some(agent) = next.map(|delivery| delivery.agent) else {
                    break;
                };
                self.take_delivery(cx, (*id, agent));
            }
            if cx.rows_left() == 0 {
                return Ok(Outcome::Removed { count, more: true });
            }
            self.remove_dispatch(cx, *id);
            count += 1;
        }
        Ok(Outcome::Removed { count, more: false })
    }
}

/// Whether a dispatch is finished for as long as it is kept.
pub fn may_leave(dispatch: &Dispatch, now_ms: u64) -> bool {
    match dispatch.state {
        DispatchState::Done { finished_at_ms, .. } => {
            is_due(finished_at_ms, DISPATCH_KEPT_MS, now_ms)
        }
        DispatchState::Expanding { .. } | DispatchState::Active => false,
    }
}
