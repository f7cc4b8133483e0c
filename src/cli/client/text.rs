//! Values of answers as people read them: cells, cards, ages. A field that is absent or null is a dash, so that an
//! answer of a newer or older node is shown as far as it goes.

use std::borrow::Cow;

use comfy_table::{Table, presets};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What stands for nothing.
const NOTHING: &str = "-";
/// Characters of a hash where it only has to be recognised.
const HASH_CHARS: usize = 12;

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether there is room for more columns.
    pub(super) is_wide: bool,
    /// Wall time, for ages.
    pub(super) now_ms: u64,
}

/// A text of somebody else: what would steer a terminal is spelled out, not obeyed.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(steers) {
        let spelled = text.chars().map(|c| {
            if steers(c) {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        });
        Cow::Owned(spelled.collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for a text of lines, which may keep their ends and tabs.
pub(super) fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
        .split_inclusive(['\n', '\t'])
        .map(|part| match part.char_indices().next_back() {
            Some((at, end @ ('\n' | '\t'))) => format!("{}{end}", plain(&part[..at])),
            Some(_) | None => plain(part).into_owned(),
        })
        .collect()
}

/// Control characters, and those that turn the direction of a line.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The text of a scalar at a JSON pointer; `None` when there is nothing to show.
pub(super) fn found(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(plain(text).into_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some((if *flag { "yes" } else { "no" }).to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text at a JSON pointer, or a dash.
pub(super) fn cell(value: &Value, pointer: &str) -> String {
    found(value, pointer).unwrap_or_else(|| NOTHING.to_owned())
}

/// A number at a JSON pointer, or 0.
pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// The items of a list.
pub(super) fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The first characters of a hash, or a dash.
pub(super) fn short_hash(value: &Value, pointer: &str) -> String {
    cell(value, pointer).chars().take(HASH_CHARS).collect()
}

/// `NAME@V` of an object with `name` and `version`, or a dash.
pub(super) fn version(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(|version| {
            let number = found(version, "/version")?;
            Some(format!("{}@{number}", found(version, "/name")?))
        })
        .unwrap_or_else(|| NOTHING.to_owned())
}

/// How long ago a time was, or a dash. A time ahead of this machine's clock was just now.
pub(super) fn age(value: &Value, pointer: &str, now_ms: u64) -> String {
    let Some(text) = value.pointer(pointer).and_then(Value::as_str) else {
        return NOTHING.to_owned();
    };
    let Some(ago_ms) = wall_ms(text).map(|at_ms| now_ms.saturating_sub(at_ms)) else {
        return plain(text).into_owned();
    };
    let seconds = ago_ms / 1000;
    match seconds {
        0 => "now".to_owned(),
        1..=119 => format!("{seconds}s ago"),
        120..=7_199 => format!("{}m ago", seconds / 60),
        7_200..=172_799 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

fn wall_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// `1 agent`, `2 agents`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A table with a head, or the sentence that stands for an empty one. Lines are not fitted to the terminal: a
/// uid that is broken in two cannot be copied.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.to_string();
    let mut text: String = lines
        .lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Lines of a name and a value, aligned; a value of many lines goes on below itself.
pub(super) fn card(lines: &[(&str, String)]) -> String {
    let widest = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = widest.unwrap_or_default() + 2;
    let mut text = String::new();
    for (name, value) in lines {
        let below = format!("\n{:width$}", "");
        let line = format!("{name:width$}{}", value.replace('\n', &below));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(
            plain("a\u{1b}[2Jb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[2Jb\\n\\u{9b}c\\u{202e}d"
        );
        assert!(matches!(plain("grün"), Cow::Borrowed("grün")));
        assert_eq!(plain_lines("a\n\tb\r\n\u{7}c\rd"), "a\n\tb\n\\u{7}c\\rd");
        assert_eq!(plain_lines(""), "");
    }

    #[test]
    fn absent_null_and_empty_are_a_dash() {
        let value = json!({"a": null, "b": "", "c": {"d": 3}, "e": true});
        for pointer in ["/a", "/b", "/c", "/x", "/c/x"] {
            assert_eq!(cell(&value, pointer), "-", "{pointer}");
        }
        assert_eq!(cell(&value, "/c/d"), "3");
        assert_eq!(cell(&value, "/e"), "yes");
    }

    #[test]
    fn ages_have_one_unit() {
        let at = json!({"at": "1970-01-01T00:00:10.000Z", "odd": "soon"});
        let of = |seconds: u64| age(&at, "/at", (10 + seconds) * 1000);
        assert_eq!(of(0), "now");
        assert_eq!(of(119), "119s ago");
        assert_eq!(of(120), "2m ago");
        assert_eq!(of(7_200), "2h ago");
        assert_eq!(of(172_800), "2d ago");
        assert_eq!(age(&at, "/at", 0), "now");
        assert_eq!(age(&at, "/odd", 0), "soon");
        assert_eq!(age(&at, "/none", 0), "-");
    }

    #[test]
    fn table_is_aligned_without_trailing_blanks() {
        let rows = vec![
            vec!["1".to_owned(), "-".to_owned()],
            vec!["long name".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "B"], rows, "none"),
            "NAME       B\n1          -\nlong name  x\n"
        );
        assert_eq!(
            table(&["NAME"], vec![], "there are none"),
            "there are none\n"
        );
    }

    #[test]
    fn card_keeps_lines_of_a_value_below_each_other() {
        let lines = [
            ("a", "1".to_owned()),
            ("long", "x\ny".to_owned()),
            ("z", String::new()),
        ];
        assert_eq!(card(&lines), "a     1\nlong  x\n      y\nz\n");
    }
}
