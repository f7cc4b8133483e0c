//! Days and instants as the tables have them: UTC, whatever the time zone of the server, the database or the session.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds of a day; UTC as computers count it has no other days.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The last millisecond that has a text of its own: the end of the year 9999.
const TEXT_MS_MAX: u64 = 253_402_300_799_999;

/// A day since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

impl Day {
    /// The day of a time.
    pub fn of(at_ms: u64) -> Self {
        Self(at_ms / DAY_MS)
    }

    /// Its first millisecond.
    pub fn start_ms(self) -> u64 {
        self.0.saturating_mul(DAY_MS)
    }

    /// So many days later.
    #[must_use]
    pub fn after(self, days: u64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// So many days earlier, not before 1970.
    #[must_use]
    pub fn before(self, days: u64) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Year, month and day of the month of the Gregorian calendar.
    fn civil(self) -> (u64, u64, u64) {
        // counted from 0000-03-01, so that the leap day is the last of its year, in eras of 400 years
        let days = self.0.saturating_add(719_468);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let is_next_year = month >= 10;
        let month = if is_next_year { month - 9 } else { month + 3 };
        (era * 400 + year + u64::from(is_next_year), month, day)
    }

    /// The name of its partition.
    pub fn partition(self) -> String {
        let (year, month, day) = self.civil();
        format!("agent_status_history_{year:04}{month:02}{day:02}")
    }
}

/// `2026-11-26`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// RFC 3339 in UTC with milliseconds; what is beyond the year 9999 is shown as its end.
pub fn text(at_ms: u64) -> String {
    let at_ms = at_ms.min(TEXT_MS_MAX);
    let (day, ms) = (Day::of(at_ms), at_ms % DAY_MS);
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// A time as a parameter. Postgres ends in the year 294276; later times are bounded by the caller.
pub(super) fn instant(at_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at_ms.min(TEXT_MS_MAX))
}

/// A time from a row; what is before 1970 is 0.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_of_the_calendar() {
        for (at_ms, day, name) in [
            (0, "1970-01-01", "agent_status_history_19700101"),
            (
                951_782_400_000,
                "2000-02-29",
                "agent_status_history_20000229",
            ),
            (
                1_764_201_599_999,
                "2025-11-26",
                "agent_status_history_20251126",
            ),
            (
                4_107_542_400_000,
                "2100-03-01",
                "agent_status_history_21000301",
            ),
        ] {
            assert_eq!(Day::of(at_ms).to_string(), day);
            assert_eq!(Day::of(at_ms).partition(), name);
        }
        assert_eq!(text(1_764_201_599_999), "2025-11-26T23:59:59.999Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(Day(u64::MAX).start_ms(), u64::MAX);
    }

    #[test]
    fn instants_come_back_as_they_went() {
        for at_ms in [0, 1, 1_764_201_599_999, TEXT_MS_MAX] {
            assert_eq!(millis(instant(at_ms)), at_ms);
        }
        assert_eq!(millis(instant(u64::MAX)), TEXT_MS_MAX);
        assert_eq!(millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
