//! The clocks of a simulated machine. True time is the simulation's alone; a machine sees its own boot time, which
//! runs at its own rate and through suspend, and a wall clock that may say anything.

use std::sync::atomic::{AtomicU64, Ordering};

use ampora_raft::time::Clock;

/// Parts of a million: the unit of clock rates.
const MILLION: u64 = 1_000_000;

/// Clock rates up to 5 % off are what leases are made for.
pub const DRIFT_BOUND_PPM: u64 = 50_000;

/// `true_us` of true time on a clock that runs at `rate` millionths.
pub fn at_rate(true_us: u64, rate: u64) -> u64 {
    true_us.saturating_mul(rate) / MILLION
}

/// What one machine sees.
#[derive(Debug)]
pub struct Clocks {
    boot_us: AtomicU64,
    wall_ms: AtomicU64,
    /// Instead of boot time a bug may read this, which stands in suspend.
    monotonic_us: AtomicU64,
}

impl Clocks {
    /// Clocks of a machine that begins.
    pub fn new(wall_ms: u64) -> Self {
        Self {
            boot_us: AtomicU64::new(1_000_000),
            wall_ms: AtomicU64::new(wall_ms),
            monotonic_us: AtomicU64::new(1_000_000),
        }
    }

    /// Time passes by `us` of this machine's own time; awake or in suspend.
    pub fn pass(&self, us: u64, awake: bool) {
        self.boot_us.fetch_add(us, Ordering::Relaxed);
        if awake {
            self.monotonic_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::Relaxed);
    }

    /// The machine boots: boot time begins anew.
    pub fn reboot(&self) {
        self.boot_us.store(1_000_000, Ordering::Relaxed);
        self.monotonic_us.store(1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Clocks {
    fn boot_ms(&self) -> u64 {
        let us = if ampora_raft::planted::is(ampora_raft::planted::Bug::MonotonicTime) {
            &self.monotonic_us
        } else {
            &self.boot_us
        };
        us.load(Ordering::Relaxed) / 1000
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }
}
