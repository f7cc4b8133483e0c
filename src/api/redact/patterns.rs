//! Secrets in any text: credentials of HTTP, passwords in addresses, private keys, `key=value`, and lines of
//! documents that cannot be parsed.

use super::{Span, words};

/// Words that follow `Bearer` and `Basic` in prose.
const PROSE: [&str; 8] = [
    "auth",
    "authentication",
    "authorization",
    "credentials",
    "scheme",
    "token",
    "tokens",
    "usage",
];

/// What is a secret wherever it stands.
pub(super) fn anywhere(text: &str, region: Span, out: &mut Vec<Span>) {
    credentials(text, &region, out);
    addresses(text, &region, out);
    private_keys(text, &region, out);
}

/// `Bearer …` and `Basic …`.
fn credentials(text: &str, region: &Span, out: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    for scheme in ["bearer", "basic"] {
        let mut at = region.start;
        while at + scheme.len() < region.end {
            let end = at + scheme.len();
            let is_word = bytes[at..end].eq_ignore_ascii_case(scheme.as_bytes())
                && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
            if !is_word || !matches!(bytes[end], b' ' | b'\t') {
                at += 1;
                continue;
            }
            let start = end + text[end..region.end].len()
                - text[end..region.end].trim_start_matches([' ', '\t']).len();
            let stop = start
                + run(&text[start..region.end], |letter| {
                    !letter.is_whitespace() && !matches!(letter, '"' | '\'' | ',' | ']' | ')' | '`')
                });
            let value = &text[start..stop];
            let word = value
                .trim_end_matches(['.', ':', ';', '}'])
                .to_ascii_lowercase();
            if !words::is_harmless(value) && !PROSE.contains(&&*word) && !value.starts_with('#') {
                out.push(start..stop);
            }
            at = stop.max(end);
        }
    }
}

/// Bytes of the longest prefix whose characters all pass.
fn run(text: &str, passes: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !passes(letter)).unwrap_or(text.len())
}

/// `scheme://user:password@host`.
fn addresses(text: &str, region: &Span, out: &mut Vec<Span>) {
    let mut from = region.start;
    while let Some(found) = text[from..region.end].find("://") {
        let start = from + found + 3;
        let end = start + user_info_and_host(&text[start..region.end]);
        if let Some(at) = text[start..end].rfind('@') {
            let user_info = &text[start..start + at];
            if let Some(colon) = colon_outside_references(user_info) {
                let password = start + colon + 1..start + at;
                if !words::is_harmless(&text[password.clone()]) {
                    out.push(password);
                }
            }
        }
        from = end;
    }
}

/// Bytes up to the end of an authority; where a password holds an unescaped slash, up to the end of the word.
fn user_info_and_host(text: &str) -> usize {
    let end = authority(text);
    let found = &text[..end];
    let port = found.rsplit_once(':').map(|(_, port)| port);
    let is_host = found.starts_with('[')
        || port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if is_host {
        return end;
    }
    let word = run(text, |letter| {
        !letter.is_whitespace() && !matches!(letter, '"' | '\'' | '`' | '?')
    });
    if text[..word].contains('@') {
        word
    } else {
        end
    }
}

/// Bytes up to the end of an authority; references may hold what would end it.
fn authority(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(after) = words::reference(rest) {
            at = text.len() - after.len();
            continue;
        }
        let Some(letter) = rest.chars().next() else {
            break;
        };
        if letter.is_whitespace() || matches!(letter, '/' | '?' | '#' | '"' | '\'' | '`' | ',') {
            break;
        }
        at += letter.len_utf8();
    }
    at
}

