//! Time of the node in memory: it passes when a test says so.

use super::{Now, Site};

impl Site {
    /// Sets its clocks.
    pub(crate) fn set_now(&self, now: Now) {
        self.memory.state.lock().now = now;
    }

    /// Lets fleet time pass, and no other.
    pub(crate) fn fleet_passes(&self, ms: u64) {
        self.memory.state.lock().now.fleet_ms += ms;
    }
}
