//! `Found`: the fleet gets its lineage, once.

use super::Fleet;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};

/// What this version can apply.
pub const FEATURE_LEVEL: u16 = 1;

impl Fleet {
    pub(super) fn found(
        &mut self,
        cx: &mut Context<'_>,
        lineage: u128,
    ) -> Result<Outcome, Rejection> {
        if self.meta.lineage != 0 {
            return Err(Rejection::AlreadyFounded);
        }
        let meta = self.meta_mut();
        meta.lineage = lineage;
        meta.feature_level = FEATURE_LEVEL;
        meta.founded_ms = cx.wall_ms;
        Ok(Outcome::Done)
    }
}
