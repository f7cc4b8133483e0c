//! Hides secrets in bodies that agents report, by byte spans of the text, so that layout and comments stay.
//!
//! YAML (and so JSON) is judged by its structure: what a key with a telling name holds, and everything in maps
//! of headers. Any text, comments too, is judged by patterns: credentials of HTTP, passwords in addresses,
//! private keys, `key=value`. A body that cannot be parsed is judged line by line. In doubt text is hidden:
//! a reader can ask for it, a secret that was shown cannot be taken back. References such as `${env:TOKEN}`
//! stay, because they name a secret without being one.

mod patterns;
#[cfg(test)]
mod tests;
mod words;
mod yaml;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

/// What stands for a secret.
pub const REPLACEMENT: &str = "[REDACTED]";

/// A span of bytes of the text.
type Span = Range<usize>;

/// A reported body as it may be shown. Bytes that are not UTF-8 are shown as replacement characters.
#[must_use]
pub fn body(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut spans = Vec::new();
    match yaml::spans(&text) {
        Some(found) => spans.extend(found),
        None => patterns::lines(&text, &mut spans),
    }
    patterns::anywhere(&text, 0..text.len(), &mut spans);
    replace(&text, spans).into_owned()
}

/// A short text, such as an error message, as it may be shown.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let mut spans = Vec::new();
    patterns::anywhere(text, 0..text.len(), &mut spans);
    patterns::pairs(text, 0..text.len(), &mut spans);
    replace(text, spans)
}

/// Hides secrets in the texts of a JSON value. Keys are not judged: in health trees and component lists they
/// are names of components, of which `bearertokenauth` is one.
pub fn json(value: &mut Value) {
    match value {
        Value::String(string) => {
            if let Cow::Owned(shown) = text(string) {
                *string = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
        Value::Object(fields) => fields.values_mut().for_each(json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces spans, which may overlap and come in any order.
fn replace(text: &str, mut spans: Vec<Span>) -> Cow<'_, str> {
    spans.retain(|span| !span.is_empty());
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for span in merged(spans) {
        shown.push_str(&text[at..span.start]);
        shown.push_str(REPLACEMENT);
        at = span.end;
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}

/// Joins overlapping spans of a sorted list.
fn merged(spans: Vec<Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}
