//! One budget of bytes for all large messages of the node that are on their way in. A message beyond
//! [`LARGE_BYTES`] holds its size until it was answered; who finds the budget spent waits, and is cut when its
//! message takes too long. Messages come in pieces, so that all of them may hold a part and none the rest: one at a
//! time then goes on without the budget.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Smaller messages are not counted: they are bounded by the number of connections.
const LARGE_BYTES: u64 = 64 * 1024;

/// The budget is counted in KiB, so that any size fits a permit count.
const UNIT_BYTES: u64 = 1024;

/// The budget of a node, unless four messages of the largest size need more.
const BUDGET_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// The bytes that large messages may hold together.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
    /// Whoever holds it may finish its message without asking.
    beyond: Arc<Semaphore>,
    total: u32,
}

impl Budget {
    /// A budget for messages of at most `message_bytes_max`.
    pub(super) fn new(message_bytes_max: usize) -> Self {
        let largest = u64::try_from(message_bytes_max).unwrap_or(u64::MAX);
        let bytes = largest.saturating_mul(4).max(BUDGET_BYTES_MIN);
        let total = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX >> 4);
        let permits = usize::try_from(total).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(permits)),
            beyond: Arc::new(Semaphore::new(1)),
            total,
        }
    }

    /// A message that has just begun.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            budget: PollSemaphore::new(self.units.clone()),
            beyond: PollSemaphore::new(self.beyond.clone()),
            goes_beyond: None,
            total: self.total,
            held: None,
        }
    }
}

/// What one message holds of the budget.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: PollSemaphore,
    beyond: PollSemaphore,
    goes_beyond: Option<OwnedSemaphorePermit>,
    total: u32,
    held: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Ready when a message of `bytes` fits.
    pub(super) fn poll_cover(&mut self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        if bytes <= LARGE_BYTES {
            return Poll::Ready(());
        }
        let wanted = u32::try_from(bytes.div_ceil(UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.total);
        let held = self.held.as_ref().map_or(0, |permit| {
            u32::try_from(permit.num_permits()).unwrap_or(u32::MAX)
        });
        if wanted <= held || self.goes_beyond.is_some() {
            return Poll::Ready(());
        }
        // the semaphores are never closed
        match self.budget.poll_acquire_many(cx, wanted - held) {
            Poll::Ready(Some(more)) => match &mut self.held {
                Some(permit) => permit.merge(more),
                None => self.held = Some(more),
            },
            Poll::Ready(None) => {}
            Poll::Pending if self.held.is_none() => return Poll::Pending,
            Poll::Pending => self.goes_beyond = ready!(self.beyond.poll_acquire(cx)),
        }
        Poll::Ready(())
    }

    /// Waits until a message of `bytes` fits.
    pub(super) async fn cover(&mut self, bytes: u64) {
        std::future::poll_fn(|cx| self.poll_cover(bytes, cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn messages_that_hold_all_of_it_together_end_one_after_the_other() {
        let budget = Budget::new(64 * 1024 * 1024);
        let mut all: Vec<_> = (0..8).map(|_| budget.reservation()).collect();
        for reservation in &mut all {
            reservation.cover(32 * 1024 * 1024).await;
        }
        // each of them wants as much again, and nobody has finished
        let mut rest = futures_util::stream::FuturesUnordered::new();
        for mut reservation in all {
            rest.push(async move {
                reservation.cover(64 * 1024 * 1024).await;
            });
        }
        let ended = async { while futures_util::StreamExt::next(&mut rest).await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .expect("all of them end");
        assert_eq!(budget.units.available_permits(), 256 * 1024);
    }

    #[tokio::test]
    async fn large_messages_wait_for_each_other_and_small_ones_do_not() {
        let budget = Budget::new(64 * 1024 * 1024);
        let mut all = budget.reservation();
        all.cover(256 * 1024 * 1024).await;
        let mut small = budget.reservation();
        small.cover(LARGE_BYTES).await;
        let mut large = budget.reservation();
        let waits = tokio::time::timeout(Duration::from_millis(20), large.cover(LARGE_BYTES + 1));
        assert!(waits.await.is_err());
        drop(all);
        large.cover(LARGE_BYTES + 1).await;
        large.cover(10 * 1024 * 1024).await;
        let held = large.held.as_ref().map(OwnedSemaphorePermit::num_permits);
        assert_eq!(
            held,
            Some(10 * 1024),
            "a growing message holds its size once"
        );
    }
}
