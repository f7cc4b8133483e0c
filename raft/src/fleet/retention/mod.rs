//! `Retention`: what has had its time leaves, in steps. A node says where to look; whether something goes is
//! decided here, by fleet time and by what refers to it.

mod agents;
mod dispatches;
mod versions;

pub use agents::is_bare;
pub use dispatches::may_leave;

use super::context::Context;
use super::limits::{BODY_PARTS_MAX, KEY_KEPT_MS};
use super::{Fleet, first};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::Retention;

/// Rows of one body: what is known of it, and its parts.
const BODY_ROWS: usize = 1 + BODY_PARTS_MAX as usize;

impl Fleet {
    pub(super) fn retention(
        &mut self,
        cx: &mut Context<'_>,
        given: &Retention,
    ) -> Result<Outcome, Rejection> {
        match given {
            Retention::ForgetAgents {
                agents,
                after_ms,
                bare_after_ms,
            } => self.forget_agents(cx, agents, *after_ms, *bare_after_ms),
            Retention::TrimVersions { configuration } => self.trim_versions(cx, configuration),
            Retention::RetireDispatches { dispatches } => self.retire_dispatches(cx, dispatches),
            Retention::ExpireKeys => Ok(self.expire_keys(cx)),
            Retention::DropStaged { until_index } => Ok(self.drop_staged(cx, *until_index)),
        }
    }

    fn expire_keys(&mut self, cx: &mut Context<'_>) -> Outcome {
        let mut count = 0;
        while self
            .oldest_key_ms()
            .is_some_and(|at_ms| is_due(at_ms, KEY_KEPT_MS, cx.time_ms))
        {
            if cx.rows_left() == 0 {
                return Outcome::Removed { count, more: true };
            }
            self.drop_oldest_idempotency(cx);
            count += 1;
        }
        Outcome::Removed { count, more: false }
    }

    fn drop_staged(&mut self, cx: &mut Context<'_>, until_index: u64) -> Outcome {
        let mut count = 0;
        while let Some((index, hash)) = first(&self.derived.staged) {
            if index > until_index {
                break;
            }
            if cx.rows_left() < BODY_ROWS {
                return Outcome::Removed { count, more: true };
            }
            self.remove_body(cx, hash);
            count += 1;
        }
        Outcome::Removed { count, more: false }
    }

    /// Fleet time of the oldest idempotency key.
    pub fn oldest_key_ms(&self) -> Option<u64> {
        let (_, key) = first(&self.derived.idempotency_order)?;
        self.idempotency.get(&key).map(|row| row.at_ms)
    }

    /// The index of the log at which the oldest body came that no version uses.
    pub fn oldest_staged_index(&self) -> Option<u64> {
        first(&self.derived.staged).map(|(index, _)| index)
    }
}

/// Whether what began at `at_ms` has lasted for `kept_ms`.
fn is_due(at_ms: u64, kept_ms: u64, now_ms: u64) -> bool {
    at_ms.saturating_add(kept_ms) <= now_ms
}
