//! A node as it sees itself: its incarnation, how long it may act, and what it believes to own.

use std::collections::BTreeMap;

use ampora_raft::ids::{Epoch, Fence};
use ampora_raft::time::{LeaseClock, Sent};

use crate::clocks::{Chance, Clocks};
use crate::world::{Left, TTL_MS};

/// What can be owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    Agent(u64),
    Lease(&'static str),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) clocks: Clocks,
    pub(crate) suspended_until: u64,
    pub(crate) cut_until: u64,
    pub(crate) epoch: Option<Epoch>,
    /// How often it wished for a new incarnation.
    pub(crate) wishes: u64,
    /// Until when a registration is under way.
    pub(crate) registering_until: u64,
    lease: LeaseClock,
    /// Instead of `lease` where a rule is left out.
    careless_until_ms: u64,
    pub(crate) owns: BTreeMap<Thing, Fence>,
    pub(crate) next_renewal_ms: u64,
    pub(crate) next_try_ms: u64,
}

impl Node {
    pub(crate) fn new(chance: &mut Chance, drift_ppm: u64) -> Self {
        Self {
            clocks: Clocks::new(chance, drift_ppm),
            suspended_until: 0,
            cut_until: 0,
            epoch: None,
            wishes: 0,
            registering_until: 0,
            lease: LeaseClock::default(),
            careless_until_ms: 0,
            owns: BTreeMap::new(),
            next_renewal_ms: 0,
            next_try_ms: 0,
        }
    }

    pub(crate) fn is_awake(&self, now: u64) -> bool {
        now >= self.suspended_until
    }

    /// Whether others hear it.
    pub(crate) fn is_heard(&self, now: u64) -> bool {
        self.is_awake(now) && now >= self.cut_until
    }

    /// The clock that its lease is kept by.
    fn own_ms(&self, left: Left) -> u64 {
        if left == Left::BootTime {
            self.clocks.monotonic_ms()
        } else {
            self.clocks.boot_ms()
        }
    }

    pub(crate) fn sent(&self, left: Left) -> Sent {
        self.lease.sent(self.own_ms(left))
    }

    pub(crate) fn answered(&mut self, sent: Sent, left: Left) {
        match left {
            Left::Margin => {
                // the smallest TTL whose lease, margin taken off, is the whole one
                self.lease.answered(sent, (TTL_MS * 10).div_ceil(9));
            }
            Left::SentTime => {
                let now_ms = self.own_ms(left);
                let mut late = LeaseClock::default();
                late.answered(late.sent(now_ms), TTL_MS);
                self.careless_until_ms = self.careless_until_ms.max(late.valid_until_ms());
            }
            Left::Nothing | Left::BootStamps | Left::Rebase | Left::BootTime | Left::Fences => {
                self.lease.answered(sent, TTL_MS);
            }
        }
    }

    /// Whether it may act, by its own clock.
    pub(crate) fn may_act(&self, left: Left) -> bool {
        let until = self.lease.valid_until_ms().max(self.careless_until_ms);
        self.epoch.is_some() && self.own_ms(left) < until
    }

    /// A new incarnation owns nothing and has to be granted time.
    pub(crate) fn begin(&mut self, epoch: Option<Epoch>) {
        self.wishes += u64::from(epoch.is_none());
        self.epoch = epoch;
        self.lease = LeaseClock::default();
        self.careless_until_ms = 0;
        self.owns.clear();
        self.next_renewal_ms = 0;
    }
}
