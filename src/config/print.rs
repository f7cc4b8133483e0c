//! A configuration as people read it: the effective values as a file that the loader takes back, and the table of
//! all keys for the documentation.

use std::fmt::Write;

use super::{
    Config, Effect, REDACTED,
    key::{Key, Shown},
    sections,
};

/// Prints every key with its value as YAML, secrets left out.
///
/// Keys that are not set are `null`, with what stands in as a comment. Read back, it gives the same configuration, unless a secret was left out: then the loader asks for it.
pub fn effective(config: &Config) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for key in sections::keys() {
        let mut path: Vec<&str> = key.name.split('.').collect();
        let leaf = path.pop().unwrap_or(key.name);
        let shared = open.iter().zip(&path).take_while(|(a, b)| a == b).count();
        for (depth, section) in path.iter().enumerate().skip(shared) {
            push_line(&mut text, depth, &format!("{section}:"));
        }
        let value = value(key, config);
        push_line(&mut text, path.len(), &format!("{leaf}: {value}"));
        open = path;
    }
    text
}

/// The table of all keys for the documentation, in Markdown, one section after the other.
pub fn reference() -> String {
    let mut text = String::new();
    let mut section = "";
    for key in sections::keys() {
        let of = key.name.split('.').next().unwrap_or_default();
        if of != section {
            section = of;
            let head = "| key | takes | default | meaning | takes effect |\n|---|---|---|---|---|";
            push_line(&mut text, 0, &format!("\n### `{section}`\n\n{head}"));
        }
        let effect = match key.effect {
            Effect::Now => "yes",
            Effect::Later => "later",
        };
        let line = format!(
            "| `{}` | {} | {} | {} | {effect} |",
            key.name, key.takes, key.default, key.meaning
        );
        push_line(&mut text, 0, &line);
    }
    text
}

fn value(key: &Key, config: &Config) -> String {
    match key.shown(config) {
        Shown::Unset => format!("null # {}", key.default),
        Shown::Number(number) => number.to_string(),
        Shown::Flag(flag) => flag.to_string(),
        Shown::Text(text) => quoted(&text),
        Shown::List(items) => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            format!("[{}]", items.join(", "))
        }
        Shown::Redacted => quoted(REDACTED),
    }
}

/// A double-quoted YAML scalar. JSON's escapes are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push_line(text: &mut String, depth: usize, line: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{:1$}{line}", "", depth * 2);
}