fn colon_outside_references(text: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(':') {
            return Some(at);
        }
        at = match words::reference(rest) {
            Some(after) => text.len() - after.len(),
            None => at + rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// PEM blocks of private keys, to their end or that of the text.
fn private_keys(text: &str, region: &Span, out: &mut Vec<Span>) {
    const BEGIN: &str = "-----BEGIN ";
    let mut from = region.start;
    while let Some(found) = text[from..region.end].find(BEGIN) {
        let start = from + found;
        let head_end = start + run(&text[start..region.end], |letter| letter != '\n');
        from = start + BEGIN.len();
        if !text[start..head_end].contains("PRIVATE KEY") {
            continue;
        }
        let rest = &text[from..region.end];
        let end = rest.find("-----END ").map_or(region.end, |end| {
            let tail = &rest[end + "-----END ".len()..];
            let closing = tail.find("-----").map_or(tail.len(), |close| close + 5);
            from + end + "-----END ".len() + closing
        });
        out.push(start..end);
        from = end;
    }
}

/// `key=value` and `key: value` whose key tells of a secret.
pub(super) fn pairs(text: &str, region: Span, out: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = region.start;
    while at < region.end {
        let sign = bytes[at];
        at += 1;
        if !matches!(sign, b':' | b'=') {
            continue;
        }
        if bytes
            .get(at)
            .is_some_and(|next| matches!(next, b':' | b'='))
            || text[at..region.end].starts_with("//")
        {
            continue;
        }
        if !words::is_secret(key_before(text, region.start, at - 1)) {
            continue;
        }
        if let Some(value) = value_after(text, at, region.end, sign == b':') {
            at = value.end.max(at);
            out.push(value);
        }
    }
}

/// The name that ends before a sign, perhaps in quotes.
fn key_before(text: &str, from: usize, sign: usize) -> &str {
    let before = text[from..sign].trim_end_matches([' ', '\t']);
    let before = before.trim_end_matches(['"', '\'', '\\']);
    let start = before
        .rfind(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | '-' | '.'))
        .map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
    &before[start..]
}

/// The value that begins after a sign; `None` when there is none or it is harmless.
fn value_after(text: &str, from: usize, to: usize, is_colon: bool) -> Option<Span> {
    let line_end = from + run(&text[from..to], |letter| letter != '\n' && letter != '\r');
    let rest = &text[from..line_end];
    let start = from + rest.len() - rest.trim_start_matches([' ', '\t', '\\']).len();
    let quote = text[start..line_end].chars().next()?;
    let span = if matches!(quote, '"' | '\'' | '`') {
        let inner = start + 1;
        let is_escaped = text[..start].ends_with('\\');
        let end = if is_escaped {
            text[inner..line_end].find('\\')
        } else {
            closing(&text[inner..line_end], quote)
        };
        let end = end.map_or(line_end, |end| inner + end);
        inner..end
    } else if is_colon {
        let end = start + text[start..line_end].trim_end().len();
        start..end
    } else {
        let end = start
            + run(&text[start..line_end], |letter| {
                !letter.is_whitespace() && !matches!(letter, '&' | ';' | ',' | '"' | '\'' | ')')
            });
        start..end
    };
    let value = &text[span.clone()];
    let without_comment = value.split(" #").next().unwrap_or_default();
    let bare = without_comment
        .trim_end()
        .trim_end_matches(['}', ']', ',', '"', '\'', '\\']);
    let is_bare_harmless = words::is_harmless(bare) || words::is_harmless(without_comment);
    // What follows a harmless value on the line is judged by its own key.
    (!span.is_empty() && !is_bare_harmless).then_some(span)
}

/// Where a quoted text ends; a backslash takes the next character with it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return Some(at);
        }
    }
    None
}

/// A document that cannot be parsed: pairs of each line, and everything indented deeper than a telling key.
pub(super) fn lines(text: &str, out: &mut Vec<Span>) {
    pairs(text, 0..text.len(), out);
    let mut below: Option<Below> = None;
    let mut at = 0;
    named(text, out);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let start = at;
        at += line.len();
        let body = content.trim_start_matches([' ', '\t', '-']);
        if body.is_empty() {
            continue;
        }
        let indented = content.trim_start_matches([' ', '\t']);
        let indent = content.len() - indented.len();
        let body_at = start + content.len() - body.len();
        if let Some(below) = below.filter(|below| below.holds(indent, indented)) {
            below.hide(body, body_at, out);
            continue;
        }
        let key = body.split([':', '=']).next().unwrap_or_default();
        let key = key.trim().trim_matches(['"', '\'']);
        let is_headers = words::is_headers(key);
        let opens = body.len() > key.len() && (is_headers || words::is_secret(key));
        below = opens.then_some(Below { indent, is_headers });
        if opens && is_headers {
            Below { indent, is_headers }.hide(body, body_at, out);
        }
    }
}

/// Lines between `name: API_TOKEN` and `value: …` of the same pair at most.
const PAIR_LINES: usize = 2;

/// Values of pairs such as `name: API_TOKEN`, `value: …`, in either order.
fn named(text: &str, out: &mut Vec<Span>) {
    let mut lines: Vec<(&str, Span)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end().trim_start_matches([' ', '\t', '-']);
        let (key, value) = body.split_once(':').unwrap_or((body, ""));
        let value = value.trim_start();
        let end = at + line.trim_end().len();
        lines.push((key.trim(), end - value.len()..end));
        at += line.len();
    }
    for (row, (key, value)) in lines.iter().enumerate() {
        if !matches!(*key, "name" | "key") || !words::is_secret(&text[value.clone()]) {
            continue;
        }
        let near = row.saturating_sub(PAIR_LINES)..lines.len().min(row + PAIR_LINES + 1);
        let values = lines[near].iter().filter(|(key, _)| *key == "value");
        out.extend(values.map(|(_, span)| span.clone()));
    }
}

/// Lines that belong to a telling key by their indentation.
#[derive(Clone, Copy, Debug)]
struct Below {
    indent: usize,
    is_headers: bool,
}

impl Below {
    fn holds(self, indent: usize, indented: &str) -> bool {
        indent > self.indent || indent == self.indent && indented.starts_with("- ")
    }

    /// Of headers the value, of secrets the line, because a line of a secret may look like anything.
    fn hide(self, body: &str, body_at: usize, out: &mut Vec<Span>) {
        let value = value_of(body);
        if words::is_harmless(&body[value.clone()]) {
            return;
        }
        let from = if self.is_headers { value.start } else { 0 };
        out.push(body_at + from..body_at + body.len());
    }
}

/// The value of a line; the whole line when it has no key.
fn value_of(line: &str) -> Span {
    let after_key = line.find(": ").map(|at| at + 1);
    let from = after_key.or_else(|| line.ends_with(':').then_some(line.len()));
    let from = from.map_or(0, |at| line.len() - line[at..].trim_start().len());
    from..line.len()
}
