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

    /// Lets boot time go on, and no other.
    pub(crate) fn boot_passes(&self, ms: u64) {
        self.memory.state.lock().now.boot_ms += ms;
    }

    /// Lets the wall clock go on, and no other.
    pub(crate) fn wall_passes(&self, ms: u64) {
        self.memory.state.lock().now.wall_ms += ms;
    }
}
