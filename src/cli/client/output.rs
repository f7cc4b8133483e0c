//! An answer on standard output, in the format that was asked for.

use std::io::Write;

use serde_json::Value;

use super::error::ClientError;
use super::text::Look;
use crate::cli::{CliError, args::Format, print};

/// How the answers of one command are shown where they are not shown as they are.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// For people.
    pub(super) text: fn(&Value, &Look) -> String,
    /// Names alone.
    pub(super) names: fn(&Value) -> Vec<String>,
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) format: Format,
    /// Whether standard output is a terminal.
    pub(super) is_terminal: bool,
    /// Whether standard error is a terminal, where progress can be shown.
    pub(super) shows_progress: bool,
}

impl Output {
    /// An answer as text.
    pub(super) fn render(
        &self,
        answer: &Value,
        view: View,
        now_ms: u64,
    ) -> Result<String, ClientError> {
        let look = self.look(now_ms);
        Ok(match self.format {
            Format::Table | Format::Wide => (view.text)(answer, &look),
            Format::Json => format!("{answer:#}\n"),
            Format::Yaml => {
                let text = serde_saphyr::to_string(answer);
                text.map_err(|error| ClientError::Yaml(error.to_string()))?
            }
            Format::Name => (view.names)(answer)
                .iter()
                .flat_map(|name| [name.as_str(), "\n"])
                .collect(),
        })
    }

    /// Shows an answer.
    pub(super) fn show(&self, answer: &Value, view: View, now_ms: u64) -> Result<(), CliError> {
        print(&self.render(answer, view, now_ms)?)
    }

    /// Whether this is for people to read.
    pub(super) fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// How text is laid out.
    pub(super) fn look(&self, now_ms: u64) -> Look {
        Look {
            is_wide: self.format == Format::Wide,
            now_ms,
        }
    }
}

/// Says something beside the answer, on standard error. Who closed it does not want to read it.
pub(super) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// One line on a terminal that is written over by the next; nothing elsewhere.
pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Progress of something that is about to be waited for.
    pub(super) fn new(output: &Output) -> Self {
        Self {
            is_shown: output.shows_progress,
        }
    }

    /// Says how far it is.
    pub(super) fn say(&self, text: &str) {
        self.write(&format!("\r\u{1b}[K{text}"));
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            let mut out = std::io::stderr().lock();
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.write("\r\u{1b}[K");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(format: Format, answer: &Value) -> String {
        let view = View {
            text: |_, look| format!("{}\n", if look.is_wide { "wide" } else { "table" }),
            names: |answer| vec![answer["a"].to_string(), "b".to_owned()],
        };
        let output = Output {
            format,
            is_terminal: false,
            shows_progress: false,
        };
        output.render(answer, view, 0).unwrap()
    }

    #[test]
    fn each_format_shows_its_own() {
        let answer = json!({"a": 1});
        assert_eq!(rendered(Format::Table, &answer), "table\n");
        assert_eq!(rendered(Format::Wide, &answer), "wide\n");
        assert_eq!(rendered(Format::Json, &answer), "{\n  \"a\": 1\n}\n");
        assert_eq!(rendered(Format::Yaml, &answer), "a: 1\n");
        assert_eq!(rendered(Format::Name, &answer), "1\nb\n");
    }

    #[test]
    fn yaml_reads_back_as_the_same_values() {
        let answer = json!({
            "texts": ["", "yes", "null", "~", "1", "1e3", "0x1f", "- a", "a: b", "#", "a\nb\n", "\u{1b}", "é", "'\"",
                "2026-11-24T17:00:00.500Z", "  a ", "{", "[", "*", "&a", "!x", "%", "@", "`", "|", ">"],
            "none": null, "flag": true, "number": 18_446_744_073_709_551_615_u64, "negative": -1,
            "empty": {}, "list": [], "nested": {"a": [{"b": []}]},
        });
        let text = rendered(Format::Yaml, &answer);
        let back: Value = serde_saphyr::from_str(&text).expect(&text);
        assert_eq!(back, answer, "{text}");
    }
}
