//! Waiting for a predicate, with an end. It knows nothing of what is waited for.

use std::time::Duration;

use ampora::clock::SystemClock;

/// Longer than anything that the server spreads over time (an agent's second report waits 5 s), on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

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

/// Gives others the time until the next look.
pub(crate) fn pause() {
    std::thread::park_timeout(PAUSE);
}
