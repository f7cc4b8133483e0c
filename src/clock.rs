//! The clocks of this process: the only file that reads one. Everybody else takes the time as an argument
//! or holds this clock behind `ampora_raft::time::Clock`.

use std::time::Duration;

use ampora_raft::time::Clock;
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Microseconds of boot time: for measuring how long something took, never for deciding.
    pub fn micros(self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(nanos / 1000)
    }

    /// How long ago [`SystemClock::micros`] answered `since`.
    pub fn elapsed(self, since: u64) -> Duration {
        Duration::from_micros(self.micros().saturating_sub(since))
    }
}

impl Clock for SystemClock {
    fn boot_ms(&self) -> u64 {
        read_ms(ClockId::Boottime)
    }

    fn wall_ms(&self) -> u64 {
        read_ms(ClockId::Realtime)
    }
}

/// A clock that stands before 1970 reads as 0.
fn read_ms(id: ClockId) -> u64 {
    let now = clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

/// Milliseconds in UTC, always three digits: `time`'s own RFC 3339 drops trailing zeros.
const RFC3339_MS: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Wall time as RFC 3339 in UTC with milliseconds; what lies beyond the year 9999 is shown as its last
/// millisecond.
pub fn rfc3339(wall_ms: u64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    let nanos = i128::from(wall_ms.min(LAST_MS)) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(RFC3339_MS).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_always_have_three_digits() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_539_600_500), "2026-11-24T17:00:00.500Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn boot_time_does_not_run_backwards() {
        let first = SystemClock.boot_ms();
        assert!(SystemClock.boot_ms() >= first && first > 0);
    }
}
