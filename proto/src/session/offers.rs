//! Which remote configuration to offer, and when (group K). It decides by hashes; it has never seen a file.
//!
//! An offer is made while the desired hash is neither what the agent reported last (C-122) nor one that failed on
//! it (C-131), and was not offered already. It is made again only
//!
//! | when | for | wait |
//! |---|---|---|
//! | its connection ended before it was written | all | none |
//! | it was not confirmed as written | all | 60 s, doubling to 1 h |
//! | no status for it came (C-139) | agents that report | 60 s, doubling to 1 h |
//! | the agent began anew, or had applied it, and then reported another hash (C-121) | agents that report | none, then as above |
//! | another configuration was offered meanwhile, and the agent has not said what became of that | agents that report | none |
//! | it failed, and that was forgiven since | all | none |
//!
//! For an agent that does not report, the hash that was written stands for the reported one (C-124).

use super::Known;
use crate::capabilities::agent;
use crate::wire;

/// How long an offer may stay without a word from the agent; ten times what a supervisor takes to apply.
pub const OFFER_RETRY_FIRST_MS: u64 = 60_000;
/// The wait doubles up to this.
pub const OFFER_RETRY_MAX_MS: u64 = 3_600_000;

/// A hash as an agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    /// It has nothing (C-125), or never said.
    Nothing,
    /// Possibly one of ours.
    Hash([u8; 32]),
    /// Of another length: never one of ours (C-140).
    Foreign,
}

impl Echo {
    fn of(bytes: &[u8]) -> Self {
        match <[u8; 32]>::try_from(bytes) {
            Ok(hash) => Self::Hash(hash),
            Err(_) if bytes.is_empty() => Self::Nothing,
            Err(_) => Self::Foreign,
        }
    }
}

/// The newest offer.
#[derive(Clone, Copy, Debug)]
struct Offered {
    hash: [u8; 32],
    at_ms: u64,
    /// 0: made in an earlier session.
    tries: u8,
    written: bool,
    /// A status for it came.
    answered: bool,
    /// That status was APPLIED.
    applied: bool,
    /// The agent began anew after it.
    anew: bool,
    /// The agent turned out not to have it any more.
    stale: bool,
}

/// What is desired, reported and offered.
#[derive(Debug)]
pub(super) struct Offers {
    desired: Option<[u8; 32]>,
    reported: Echo,
    /// The last status was FAILED.
    reported_failed: bool,
    failed: Option<[u8; 32]>,
    offered: Option<Offered>,
    /// Larger than the outbound limit; rare, hence boxed.
    discarded: Option<Box<[u8; 32]>>,
}

impl Offers {
    pub(super) fn new(known: &Known) -> Self {
        let offered = known.sent_hash.map(|hash| Offered {
            tries: 0,
            written: true,
            ..Offered::new(hash, 0)
        });
        Self {
            desired: None,
            reported: known
                .reported_hash
                .as_deref()
                .map_or(Echo::Nothing, Echo::of),
            reported_failed: known.status == wire::RemoteConfigStatuses::Failed,
            failed: known.failed_hash,
            offered,
            discarded: None,
        }
    }

    pub(super) fn desired(&self) -> Option<[u8; 32]> {
        self.desired
    }

    /// Another desired hash gives one that failed a new chance; nothing being desired does not.
    pub(super) fn set_desired(&mut self, hash: Option<[u8; 32]>) {
        self.desired = hash;
        if hash.is_some() && hash != self.failed {
            self.failed = None;
        }
    }

    /// Notes a status; the hash when it has just failed.
    pub(super) fn report(&mut self, status: &wire::RemoteConfigStatus) -> Option<[u8; 32]> {
        let word = status.status();
        self.reported = Echo::of(&status.last_remote_config_hash);
        self.reported_failed = word == wire::RemoteConfigStatuses::Failed;
        let applied = word == wire::RemoteConfigStatuses::Applied;
        let offered_hash = self.offered.map(|offered| Echo::Hash(offered.hash));
        if let Some(offered) = &mut self.offered {
            if offered_hash == Some(self.reported) {
                offered.answered = true;
                offered.applied = applied;
                offered.stale = false;
            } else if offered.anew || offered.applied {
                offered.stale = true;
            }
        }
        let Echo::Hash(hash) = self.reported else {
            return None;
        };
        if applied && self.failed == Some(hash) {
            self.failed = None;
        }
        if self.reported_failed && self.desired.is_none_or(|desired| desired == hash) {
            self.failed = Some(hash);
        }
        self.reported_failed.then_some(hash)
    }

