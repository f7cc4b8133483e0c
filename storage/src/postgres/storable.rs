//! JSON that JSONB can hold. What it cannot hold is kept as a text within a JSON object, never dropped:
//!
//! ```text
//! {"escaped": "{\"a\":\"\\u0000\"}"}       body->>'escaped' is the JSON as it was, in ASCII
//! ```
//! JSONB knows no NUL and no half surrogate, writes numbers out in full (`1e131071` has 131 072 digits), and
//! nests by recursion. [`storable`] finds this before a body is sent; what a server refuses all the same is
//! escaped after it has said so.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;

use super::days;

/// Levels of objects and lists within each other at most: as many as readers of JSON take without a word.
const DEPTH_MAX: usize = 100;

/// Characters of a number at most, and the value of its exponent: together less than where doubles end, at 308.
const NUMBER_CHARS_MAX: usize = 100;
const EXPONENT_MAX: usize = 200;

/// The key of the escaped form.
const MARK: &str = "escaped";

/// The body as JSONB holds it.
pub fn storable(body: &str) -> Cow<'_, str> {
    if fits(body) && !has_key(body, MARK) {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(escaped(body, None))
    }
}

/// The body with the time at which its event happened, where the row stands at another one.
pub(super) fn with_time(body: &str, at_ms: u64) -> String {
    let at = days::text(at_ms);
    let object = storable(body);
    let Some(open) = object.trim_end().strip_suffix('}') else {
        return escaped(body, Some(&at));
    };
    if matches!(object, Cow::Owned(_)) || has_key(&object, "at") {
        return escaped(body, Some(&at));
    }
    let comma = if open.trim_end().ends_with('{') {
        ""
    } else {
        ","
    };
    format!("{open}{comma}\"at\":\"{at}\"}}")
}

/// The escaped form of anything.
pub(super) fn escaped(body: &str, at: Option<&str>) -> String {
    let mut text = String::with_capacity(body.len() + body.len() / 4 + 32);
    text.push('{');
    if let Some(at) = at {
        let _ = write!(text, "\"at\":\"{at}\",");
    }
    let _ = write!(text, "\"{MARK}\":\"");
    let mut units = [0_u16; 2];
    for c in body.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(c),
            // a database may be of another encoding than UTF-8
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(text, "\\\\u{unit:04x}");
                }
            }
        }
    }
    text.push_str("\"}");
    text
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Escaped {
    escaped: String,
    #[serde(default)]
    at: Option<String>,
}

/// The body of a row as it was before it was escaped. One that readers of JSON could not take stays as it is.
pub(super) fn restored(row: String) -> String {
    if !row.contains(MARK) {
        return row;
    }
    let Ok(Escaped { escaped, at }) = serde_json::from_str(&row) else {
        return row;
    };
    if serde_json::from_str::<serde_json::Value>(&escaped).is_err() {
        return row;
    }
    match at {
        None => escaped,
        Some(_) => row,
    }
}

/// Whether an object has this key of its own.
fn has_key(body: &str, key: &str) -> bool {
    let quoted = |text: &str| {
        text.match_indices(key)
            .any(|(at, _)| text[..at].ends_with('"') && text[at + key.len()..].starts_with('"'))
    };
    quoted(body)
        && serde_json::from_str::<serde_json::Value>(body)
            .is_ok_and(|value| value.as_object().is_some_and(|it| it.contains_key(key)))
}

/// Whether JSONB holds it, as far as a look at each byte tells. Syntax is left to the server.
fn fits(json: &str) -> bool {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'"' => match string_end(bytes, at + 1) {
                Some(end) => end,
                None => return false,
            },
            b'{' | b'[' => {
                depth += 1;
                at + 1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'-' | b'0'..=b'9' => match number_end(bytes, at) {
                Some(end) => end,
                None => return false,
            },
            _ => at + 1,
        };
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// Behind the closing quote, or nothing when the text does not fit.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                at = match unit(bytes, at)? {
                    0 | 0xDC00..=0xDFFF => return None,
                    0xD800..=0xDBFF => {
                        let low = unit(bytes, at + 6)?;
                        (0xDC00..=0xDFFF).contains(&low).then_some(at + 12)?
                    }
                    _ => at + 6,
                }
            }
            b'\\' => at += 2,
            0..=0x1F => return None,
            _ => at += 1,
        }
    }
}

