//! Who may come in: a bound on connections, a rate of new ones, and for who is turned away a time to come back
//! that spreads the crowd (design §4). Pure: time and chance are arguments.

/// Admission of new connections to one door.
#[derive(Debug)]
pub(super) struct Admission {
    connections_max: usize,
    rate_per_second: u32,
    open: usize,
    /// New connections that may still come, in thousandths.
    credit: u64,
    /// Peers that were turned away and are not expected back yet, in thousandths: the door takes in as many
    /// as its rate allows, so the crowd shrinks by that rate.
    crowd: u64,
    /// Refusals that may still cost a handshake of TLS, in thousandths.
    telling: u64,
    last_ms: u64,
}

/// A new connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whole seconds after which the peer may try again (`Retry-After`).
    pub(super) retry_after_seconds: u64,
}

/// One connection in thousandths.
const ONE: u64 = 1000;

/// One handshake of TLS to so many admitted connections is spent on telling a peer when to come back.
const TELLING_SHARE: u64 = 2;

impl Admission {
    /// Nobody has come yet at `now_ms`.
    pub(super) fn new(connections_max: usize, rate_per_second: u32, now_ms: u64) -> Self {
        Self {
            connections_max,
            rate_per_second: rate_per_second.max(1),
            open: 0,
            credit: u64::from(rate_per_second.max(1)) * ONE,
            crowd: 0,
            telling: (u64::from(rate_per_second) * ONE / TELLING_SHARE).max(ONE),
            last_ms: now_ms,
        }
    }

    /// Lets a connection in, or says when to come back; `chance` spreads the answers.
    ///
    /// # Errors
    /// When the bound or the rate is reached.
    pub(super) fn enter(&mut self, now_ms: u64, chance: u64) -> Result<(), Refusal> {
        self.pass_time(now_ms);
        if self.open < self.connections_max && self.credit >= ONE {
            self.credit -= ONE;
            self.open += 1;
            return Ok(());
        }
        self.crowd += ONE;
        let rate = u64::from(self.rate_per_second);
        // 1.5 times as long as the door needs for everybody who was turned away
        let spread_ms = self.crowd.saturating_mul(3) / (2 * rate);
        let wait_ms = 1000 + chance % (spread_ms + 1);
        Err(Refusal {
            retry_after_seconds: wait_ms.div_ceil(1000),
        })
    }

    /// Whether a peer that was turned away may have a handshake of TLS, to be told when to come back. A handshake
    /// costs more than a request, so that in a storm most are turned away without.
    pub(super) fn tells(&mut self, now_ms: u64) -> bool {
        self.pass_time(now_ms);
        let may = self.telling >= ONE;
        if may {
            self.telling -= ONE;
        }
        may
    }

    /// A connection that was let in has ended.
    pub(super) fn leave(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Connections that are in.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    fn pass_time(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        let earned = passed_ms.saturating_mul(u64::from(self.rate_per_second));
        let burst = u64::from(self.rate_per_second) * ONE;
        self.credit = self.credit.saturating_add(earned).min(burst);
        self.crowd = self.crowd.saturating_sub(earned);
        let told = self.telling.saturating_add(earned / TELLING_SHARE);
        self.telling = told.min((burst / TELLING_SHARE).max(ONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_who_leaves_makes_room() {
        let mut admission = Admission::new(2, 100, 0);
        assert!(admission.enter(0, 0).is_ok() && admission.enter(0, 0).is_ok());
        assert!(admission.enter(0, 0).is_err());
        admission.leave();
        assert!(admission.enter(0, 0).is_ok());
        assert_eq!(admission.open(), 2);
    }

    #[test]
    fn the_rate_holds_over_any_second() {
        let mut admission = Admission::new(usize::MAX, 100, 0);
        let burst = (0..1000).filter(|_| admission.enter(0, 0).is_ok()).count();
        assert_eq!(burst, 100);
        let second: usize = (1..=1000)
            .map(|ms| (0..10).filter(|_| admission.enter(ms, 0).is_ok()).count())
            .sum();
        assert_eq!(second, 100);
    }

    #[test]
    fn a_refused_crowd_is_spread_over_the_time_that_it_needs() {
        let mut admission = Admission::new(usize::MAX, 2000, 0);
        let mut chance = 1_u64;
        let mut waits = std::collections::BTreeMap::<u64, u32>::new();
        for _ in 0..18_000 {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if let Err(refusal) = admission.enter(0, chance >> 16) {
                assert!(refusal.retry_after_seconds >= 1);
                *waits.entry(refusal.retry_after_seconds).or_default() += 1;
            }
        }
        let last = *waits.keys().next_back().expect("somebody was refused");
        assert!((9..=13).contains(&last), "{waits:?}");
        // later refusals know of a larger crowd, so no second gets much more than the rate
        assert!(waits.values().all(|count| *count < 6000), "{waits:?}");
    }

    #[test]
    fn half_as_many_are_told_as_are_let_in() {
        let mut admission = Admission::new(usize::MAX, 100, 0);
        let told =
            |admission: &mut Admission, ms| (0..1000).filter(|_| admission.tells(ms)).count();
        assert_eq!(told(&mut admission, 0), 50);
        assert_eq!(told(&mut admission, 100), 5);
        assert_eq!(told(&mut admission, 60_000), 50);
        assert!(Admission::new(1, 1, 0).tells(1000), "at least one");
    }

    #[test]
    fn a_quiet_door_asks_for_about_a_second() {
        let mut admission = Admission::new(0, 2000, 0);
        assert_eq!(
            admission
                .enter(0, u64::MAX)
                .map_err(|r| r.retry_after_seconds <= 2),
            Err(true)
        );
    }
}
