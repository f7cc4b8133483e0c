//! `GET /configurations/{name}/diff`: what differs between two versions, file by file.
//!
//! Versions are shown as they were given, so their differences are too. Files may be hostile: all comparisons of
//! one call share one deadline, beyond which a difference is true but not the shortest, and one bound of bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use ampora_proto::config::{File, Files};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use similar::TextDiff;
use utoipa::{IntoParams, ToSchema};

use super::{find, find_version, read_files};
use crate::api::Api;
use crate::api::extract::{Params, Segments};
use crate::api::problem::{Code, Problem};
use crate::clock::SystemClock;
use crate::tasks::Tasks;

/// Time in which the comparisons of one call look for the shortest difference.
const SEARCH_MAX: Duration = Duration::from_millis(500);

/// Bytes of all differences of one call; a file beyond it is named without its difference.
const DIFF_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// Which versions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The number of a version, or `newest`.
    #[param(value_type = String, required, pattern = "^([1-9][0-9]{0,8}|newest)$", example = "1")]
    from: Option<String>,
    /// The number of a version, or `newest`.
    #[param(value_type = String, required, pattern = "^([1-9][0-9]{0,8}|newest)$", example = "newest")]
    to: Option<String>,
}

/// What differs between two versions of a configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionDiff)]
pub(crate) struct Differences {
    /// Every file that either has.
    files: Vec<FileDiff>,
    from: u32,
    name: String,
    to: u32,
}

/// What differs in a file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileDiff {
    /// `added`, `removed`, `same` or `changed`.
    change: &'static str,
    /// A unified diff; empty for the same.
    diff: Option<String>,
    from_content_type: Option<String>,
    name: String,
    /// Why there is no diff: `too_large` or `not_text`.
    omitted: Option<&'static str>,
    to_content_type: Option<String>,
}

/// `GET /configurations/{name}/diff?from=&to=`.
pub(crate) async fn diff(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<DiffQuery>,
) -> Result<Json<Differences>, Problem> {
    let (configuration, _) = find(&api, &name)?;
    let named = |text: Option<String>, pointer: &str| {
        let missing = || {
            Problem::at(
                Code::InvalidParameter,
                pointer,
                "from and to name the versions to compare",
            )
        };
        find_version(&configuration, &text.ok_or_else(missing)?, pointer)
    };
    let from = named(query.from, "/query/from")?;
    let to = named(query.to, "/query/to")?;
    let (old, new) = (read_files(&api, from).await?, read_files(&api, to).await?);
    let labels = [from, to].map(|version| format!("{name}@{}", version.number));
    let compared = Tasks::new().spawn_blocking(move || compare(&labels, &old, &new));
    let files = compared.await.map_err(|error| {
        tracing::error!(%error, "a comparison of versions panicked");
        Problem::new(Code::Internal, "the versions could not be compared")
    })?;
    Ok(Json(Differences {
        files,
        from: from.number,
        name,
        to: to.number,
    }))
}

/// Every file of either version, by name.
fn compare(labels: &[String; 2], old: &Files, new: &Files) -> Vec<FileDiff> {
    let mut both: BTreeMap<&str, [Option<&File>; 2]> = BTreeMap::new();
    for (side, files) in [old, new].into_iter().enumerate() {
        for file in files.iter() {
            both.entry(&file.name).or_default()[side] = Some(file);
        }
    }
    let began = SystemClock.micros();
    let mut left = DIFF_BYTES_MAX;
    let files = both.into_iter().map(|(name, sides)| {
        let search = SEARCH_MAX.saturating_sub(SystemClock.elapsed(began));
        let paths = [&labels[0], &labels[1]].map(|label| match name {
            "" => label.clone(),
            name => format!("{label}/{name}"),
        });
        compare_file(name, sides, &paths, search, &mut left)
    });
    files.collect()
}

