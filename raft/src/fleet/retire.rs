//! Finished dispatches leave when there are too many, oldest first. A large one leaves over several
//! entries: each takes as many of its deliveries as the entry has rows left.

use super::context::Context;
use super::limits::{DELIVERIES_MAX, DELIVERIES_STEP, DISPATCHES_MAX};
use super::{Fleet, first};

/// Rows that the proposal itself still needs: the deliveries of one step and their dispatch.
const KEPT_FOR_THE_PROPOSAL: usize = DELIVERIES_STEP + 1;

impl Fleet {
    /// Makes room for one more dispatch and one step of deliveries, as far as this entry can.
    pub(super) fn retire(&mut self, cx: &mut Context<'_>) {
        while self.crowded() && cx.rows_left() > KEPT_FOR_THE_PROPOSAL {
            let Some(oldest) = first(&self.derived.finished) else {
                return;
            };
            let next = self
                .deliveries(oldest, None)
                .next()
                .map(|delivery| delivery.agent);
            match next {
                Some(agent) => {
                    self.take_delivery(cx, (oldest, agent));
                }
                None => self.remove_dispatch(cx, oldest),
            }
        }
    }

    fn crowded(&self) -> bool {
        self.dispatches.len() >= DISPATCHES_MAX
            || self.deliveries.len() + DELIVERIES_STEP > DELIVERIES_MAX
    }
}
