//! Words about who was refused, so few that nobody fills a disk by knocking; metrics count all of them.

use std::time::Duration;

use parking_lot::Mutex;

/// In each such time
const PERIOD: Duration = Duration::from_secs(10);

/// so many are told of at most.
const TOLD_MAX: u32 = 20;

/// Which refusals of a door are told of.
#[derive(Debug, Default)]
pub(super) struct Told {
    period: Mutex<Period>,
}

#[derive(Debug, Default)]
struct Period {
    /// Milliseconds of boot time at which it ends.
    ends_ms: u64,
    told: u32,
    untold: u64,
}

impl Told {
    /// Whether to tell of a refusal at this moment, and then of how many before it nothing was told.
    pub(super) fn next(&self, now_ms: u64) -> Option<u64> {
        let mut period = self.period.lock();
        if now_ms >= period.ends_ms {
            let length = u64::try_from(PERIOD.as_millis()).unwrap_or(u64::MAX);
            period.ends_ms = now_ms.saturating_add(length);
            period.told = 0;
        }
        if period.told >= TOLD_MAX {
            period.untold += 1;
            return None;
        }
        period.told += 1;
        Some(std::mem::take(&mut period.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_told_of_and_the_others_are_counted() {
        let told = Told::default();
        for _ in 0..TOLD_MAX {
            assert_eq!(told.next(1_000), Some(0));
        }
        assert_eq!((told.next(1_000), told.next(10_999)), (None, None));
        assert_eq!(told.next(11_000), Some(2));
        assert_eq!(told.next(11_000), Some(0));
    }
}
