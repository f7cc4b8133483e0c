//! The table of rows and what they answered, and `docs/conformance.md`, whose made part must be what the suite
//! would write.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Results;
use crate::row::{GROUPS, Proof, ROWS, Row};

const BEGIN: &str = "<!-- made from the code: make fix -->\n";
const END: &str = "<!-- end -->";

/// What a row answered.
fn result(row: &Row, results: &Results) -> &'static str {
    match row.proof {
        Proof::Open(_) => "open",
        Proof::Elsewhere { .. } => "passes",
        // a row that was filtered out counts as it did before
        Proof::Test { name, .. } => match results.get(name) {
            Some(false) => "fails",
            Some(true) | None => "passes",
        },
    }
}

/// The table for a terminal: every row that was run or is open.
pub(crate) fn table(rows: &[Row], results: &Results) -> String {
    let mut text = String::from("\nrow    result\n");
    for row in rows {
        let ran = match row.proof {
            Proof::Open(_) | Proof::Elsewhere { .. } => true,
            Proof::Test { name, .. } => results.contains_key(name),
        };
        if ran {
            line(
                &mut text,
                format_args!("C-{:03}  {}", row.id, result(row, results)),
            );
        }
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("texts take everything");
}

/// The made part of the document.
fn made(rows: &[Row], results: &Results) -> String {
    let count = |word: &str| {
        rows.iter()
            .filter(|row| result(row, results) == word)
            .count()
    };
    let mut text = format!(
        "\n{ROWS} rows: {} pass, {} fail, {} are open.\n",
        count("passes"),
        count("fails"),
        count("open")
    );
    for (at, (letter, first, title)) in GROUPS.iter().enumerate() {
        let end = GROUPS.get(at + 1).map_or(ROWS + 1, |next| next.1);
        line(&mut text, format_args!("\n### {letter}. {title}\n"));
        line(
            &mut text,
            format_args!("| row | requirement | strength | result | test, or why it is open |"),
        );
        line(&mut text, format_args!("|---|---|---|---|---|"));
        for row in rows.iter().filter(|row| (*first..end).contains(&row.id)) {
            let why = match row.proof {
                Proof::Test { name, .. } => format!("`{name}`"),
                Proof::Elsewhere { file, names } => format!("`{file}`: {}", names.join(", ")),
                Proof::Open(reason) => reason.to_owned(),
            };
            line(
                &mut text,
                format_args!(
                    "| C-{:03} | {} | {} | {} | {why} |",
                    row.id,
                    row.text,
                    row.strength,
                    result(row, results)
                ),
            );
        }
    }
    text.push('\n');
    text
}

/// Compares the document with what it should be, or writes it anew when `AMPORA_REWRITE` is set.
pub(crate) fn keep(rows: &[Row], results: &Results) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let document = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let current = rewritten(&document, &made(rows, results))
        .ok_or("docs/conformance.md has lost its marks")?;
    if document == current {
        Ok(())
    } else if std::env::var_os("AMPORA_REWRITE").is_some() {
        fs::write(&path, current).map_err(|error| error.to_string())
    } else {
        Err("docs/conformance.md is not what the rows say; run `make fix`".to_owned())
    }
}

/// The document with its made part replaced, or nothing when the marks are missing.
fn rewritten(document: &str, part: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{part}{END}{after}"))
}