fn compare_file(
    name: &str,
    sides: [Option<&File>; 2],
    paths: &[String; 2],
    search: Duration,
    left: &mut usize,
) -> FileDiff {
    let change = match sides {
        [None, _] => "added",
        [_, None] => "removed",
        [Some(old), Some(new)] if old == new => "same",
        [Some(_), Some(_)] => "changed",
    };
    let texts = sides.map(|side| side.map_or(Ok(""), |file| std::str::from_utf8(&file.body)));
    let (diff, omitted) = match texts {
        _ if change == "same" => (Some(String::new()), None),
        [Ok(old), Ok(new)] => {
            let text = unified([old, new], paths, search);
            if text.len() <= *left {
                *left -= text.len();
                (Some(text), None)
            } else {
                (None, Some("too_large"))
            }
        }
        [Err(_), _] | [_, Err(_)] => (None, Some("not_text")),
    };
    let [from_content_type, to_content_type] =
        sides.map(|side| side.map(|file| file.content_type.clone()));
    FileDiff {
        change,
        diff,
        from_content_type,
        name: name.to_owned(),
        omitted,
        to_content_type,
    }
}

fn unified([old, new]: [&str; 2], paths: &[String; 2], search: Duration) -> String {
    let diff = TextDiff::configure().timeout(search).diff_lines(old, new);
    diff.unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&paths[0], &paths[1])
        .to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn files(given: &[(&str, &[u8])]) -> Files {
        let file = |(name, body): &(&str, &[u8])| File {
            name: (*name).to_owned(),
            content_type: "text/yaml".to_owned(),
            body: Bytes::copy_from_slice(body),
        };
        Files::new(given.iter().map(file).collect()).unwrap()
    }

    fn compared(old: &[(&str, &[u8])], new: &[(&str, &[u8])]) -> Vec<Value> {
        let labels = ["edge@1".to_owned(), "edge@2".to_owned()];
        let compared = compare(&labels, &files(old), &files(new));
        compared.iter().map(|file| json!(file)).collect()
    }

    #[test]
    fn every_file_of_either_version_is_named() {
        let old: &[(&str, &[u8])] = &[
            ("", b"a: 1\nb: 2\n"),
            ("gone", b"x\n"),
            ("same", b"s"),
            ("z", b"\xff"),
        ];
        let new: &[(&str, &[u8])] = &[
            ("", b"a: 1\nb: 3\n"),
            ("new", b"y"),
            ("same", b"s"),
            ("z", b"z"),
        ];
        let found = compared(old, new);
        let of = |name: &str| found.iter().find(|file| file["name"] == name).unwrap();
        assert_eq!(found.len(), 5);
        assert_eq!(of("")["change"], "changed");
        assert_eq!(
            of("")["diff"],
            "--- edge@1\n+++ edge@2\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert_eq!(of("gone")["change"], "removed");
        assert_eq!(
            of("new")["diff"],
            "--- edge@1/new\n+++ edge@2/new\n@@ -0,0 +1 @@\n+y\n\\ No newline at end of file\n"
        );
        assert_eq!(
            (&of("same")["change"], &of("same")["diff"]),
            (&json!("same"), &json!(""))
        );
        assert_eq!(of("z")["omitted"], "not_text");
        assert_eq!(of("z")["diff"], Value::Null);
    }

    #[test]
    fn hostile_files_take_a_bounded_time_and_answer() {
        let lines = |seed: u64| -> Vec<u8> {
            let mut state = seed;
            let next = move || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695);
                [b'a' + u8::try_from((state >> 33) % 4).unwrap(), b'\n']
            };
            std::iter::repeat_with(next)
                .take(500_000)
                .flatten()
                .collect()
        };
        let began = SystemClock.micros();
        let found = compared(&[("", &lines(1))], &[("", &lines(2))]);
        let took = SystemClock.elapsed(began);
        assert_eq!(found[0]["change"], "changed");
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[test]
    fn differences_beyond_the_bound_are_left_out() {
        let lines = vec![b'\n'; 500_000];
        let found = compared(
            &[("a", &lines), ("b", &lines)],
            &[("c", &lines), ("d", &lines)],
        );
        let omitted: Vec<&Value> = found.iter().map(|file| &file["omitted"]).collect();
        let too_large = json!("too_large");
        assert_eq!(
            omitted,
            [&Value::Null, &Value::Null, &too_large, &too_large]
        );
    }
}