    /// The agent says that it has this hash, and not that it failed.
    pub(super) fn is_in_use(&self, hash: [u8; 32]) -> bool {
        self.reported == Echo::Hash(hash) && !self.reported_failed
    }

    pub(super) fn agent_began_anew(&mut self) {
        if let Some(offered) = &mut self.offered {
            offered.anew = true;
        }
    }

    pub(super) fn written(&mut self, hash: [u8; 32], now_ms: u64) {
        if let Some(offered) = &mut self.offered
            && offered.hash == hash
        {
            offered.written = true;
            offered.at_ms = now_ms;
        }
    }

    /// An offer that was under way is lost.
    pub(super) fn connection_lost(&mut self) {
        self.offered = self.offered.filter(|offered| offered.written);
    }

    pub(super) fn discard(&mut self, hash: [u8; 32]) {
        self.discarded = Some(Box::new(hash));
        self.offered = self.offered.filter(|offered| offered.hash != hash);
    }

    /// The desired configuration did not fit into a message.
    pub(super) fn is_discarded(&self) -> bool {
        self.desired.is_some() && self.discarded.as_deref() == self.desired.as_ref()
    }

    /// When the desired hash is to be offered, 0 for at once; `None` when it is not.
    pub(super) fn due_at_ms(&self, capabilities: u64, forced: bool) -> Option<u64> {
        let hash = self.desired?;
        let accepts = capabilities & agent::ACCEPTS_REMOTE_CONFIG != 0;
        if !accepts || self.is_discarded() {
            return None;
        }
        if forced {
            return Some(0);
        }
        if self.failed == Some(hash) || self.reported == Echo::Hash(hash) && !self.is_outdated(hash)
        {
            return None;
        }
        let reports = capabilities & agent::REPORTS_REMOTE_CONFIG != 0;
        match &self.offered {
            Some(offered) if offered.hash == hash => offered.due_at_ms(reports),
            Some(_) | None => Some(0),
        }
    }

    /// The agent reported this hash, but what it said is overtaken: by another offer that it has not answered,
    /// or because it had failed with it and gets another try. Once offered again it has been said.
    fn is_outdated(&self, hash: [u8; 32]) -> bool {
        match &self.offered {
            Some(offered) if offered.hash == hash => false,
            Some(offered) => self.reported_failed || !offered.answered && offered.tries > 0,
            None => self.reported_failed,
        }
    }

    pub(super) fn forget_failure(&mut self, hash: [u8; 32]) {
        self.failed = self.failed.filter(|failed| *failed != hash);
        self.offered = self
            .offered
            .filter(|offered| offered.hash != hash || !offered.answered);
    }

    /// The hash to offer with the message that is about to leave.
    pub(super) fn take(
        &mut self,
        now_ms: u64,
        capabilities: u64,
        forced: bool,
    ) -> Option<[u8; 32]> {
        let due_at_ms = self.due_at_ms(capabilities, forced)?;
        if now_ms < due_at_ms {
            return None;
        }
        let hash = self.desired?;
        let before = self.offered.filter(|offered| offered.hash == hash);
        let tries = before.map_or(0, |offered| offered.tries).saturating_add(1);
        self.offered = Some(Offered {
            tries,
            ..Offered::new(hash, now_ms)
        });
        Some(hash)
    }

    /// The offer of the reply that seems to be lost, if it is still wanted.
    pub(super) fn repeat(&self) -> Option<[u8; 32]> {
        let hash = self.desired?;
        let offered = self.offered.is_some_and(|offered| offered.hash == hash);
        (offered && !self.is_discarded() && self.reported != Echo::Hash(hash)).then_some(hash)
    }
}

impl Offered {
    fn new(hash: [u8; 32], at_ms: u64) -> Self {
        Self {
            hash,
            at_ms,
            tries: 1,
            written: false,
            answered: false,
            applied: false,
            anew: false,
            stale: false,
        }
    }

    fn due_at_ms(&self, reports: bool) -> Option<u64> {
        let after = |tries: u8| self.at_ms.saturating_add(retry_ms(tries));
        if !self.written {
            Some(after(self.tries))
        } else if !reports {
            None
        } else if self.tries == 0 || self.stale && self.tries == 1 {
            Some(0)
        } else if self.stale {
            Some(after(self.tries - 1))
        } else if !self.answered {
            Some(after(self.tries))
        } else {
            None
        }
    }
}

/// The wait after that many tries, from 1.
fn retry_ms(tries: u8) -> u64 {
    let doublings = u32::from(tries.saturating_sub(1)).min(10);
    (OFFER_RETRY_FIRST_MS << doublings).min(OFFER_RETRY_MAX_MS)
}
