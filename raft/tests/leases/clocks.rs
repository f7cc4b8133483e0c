//! Chance from one seed, and the clocks of a node.

/// Numbers that look random and are the same in every run (splitmix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `from` up to and without `to`.
    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    /// One of so many.
    pub(crate) fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % len as u64).unwrap_or_default()
    }

    /// In so many of a million cases.
    pub(crate) fn happens(&mut self, ppm: u64) -> bool {
        self.within(0, 1_000_000) < ppm
    }
}

/// What a node reads of the time. Boot time is exact but for its rate; the wall clock jumps.
#[derive(Debug)]
pub(crate) struct Clocks {
    rate_ppm: u64,
    boot_us: u64,
    /// How much of it the node was suspended: what `CLOCK_MONOTONIC` lacks.
    suspended_us: u64,
    wall_off_ms: i64,
}

impl Clocks {
    pub(crate) fn new(chance: &mut Chance, drift_ppm: u64) -> Self {
        // the ends of the bound are where it breaks
        let rate_ppm = match chance.within(0, 4) {
            0 | 1 => 1_000_000 - drift_ppm,
            2 => 1_000_000 + drift_ppm,
            _ => 1_000_000,
        };
        Self {
            rate_ppm,
            boot_us: chance.within(1, 1_000_000_000),
            suspended_us: 0,
            wall_off_ms: 1_700_000_000_000,
        }
    }

    /// So much time passes.
    pub(crate) fn pass(&mut self, ms: u64, suspended: bool) {
        let passed_us = ms * self.rate_ppm / 1_000;
        self.boot_us += passed_us;
        if suspended {
            self.suspended_us += passed_us;
        }
    }

    pub(crate) fn jump_wall(&mut self, by_ms: i64) {
        self.wall_off_ms += by_ms;
    }

    pub(crate) fn boot_ms(&self) -> u64 {
        self.boot_us / 1_000
    }

    pub(crate) fn monotonic_ms(&self) -> u64 {
        (self.boot_us - self.suspended_us) / 1_000
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.boot_ms().saturating_add_signed(self.wall_off_ms)
    }
}
