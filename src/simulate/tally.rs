//! What a run has seen, counted by all sockets together, and the summary of it.

use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// Latencies are kept from a microsecond to a minute, with three digits.
const LONGEST_US: u64 = 60_000_000;

/// Counters of a run.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) connected: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed_connects: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) offers: AtomicU64,
    pub(super) bad_offers: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) asked_again: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) renamed: AtomicU64,
    /// Boot time of the last offer, in microseconds.
    pub(super) last_offer_us: AtomicU64,
    latency: Mutex<Option<Histogram<u64>>>,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            connected: zero(),
            connects: zero(),
            refused: zero(),
            failed_connects: zero(),
            lost: zero(),
            sent: zero(),
            replies: zero(),
            offers: zero(),
            bad_offers: zero(),
            restarts: zero(),
            asked_again: zero(),
            refusals: zero(),
            renamed: zero(),
            last_offer_us: zero(),
            latency: Mutex::new(Histogram::new_with_max(LONGEST_US, 3).ok()),
        }
    }

    /// A reply came after so long.
    pub(super) fn replied(&self, took_us: u64) {
        count(&self.replies);
        if let Some(latency) = &mut *self.latency.lock() {
            latency.saturating_record(took_us.max(1));
        }
    }

    /// The state of things.
    pub(super) fn summary(&self, agents: usize, connected_after_ms: Option<u64>) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let latency = self.latency.lock();
        let quantile = |q: f64| {
            let latency = latency.as_ref().filter(|latency| !latency.is_empty());
            latency.map(|latency| latency.value_at_quantile(q))
        };
        Summary {
            agents,
            sockets_connected: read(&self.connected),
            connected_after_ms,
            connects: read(&self.connects),
            connects_refused: read(&self.refused),
            connects_failed: read(&self.failed_connects),
            connections_lost: read(&self.lost),
            messages_sent: read(&self.sent),
            replies: read(&self.replies),
            replies_refusing: read(&self.refusals),
            offers_applied: read(&self.offers),
            last_offer_boot_us: read(&self.last_offer_us),
            bad_offers: read(&self.bad_offers),
            restarts: read(&self.restarts),
            full_states_asked: read(&self.asked_again),
            renamed: read(&self.renamed),
            reply_p50_us: quantile(0.5),
            reply_p99_us: quantile(0.99),
            reply_max_us: quantile(1.0),
        }
    }
}

/// What a run has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Agents in all.
    pub agents: usize,
    /// Sockets that are open at this moment.
    pub sockets_connected: u64,
    /// When all sockets were open for the first time, from the start of the run.
    pub connected_after_ms: Option<u64>,
    /// Sockets that were opened, again ones too.
    pub connects: u64,
    /// Openings that were answered 503 or 429.
    pub connects_refused: u64,
    /// Openings that failed otherwise.
    pub connects_failed: u64,
    /// Sockets that ended without having been asked to.
    pub connections_lost: u64,
    /// Messages of agents.
    pub messages_sent: u64,
    /// Replies to them.
    pub replies: u64,
    /// Replies that refused.
    pub replies_refusing: u64,
    /// Configurations that agents were offered and applied.
    pub offers_applied: u64,
    /// Boot time of this machine at the last offer, in microseconds; 0 before the first.
    pub last_offer_boot_us: u64,
    /// Offers of a configuration that contains `simulate-bad`.
    pub bad_offers: u64,
    /// Restarts that were carried out.
    pub restarts: u64,
    /// Times that an agent was asked for everything again.
    pub full_states_asked: u64,
    /// Agents that were given another uid.
    pub renamed: u64,
    /// Half of the replies came within this time.
    pub reply_p50_us: Option<u64>,
    /// 99 of 100 replies came within this time.
    pub reply_p99_us: Option<u64>,
    /// The slowest reply.
    pub reply_max_us: Option<u64>,
}
