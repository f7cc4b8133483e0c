//! A token bucket as a value: so many a second, and no more than a second's worth saved up.

/// Seconds' worth that a bucket may owe at most.
const DEBT_SECONDS_MAX: i64 = 60;

/// The bucket.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    per_second: i64,
    /// Thousandths, so that a slow drip is not rounded away; below zero it owes.
    saved_milli: i64,
    at_ms: u64,
}

impl Budget {
    /// A full bucket.
    pub fn new(per_second: u32, now_ms: u64) -> Self {
        let per_second = i64::from(per_second);
        Self {
            per_second,
            saved_milli: per_second * 1000,
            at_ms: now_ms,
        }
    }

    /// Takes `count` if there are as many.
    pub fn take(&mut self, count: u32, now_ms: u64) -> bool {
        let enough = self.has(count, now_ms);
        if enough {
            self.spend(count, now_ms);
        }
        enough
    }

    /// Whether there are `count`.
    pub fn has(&mut self, count: u32, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let passed_ms = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        self.saved_milli = self
            .saved_milli
            .saturating_add(passed_ms.saturating_mul(self.per_second))
            .min(self.per_second * 1000);
        self.saved_milli >= i64::from(count) * 1000
    }

    /// Takes `count`, or all there is.
    pub fn spend(&mut self, count: u32, now_ms: u64) {
        self.has(count, now_ms);
        let left = self.saved_milli.saturating_sub(i64::from(count) * 1000);
        self.saved_milli = left.max(self.saved_milli.min(0));
    }

    /// Takes `count` that was used without having been there: the bucket owes it.
    pub fn owe(&mut self, count: u32, now_ms: u64) {
        self.has(count, now_ms);
        let left = self.saved_milli.saturating_sub(i64::from(count) * 1000);
        self.saved_milli = left.max(self.per_second * 1000 * -DEBT_SECONDS_MAX);
    }

    /// Gives back `count` that was taken and not used.
    pub fn give_back(&mut self, count: u32) {
        self.saved_milli = self
            .saved_milli
            .saturating_add(i64::from(count) * 1000)
            .min(self.per_second * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_its_worth_and_nothing_is_hoarded() {
        let mut budget = Budget::new(2, 0);
        assert!(budget.take(1, 0) && budget.take(1, 0) && !budget.take(1, 0));
        assert!(!budget.take(1, 499) && budget.take(1, 500));
        assert!(budget.take(2, 1_000_000) && !budget.take(1, 1_000_000));
    }

    #[test]
    fn what_is_owed_is_earned_first_and_has_a_bound() {
        let mut budget = Budget::new(10, 0);
        budget.owe(30, 0);
        assert!(!budget.take(1, 2_000) && budget.take(1, 2_100));
        budget.give_back(1_000);
        assert!(budget.take(10, 2_100) && !budget.take(1, 2_100));
        budget.owe(1_000_000, 2_100);
        assert!(!budget.take(10, 60_000) && budget.take(10, 63_100));
    }
}
