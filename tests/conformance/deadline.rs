//! Waiting for a predicate, with an end. It knows nothing of what is waited for.

use std::time::Duration;

use ampora::clock::SystemClock;

/// Longer than anything that the server spreads over time (an agent's second report waits 5 s), on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Answers that come although everything is held up: one before and one after, and one in between.
const FEW: u32 = 3;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A moment from which time is counted.
pub(crate) struct Since(u64);

impl Since {
    /// Now.
    pub(crate) fn now() -> Since {
        Since(SystemClock.micros())
    }

    /// How long ago.
    pub(crate) fn elapsed(&self) -> Duration {
        SystemClock.elapsed(self.0)
    }
}

/// Looks until there is something.
///
/// # Panics
/// When there is nothing within [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Since::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let waited = since.elapsed();
        assert!(waited < PATIENCE, "{what} did not happen in {waited:?}");
        pause();
    }
}

/// Looks until something is so.
pub(crate) fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

/// How long each of many answers took, where one of them may be late: a busy machine stands still at times.
#[derive(Default)]
pub(crate) struct Held {
    answers: u32,
    slowest: Duration,
    second: Duration,
}

impl Held {
    /// One more answer.
    pub(crate) fn took(&mut self, took: Duration) {
        self.answers += 1;
        self.second = self.second.max(took.min(self.slowest));
        self.slowest = self.slowest.max(took);
    }

    /// That nobody was held up for so long, but for one.
    ///
    /// # Panics
    /// When two were.
    pub(crate) fn up_for_less_than(&self, bound: Duration) {
        let (slowest, second) = (self.slowest, self.second);
        assert!(second < bound, "{slowest:?}, {second:?}");
    }

    /// That there were more than a few: who is held up for as long as something lasts is late only once.
    ///
    /// # Panics
    /// When there were not.
    pub(crate) fn went_on(&self) {
        assert!(self.answers > FEW, "{} answers meanwhile", self.answers);
    }
}

/// Gives others the time until the next look.
pub(crate) fn pause() {
    std::thread::park_timeout(PAUSE);
}
