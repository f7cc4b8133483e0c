//! `Found`: the fleet gets its lineage, once.

use super::Fleet;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};

/// What this version can apply. Level 2: nodes that join, liveness, leases. Level 3: what operators ask of members.
pub const FEATURE_LEVEL: u16 = MEMBERS_LEVEL;

/// The level from which on the log says who is to vote, and the fleet remembers who was removed.
pub const MEMBERS_LEVEL: u16 = 3;

/// The level at which a fleet begins, whatever version founds it: a log is replayed by later versions, and its first
/// entry must go on meaning what it meant. `SetFeatureLevel` follows it.
const FIRST_LEVEL: u16 = 1;

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
        meta.feature_level = meta.feature_level.max(FIRST_LEVEL);
        meta.founded_ms = cx.wall_ms;
        Ok(Outcome::Done)
    }
}
