//! Waiting for what is expected to become true.

use std::time::Duration;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What happens without anybody waiting for a timer. Generous, because two cores may be busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What waits for a poll of a supervisor on plain HTTP, which comes every 30 s.
pub(crate) const POLLED: Duration = Duration::from_secs(75);

/// Looks until there is something to return.
///
/// # Panics
/// When nothing came within `within`, with what was seen last.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    look: impl AsyncFn() -> Result<T, String>,
) -> T {
    let mut seen = String::new();
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(other) => seen = other,
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(within, looking).await {
        Ok(found) => found,
        Err(_) => panic!("not within {within:?}: {what}; seen last: {seen}"),
    }
}