/// The number of `\uXXXX`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Behind a number, or nothing when JSONB would write it out at length.
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    let number = std::str::from_utf8(&bytes[at..at + length]).ok()?;
    let exponent = number.split_once(['e', 'E']).map_or("0", |(_, it)| it);
    let exponent: usize = exponent.trim_start_matches(['+', '-']).parse().ok()?;
    (length <= NUMBER_CHARS_MAX && exponent <= EXPONENT_MAX).then_some(at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_jsonb_holds_goes_as_it_is() {
        for body in [
            "{}",
            r#"{"a":"\\u0000","b":[1,-2.5e10,1e200],"c":"\ud83d\ude00 é","d":null}"#,
            r#"{"why":"escaped","x":{"escaped":1}}"#,
            "{\n\t\"a\": true\r\n}",
            &deep(DEPTH_MAX),
        ] {
            assert_eq!(storable(body), body);
            assert!(matches!(storable(body), Cow::Borrowed(_)), "{body}");
        }
    }

    #[test]
    fn what_jsonb_cannot_hold_is_escaped_and_comes_back() {
        for body in [
            r#"{"a":"\u0000"}"#,
            r#"{"a":"é\\\u0000\"😀"}"#,
            r#"{"a\u0000":1}"#,
            r#"{"a":1e201}"#,
            r#"{"a":1E-201}"#,
            r#"{"escaped":"x"}"#,
            &format!("{{\"a\":{}}}", "1".repeat(NUMBER_CHARS_MAX + 1)),
            &deep(DEPTH_MAX + 1),
        ] {
            let kept = storable(body);
            assert!(
                kept.starts_with(r#"{"escaped":""#) && kept.is_ascii(),
                "{body}"
            );
            assert!(fits(&kept), "{kept}");
            let value: serde_json::Value = serde_json::from_str(&kept).unwrap();
            assert_eq!(value.as_object().unwrap().len(), 1);
            let (was, is): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(body).unwrap_or_default(),
                serde_json::from_str(&restored(kept.into_owned())).unwrap_or_default(),
            );
            assert_eq!(was, is);
        }
    }

    #[test]
    fn what_no_reader_takes_stays_escaped() {
        for body in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\u00"#,
            "{\"a\":\"open",
            "1e99999999999999999999",
            &deep(10_000),
        ] {
            let kept = storable(body).into_owned();
            assert!(kept.starts_with(r#"{"escaped":""#), "{body}");
            assert_eq!(restored(kept.clone()), kept);
        }
    }

    /// No JSON, but nearly: it comes back as what it was meant to be.
    #[test]
    fn a_character_that_should_have_been_escaped_is() {
        let kept = storable("{\"a\":\"\0\"}").into_owned();
        assert!(fits(&kept) && kept.starts_with(r#"{"escaped":""#), "{kept}");
        assert_eq!(restored(kept), r#"{"a":"\u0000"}"#);
    }

    #[test]
    fn time_stands_beside_what_was_said() {
        let at = 1_764_201_599_999;
        let time = r#""at":"2025-11-26T23:59:59.999Z""#;
        assert_eq!(with_time("{}", at), format!("{{{time}}}"));
        assert_eq!(with_time(r#"{"a":1} "#, at), format!(r#"{{"a":1,{time}}}"#));
        for body in [r#"{"at":"then"}"#, r#"{"a":"\u0000"}"#, "[1]", "nothing"] {
            let kept = with_time(body, at);
            assert!(
                kept.starts_with(&format!(r#"{{{time},"escaped":""#)),
                "{kept}"
            );
            assert_eq!(restored(kept.clone()), kept);
        }
    }
}
