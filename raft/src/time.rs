//! Fleet time: how a leader stamps entries from its own boot-time clock. Pure: clocks are arguments.

/// The clocks of a node, read at the edge.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds of `CLOCK_BOOTTIME`: never jumps, runs through suspend.
    fn boot_ms(&self) -> u64;
    /// Wall time in milliseconds since 1970, for people.
    fn wall_ms(&self) -> u64;
}

/// The longest step between two stamps: what a leader stalled beyond it is lost, never caught up.
pub const STEP_MAX_MS: u64 = 2_000;

/// Stamps entries with fleet time for one leadership: continued from the last applied value by the
/// leader's own boot-time clock, with a clamp on each step and a rebase when it bites.
///
/// Without the rebase fleet time would run faster than real time after a stall until it had caught up,
/// and leases would end early (`engineering.md` §4.2).
#[derive(Clone, Debug)]
pub struct Stamper {
    base_ms: u64,
    base_boot_ms: u64,
    last_ms: u64,
}

impl Stamper {
    /// Begins at the fleet time last applied; `boot_ms` must be read after that entry was applied.
    pub fn new(fleet_ms: u64, boot_ms: u64) -> Self {
        Self {
            base_ms: fleet_ms,
            base_boot_ms: boot_ms,
            last_ms: fleet_ms,
        }
    }

    /// The stamp of an entry that is proposed at `boot_ms`; never before an earlier stamp.
    pub fn stamp(&mut self, boot_ms: u64) -> u64 {
        let passed = boot_ms.saturating_sub(self.base_boot_ms);
        let mut stamp = self.base_ms.saturating_add(passed).max(self.last_ms);
        let furthest = self.last_ms.saturating_add(STEP_MAX_MS);
        if stamp > furthest {
            stamp = furthest;
            self.base_ms = stamp;
            self.base_boot_ms = boot_ms;
        }
        self.last_ms = stamp;
        stamp
    }
}
