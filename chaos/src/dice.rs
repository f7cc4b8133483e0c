//! The chance of a run: everything random that the simulation decides is drawn from dice that follow from its seed.

use std::time::Duration;

/// What the state of a die grows by (the golden ratio).
pub(crate) const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number that looks like no other, for each state (splitmix64).
pub(crate) fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Dice of one purpose: drawing from one changes nothing for the others.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed for a purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mixed(mixed(seed) ^ purpose.wrapping_mul(STEP)))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number below `end`, 0 when that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// A number from `from` on and before `end`.
    pub fn between(&mut self, from: u64, end: u64) -> u64 {
        from + self.below(end.saturating_sub(from))
    }

    /// True `in_thousand` times of a thousand.
    pub fn happens(&mut self, in_thousand: u64) -> bool {
        self.below(1000) < in_thousand
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let len = u64::try_from(of.len()).unwrap_or(u64::MAX);
        usize::try_from(self.below(len))
            .ok()
            .and_then(|at| of.get(at))
    }

    /// A length of time in milliseconds.
    pub fn millis(&mut self, from: u64, end: u64) -> Duration {
        Duration::from_millis(self.between(from, end))
    }
}
