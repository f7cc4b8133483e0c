//! What a version is checked for before it is kept: that it is not empty by accident, and the syntax of YAML.
//! Nothing is changed and nothing else is judged: collectors parse with another library and know their keys.

use ampora_proto::config::{File, Files};
use serde_saphyr::granit_parser::{Event, Parser};

use crate::api::problem::{Code, Detail, Problem};

/// Parser events of one file: a document of 1 MiB has fewer scalars than half its bytes.
const EVENTS_MAX: usize = 1024 * 1024;

/// Checks all files.
///
/// # Errors
/// `empty_configuration` without `allow_empty`, `invalid_yaml` with line and column.
pub(super) fn files(files: &Files, allow_empty: bool) -> Result<(), Problem> {
    let is_empty = files.is_empty() || files.iter().any(|file| file.body.is_empty());
    if is_empty && !allow_empty {
        return Err(Problem::new(
            Code::EmptyConfiguration,
            "no files or an empty body stops a collector; if that is meant, say \"allow_empty\": true",
        ));
    }
    for (at, file) in files.iter().enumerate() {
        if is_yaml(&file.content_type) {
            syntax(at, file)?;
        }
    }
    Ok(())
}

/// An empty content type says nothing, so nothing is checked.
fn is_yaml(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default();
    let media = media.trim().to_ascii_lowercase();
    matches!(
        media.as_str(),
        "text/yaml" | "application/yaml" | "application/x-yaml" | "text/x-yaml"
    ) || media.ends_with("+yaml")
}

fn syntax(at: usize, file: &File) -> Result<(), Problem> {
    let text = std::str::from_utf8(&file.body).map_err(|error| {
        let good = &file.body[..error.valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count();
        let column = good.iter().rev().take_while(|byte| **byte != b'\n').count();
        refuse(at, file, line + 1, column + 1, "the bytes are not UTF-8")
    })?;
    for (seen, event) in Parser::new_from_str(text).enumerate() {
        match event {
            Err(error) => {
                let marker = error.marker();
                let (line, column) = (marker.line(), marker.col() + 1);
                return Err(refuse(at, file, line, column, &error.info()));
            }
            Ok((Event::StreamEnd, _)) => break,
            Ok(_) if seen >= EVENTS_MAX => {
                return Err(refuse(at, file, 1, 1, "the document has too many parts"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn refuse(at: usize, file: &File, line: usize, column: usize, what: &str) -> Problem {
    let place = if file.name.is_empty() {
        String::new()
    } else {
        format!("{}: ", file.name)
    };
    let detail = format!("{place}line {line}, column {column}: {what}");
    Problem::new(Code::InvalidYaml, &detail).with(Detail {
        pointer: Some(format!("/files/{at}/body")),
        line: Some(line as u64),
        column: Some(column as u64),
        detail: what.to_owned(),
    })
}
