//! `NoteWallTime`: how wall time and fleet time stood to each other under a leader, so that the next one can tell
//! how long nobody led.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use super::limits::DOWNTIME_MAX_MS;
use crate::outcome::Outcome;
use crate::records::Downtime;

impl Fleet {
    /// Adds what wall time says beyond fleet time since the last note, when a leader begins. A clock that went
    /// back adds nothing, one that jumped ahead no more than the limit.
    pub(super) fn note_wall_time(&mut self, cx: &mut Context<'_>, begins: bool) -> Outcome {
        let known = *self.downtime;
        let mut added_ms = 0;
        if begins && known.wall_ms != 0 {
            let wall_ms = cx.wall_ms.saturating_sub(known.wall_ms);
            let fleet_ms = cx.time_ms.saturating_sub(known.at_ms);
            added_ms = wall_ms.saturating_sub(fleet_ms).min(DOWNTIME_MAX_MS);
        }
        let noted = Downtime {
            total_ms: known.total_ms.saturating_add(added_ms),
            wall_ms: cx.wall_ms,
            at_ms: cx.time_ms,
        };
        if noted != known {
            self.put_downtime(cx, Arc::new(noted));
        }
        Outcome::Done
    }

    /// Deadline time at this fleet time: what dispatches and tokens expire by.
    pub fn deadline_ms(&self, fleet_ms: u64) -> u64 {
        fleet_ms.saturating_add(self.downtime.total_ms)
    }

    /// How wall time and fleet time stood to each other when it was last noted.
    pub fn downtime(&self) -> Downtime {
        *self.downtime
    }
}
