//! `ampora configs diff`: what differs between two versions, as patches are read.

use serde_json::Value;

use crate::cli::CliError;
use crate::cli::client::Session;
use crate::cli::client::args::name;
use crate::cli::client::http::Call;
use crate::cli::client::output::View;
use crate::cli::client::text::{cell, found, items, plain_lines};

/// Arguments of `configs diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// Configuration
    #[arg(value_parser = name)]
    name: String,
    /// Number of the version before, or `newest`
    #[arg(value_parser = number)]
    from: String,
    /// Number of the version after, or `newest`
    #[arg(value_parser = number)]
    to: String,
}

fn number(text: &str) -> Result<String, String> {
    if text == "newest" || text.parse::<u32>().is_ok_and(|number| number > 0) {
        return Ok(text.to_owned());
    }
    Err("a version is a number from 1 on, or the word newest".to_owned())
}

const VIEW: View = View {
    text: |answer, _| text(answer),
    names: |answer| {
        let changed = items(answer, "files").iter().filter(|file| !is_same(file));
        changed.map(|file| cell(file, "/name")).collect()
    },
};

fn is_same(file: &Value) -> bool {
    file.get("change").and_then(Value::as_str) == Some("same")
}

/// Asks for the differences and shows them.
pub(super) async fn run(session: &Session, args: DiffArgs) -> Result<(), CliError> {
    let call = Call::get(&["configurations", &args.name, "diff"])
        .with("from", Some(args.from))
        .with("to", Some(args.to));
    let answer = session.client.get(call).await?;
    session.show(&answer, VIEW)
}

/// The patches one below the other; nothing where nothing differs.
fn text(answer: &Value) -> String {
    let files = items(answer, "files").iter().filter(|file| !is_same(file));
    files.map(file_text).collect()
}

fn file_text(file: &Value) -> String {
    let title = || {
        let name =
            found(file, "/name").map_or("the one file".to_owned(), |name| format!("file {name}"));
        format!("{name} {}", cell(file, "/change"))
    };
    if let Some(omitted) = found(file, "/omitted") {
        let why = match omitted.as_str() {
            "not_text" => "it is not text",
            _ => "the difference is too large to be shown",
        };
        return format!("# {}: {why}\n", title());
    }
    match file.get("diff").and_then(Value::as_str) {
        // the content type alone differs, or an empty file came or went
        None | Some("") => format!(
            "# {}: content type {} before, {} after\n",
            title(),
            cell(file, "/from_content_type"),
            cell(file, "/to_content_type")
        ),
        Some(diff) => plain_lines(diff),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_follow_one_another_and_what_has_none_is_said() {
        let answer = json!({"files": [
            {"name": "", "change": "changed", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-\u{1b}x\n+y\n", "omitted": null},
            {"name": "b", "change": "same", "diff": "", "omitted": null},
            {"name": "c", "change": "added", "diff": null, "omitted": "not_text"},
            {"name": "d", "change": "changed", "diff": "", "omitted": null,
                "from_content_type": "text/yaml", "to_content_type": ""},
        ]});
        assert_eq!(
            text(&answer),
            "--- a\n+++ b\n@@ -1 +1 @@\n-\\u{1b}x\n+y\n\
             # file c added: it is not text\n\
             # file d changed: content type text/yaml before, - after\n"
        );
        assert_eq!(text(&json!({"files": []})), "");
    }

    #[test]
    fn versions_are_numbers_or_the_newest() {
        assert!(number("1").is_ok() && number("newest").is_ok());
        for bad in ["", "0", "-1", "x", "4294967296"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
