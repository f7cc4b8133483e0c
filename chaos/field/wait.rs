//! Measuring time and waiting for predicates.

use std::time::Duration;

use ampora::clock::SystemClock;
use anyhow::bail;

/// Between two looks at a predicate: the error of every time that is measured so.
pub(crate) const LOOK: Duration = Duration::from_millis(25);

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(u64);

impl Since {
    /// This one.
    pub(crate) fn now() -> Self {
        Self(SystemClock.micros())
    }

    /// How long it is past.
    pub(crate) fn elapsed(self) -> Duration {
        SystemClock.elapsed(self.0)
    }
}

/// Seconds with two digits.
pub(crate) fn seconds(length: Duration) -> String {
    format!("{:.2} s", length.as_secs_f64())
}

/// Waits until `look` finds what it looks for.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let began = Since::now();
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if began.elapsed() > within {
            bail!("{what}: not within {} s", within.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}
