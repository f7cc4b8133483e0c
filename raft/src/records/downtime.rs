//! Deadline time: fleet time, and the time that passed while nobody led.

use serde::{Deserialize, Serialize};

/// What deadline time has beyond fleet time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// Milliseconds while nobody led, by wall clocks.
    pub total_ms: u64,
    /// Wall time when it was last noted; 0 before that.
    pub wall_ms: u64,
    /// Fleet time at that moment.
    pub at_ms: u64,
}
