//! Fleet time: how a leader stamps entries from its own boot-time clock, and how long the holder of a
//! lease may act by its own. Pure: clocks are arguments.

use crate::planted::{self, Bug};

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

/// How much of a granted TTL the holder of a lease does without, in percent: it covers clocks whose rates are
/// off by 5 % each (`engineering.md` §4.2).
pub const LEASE_MARGIN_PERCENT: u64 = 10;

/// The moment from before a renewal was sent: what its answer is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent(u64);

/// How long the holder of a lease may act on it, by its own `CLOCK_BOOTTIME` alone; one for each incarnation.
///
/// Call [`LeaseClock::sent`] before a renewal leaves and [`LeaseClock::answered`] with what it gave when the fleet has
/// granted it, however late: time on the way counts against the holder. A renewal that failed or whose answer got lost
/// is answered with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseClock {
    valid_until_ms: u64,
}

impl LeaseClock {
    /// A renewal is about to be sent; `boot_ms` is read now, before it leaves.
    pub fn sent(&self, boot_ms: u64) -> Sent {
        Sent(boot_ms)
    }

    /// The renewal was granted for `ttl_ms`: the smaller of the own `dispatch.ownership_ttl_seconds` and what
    /// the fleet noted for the node. Answers may come in any order.
    pub fn answered(&mut self, sent: Sent, ttl_ms: u64) {
        let percent = if planted::is(Bug::FullTtl) {
            0
        } else {
            LEASE_MARGIN_PERCENT
        };
        let margin = ttl_ms.saturating_mul(percent).div_ceil(100);
        let until = sent.0.saturating_add(ttl_ms.saturating_sub(margin));
        self.valid_until_ms = self.valid_until_ms.max(until);
    }

    /// The incarnation is over: nothing that is still on its way makes it valid again, as the next one has a
    /// clock of its own.
    pub fn fenced(&mut self) {
        self.valid_until_ms = 0;
    }

    /// Boot time from which on the holder must not act; 0 before the first grant.
    pub fn valid_until_ms(&self) -> u64 {
        self.valid_until_ms
    }

    /// Whether the holder may act at `boot_ms`.
    pub fn is_valid(&self, boot_ms: u64) -> bool {
        boot_ms < self.valid_until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_counted_from_before_its_renewal_left() {
        let mut clock = LeaseClock::default();
        assert!(!clock.is_valid(0), "nothing was granted");
        let sent = clock.sent(1_000);
        clock.answered(sent, 10_000);
        assert_eq!(clock.valid_until_ms(), 10_000);
        assert!(clock.is_valid(9_999) && !clock.is_valid(10_000));
        let (late, later) = (clock.sent(2_000), clock.sent(3_000));
        clock.answered(later, 10_000);
        clock.answered(late, 10_000);
        assert_eq!(
            clock.valid_until_ms(),
            12_000,
            "the order of answers is nothing"
        );
        clock.fenced();
        assert!(!clock.is_valid(3_001));
    }

    #[test]
    fn the_margin_is_never_rounded_away() {
        let mut clock = LeaseClock::default();
        clock.answered(clock.sent(0), 19);
        assert_eq!(clock.valid_until_ms(), 17);
        clock.answered(clock.sent(5), 1);
        assert_eq!(clock.valid_until_ms(), 17, "never shorter");
    }
}
