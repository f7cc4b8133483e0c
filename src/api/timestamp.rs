//! Times as people read them: RFC 3339 in UTC with milliseconds.

use time::OffsetDateTime;

/// 9999-12-31T23:59:59.999Z: later moments are shown as this one, because RFC 3339 has four digits of a year.
const LATEST_MS: u64 = 253_402_300_799_999;

/// Formats milliseconds since 1970.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let nanos = i128::from(ms.min(LATEST_MS)) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_kept_and_the_far_future_is_clamped() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
