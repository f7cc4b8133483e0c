//! Times as people read them: RFC 3339 in UTC with milliseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::problem::{Code, Problem};

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

/// Milliseconds since 1970 of an RFC 3339 time with any offset; `None` for another text. What is
/// before 1970 is 1970: nothing here is older.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from((at.unix_timestamp_nanos() / 1_000_000).max(0)).ok()
}

/// A time of a query.
///
/// # Errors
/// 400 that says where, when it is none.
pub(crate) fn asked(text: &str, pointer: &str) -> Result<u64, Problem> {
    parse_rfc3339(text).ok_or_else(|| {
        let text = "a time is RFC 3339, such as 2026-11-24T17:00:00Z";
        Problem::at(Code::InvalidParameter, pointer, text)
    })
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

    #[test]
    fn times_are_read_with_any_offset() {
        assert_eq!(
            parse_rfc3339("2023-11-14T22:13:20.123Z"),
            Some(1_700_000_000_123)
        );
        assert_eq!(
            parse_rfc3339("2023-11-15T00:13:20+02:00"),
            Some(1_700_000_000_000)
        );
        assert_eq!(parse_rfc3339("0566-12-14T09:46:59Z"), Some(0));
        for bad in ["", "2023-11-14", "2023-11-14T22:13:20", "now"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
