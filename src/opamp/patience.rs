//! How much nonsense one connection may send before its answers are slowed down (C-298). Pure: time is an
//! argument. Slowed down and not cut, because one broken agent may share its socket with healthy ones.

/// Malformed messages that are answered at once.
const BURST: u64 = 16;

/// Milliseconds that each further one costs: four a second.
const COST_MS: u64 = 250;

/// The patience with one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// When everything so far would have been sent at the allowed rate.
    paid_until_ms: u64,
}

impl Patience {
    /// Notes a malformed message and returns how long its answer has to wait.
    pub(super) fn delay_ms(&mut self, now_ms: u64) -> u64 {
        self.paid_until_ms = self.paid_until_ms.max(now_ms) + COST_MS;
        self.paid_until_ms
            .saturating_sub(now_ms)
            .saturating_sub(BURST * COST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_is_four_a_second() {
        let mut patience = Patience::default();
        for _ in 0..BURST {
            assert_eq!(patience.delay_ms(1_000), 0);
        }
        assert_eq!(patience.delay_ms(1_000), COST_MS);
        assert_eq!(patience.delay_ms(1_000 + COST_MS), COST_MS);
        assert_eq!(patience.delay_ms(60_000), 0, "patience comes back");
    }
}
