//! `ampora configs`: named containers of immutable versions.

mod diff;

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Subcommand;
use http::{Method, StatusCode};
use serde_json::Value;

use super::Session;
use super::args::{LimitArgs, VersionName, WatchArgs, name, version_name};
use super::error::ClientError;
use super::http::{Body, Call};
use super::output::View;
use super::text::{
    Look, age, card, cell, counted, found, items, number, plain_lines, short_hash, table, version,
};
use super::watch;
use crate::cli::{CliError, print_bytes};

/// Bytes of a file that are sent at most: over what a node takes, so that the node says its own limit.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigsCommand {
    /// Make a version of a file's bytes; the same bytes again are the version that has them
    #[command(after_help = "\
Examples:
  ampora configs put edge collector.yaml
  envsubst < collector.yaml | ampora configs put edge - --comment 'raise the batch size'")]
    Put(PutArgs),
    /// List configurations
    List(ListArgs),
    /// Show a version with its files; the newest one when no version is named
    #[command(after_help = "\
Examples:
  ampora configs show edge
  ampora configs show edge@3 --raw > collector.yaml")]
    Show(ShowArgs),
    /// List the versions of a configuration, newest first
    Versions(VersionsArgs),
    /// Show what differs between two versions
    #[command(after_help = "\
Examples:
  ampora configs diff edge 2 3
  ampora configs diff edge 2 newest | less")]
    Diff(diff::DiffArgs),
}

/// Arguments of `configs put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// Configuration; made when there is none of this name
    #[arg(value_parser = name)]
    name: String,
    /// YAML file, or `-` for standard input
    file: PathBuf,
    /// Words to remember the version by
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Take an empty file, which stops a collector
    #[arg(long)]
    allow_empty: bool,
}

/// Arguments of `configs list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Arguments of `configs show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Configuration, or one version of it
    #[arg(id = "which", value_name = "NAME[@V]", value_parser = version_name)]
    version: VersionName,
    /// Print the bytes of its one file as they were given
    #[arg(long)]
    raw: bool,
}

/// Arguments of `configs versions`.
#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    /// Configuration
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    limit: LimitArgs,
}

const LIST: View = View {
    text: list_text,
    names: |answer| {
        items(answer, "items")
            .iter()
            .map(|item| cell(item, "/name"))
            .collect()
    },
};

const VERSIONS: View = View {
    text: versions_text,
    names: |answer| {
        items(answer, "versions")
            .iter()
            .map(|item| version(item, ""))
            .collect()
    },
};

const SHOWN: View = View {
    text: shown_text,
    names: |answer| vec![version(answer, "")],
};

const MADE: View = View {
    text: |answer, _| made_text(answer, true),
    names: |answer| vec![version(answer, "")],
};

const FOUND: View = View {
    text: |answer, _| made_text(answer, false),
    names: |answer| vec![version(answer, "")],
};

pub(super) async fn run(session: &Session, command: ConfigsCommand) -> Result<(), CliError> {
    match command {
        ConfigsCommand::Put(args) => put(session, args).await,
        ConfigsCommand::List(args) => {
            let call = Call::get(&["configurations"]);
            let ask = async || {
                let call = call.clone();
                session.client.pages(call, "items", args.limit.limit).await
            };
            watch::show(session, args.watch, LIST, ask).await
        }
        ConfigsCommand::Show(args) => show(session, args).await,
        ConfigsCommand::Versions(args) => {
            let call = Call::get(&["configurations", &args.name]);
            let answer = session
                .client
                .pages(call, "versions", args.limit.limit)
                .await?;
            session.show_list(&answer, VERSIONS)
        }
        ConfigsCommand::Diff(args) => diff::run(session, args).await,
    }
}

async fn put(session: &Session, args: PutArgs) -> Result<(), CliError> {
    let bytes = read(&args.file)?;
    let call = Call::new(Method::POST, &["configurations", &args.name, "versions"])
        .with("comment", args.comment)
        .with("allow_empty", args.allow_empty.then_some(true))
        .body(Body::Yaml(Bytes::from(bytes)));
    let answer = session.client.call(call).await?;
    let is_made = answer.status == StatusCode::CREATED;
    session.show(&answer.body, if is_made { MADE } else { FOUND })
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    let cannot = |source| ClientError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    let mut reader = reader.take(FILE_BYTES_MAX + 1);
    reader.read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(cannot(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            why,
        )));
    }
    Ok(bytes)
}

async fn show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let VersionName { name, version } = args.version;
    let number = version.map_or("newest".to_owned(), |version| version.to_string());
    let call = Call::get(&["configurations", &name, "versions", &number]);
    let answer = session.client.get(call).await?;
    if !args.raw {
        return session.show(&answer, SHOWN);
    }
    match items(&answer, "files") {
        [file] => print_bytes(&bytes_of(file)),
        files => Err(ClientError::Usage(format!(
            "--raw prints one file and this version has {}: use -o json",
            files.len()
        ))
        .into()),
    }
}

/// The bytes of a file: text, or base64 where they are not.
fn bytes_of(file: &Value) -> Vec<u8> {
    let text = |field: &str| file.get(field).and_then(Value::as_str);
    match (text("body"), text("body_base64")) {
        (Some(body), _) => body.as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD.decode(encoded).unwrap_or_default(),
        (None, None) => Vec::new(),
    }
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec!["NAME", "NEWEST", "VERSIONS", "HASH", "UPDATED", "BY"];
    if look.is_wide {
        head[3] = "FULL HASH";
    }
    let rows = items(answer, "items").iter().map(|item| {
        vec![
            cell(item, "/name"),
            cell(item, "/newest"),
            cell(item, "/versions_count"),
            hash(item, look),
            age(item, "/updated_at", look.now_ms),
            cell(item, "/updated_by"),
        ]
    });
    let empty = "there are no configurations: make one with `ampora configs put NAME FILE`";
    table(&head, rows.collect(), empty)
}

fn versions_text(answer: &Value, look: &Look) -> String {
    let rows = items(answer, "versions").iter().map(|item| {
        let size: u64 = items(item, "files")
            .iter()
            .map(|file| number(file, "/size"))
            .sum();
        vec![
            version(item, ""),
            hash(item, look),
            size.to_string(),
            age(item, "/created_at", look.now_ms),
            cell(item, "/created_by"),
            cell(item, "/comment"),
        ]
    });
    let head = ["VERSION", "HASH", "BYTES", "CREATED", "BY", "COMMENT"];
    table(&head, rows.collect(), "there are no versions")
}

fn hash(item: &Value, look: &Look) -> String {
    if look.is_wide {
        cell(item, "/hash")
    } else {
        short_hash(item, "/hash")
    }
}

fn made_text(answer: &Value, is_made: bool) -> String {
    let (version, hash) = (version(answer, ""), cell(answer, "/hash"));
    if is_made {
        format!("{version} created, hash {hash}\n")
    } else {
        format!("{version} has these bytes already, nothing new was made, hash {hash}\n")
    }
}

fn shown_text(answer: &Value, look: &Look) -> String {
    let mut lines = vec![
        ("version", version(answer, "")),
        ("hash", cell(answer, "/hash")),
        (
            "created",
            format!(
                "{} by {}",
                age(answer, "/created_at", look.now_ms),
                cell(answer, "/created_by")
            ),
        ),
    ];
    lines.extend(found(answer, "/comment").map(|comment| ("comment", comment)));
    card(&lines) + &files_text(answer)
}

/// The files of an answer, each below a line that says which it is.
pub(super) fn files_text(answer: &Value) -> String {
    let files = items(answer, "files").iter().map(|file| {
        let name =
            found(file, "/name").map_or("the one file".to_owned(), |name| format!("file {name}"));
        let media =
            found(file, "/content_type").map_or(String::new(), |media| format!(", {media}"));
        let bytes = bytes_of(file);
        let mut body = match std::str::from_utf8(&bytes) {
            Ok(text) => plain_lines(text),
            Err(_) => format!(
                "# {} that are not text",
                counted(bytes.len() as u64, "byte", "bytes")
            ),
        };
        if !body.is_empty() && !body.ends_with('\n') {
            body.push('\n');
        }
        format!("\n# {name}{media}\n{body}")
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 60_000,
    };

    fn edge(files: &Value) -> Value {
        json!({
            "name": "edge", "version": 3, "hash": "0123456789abcdef", "files": files, "comment": "",
            "created_at": "1970-01-01T00:00:00.000Z", "created_by": "admin",
        })
    }

    #[test]
    fn put_says_whether_the_version_is_new() {
        let answer = edge(&json!([]));
        assert_eq!(
            made_text(&answer, true),
            "edge@3 created, hash 0123456789abcdef\n"
        );
        assert!(made_text(&answer, false).starts_with("edge@3 has these bytes already"));
    }

    #[test]
    fn shown_version_has_its_files_below_its_head() {
        let answer = edge(&json!([
            {"name": "", "content_type": "text/yaml", "size": 5, "body": "a: 1"},
            {"name": "b.bin", "content_type": "", "size": 2, "body_base64": "//4="},
        ]));
        assert_eq!(
            shown_text(&answer, &LOOK),
            "version  edge@3\n\
             hash     0123456789abcdef\n\
             created  60s ago by admin\n\
             \n# the one file, text/yaml\na: 1\n\
             \n# file b.bin\n# 2 bytes that are not text\n"
        );
    }

    #[test]
    fn bytes_come_back_as_they_were_given() {
        assert_eq!(bytes_of(&json!({"body": "a\r\n"})), b"a\r\n");
        assert_eq!(bytes_of(&json!({"body_base64": "//4="})), [0xff, 0xfe]);
    }

    #[test]
    fn versions_are_listed_with_their_size_and_comment() {
        let mut item = edge(&json!([{"name": "", "size": 7}, {"name": "b", "size": 5}]));
        item["comment"] = json!("first");
        let text = versions_text(&json!({"versions": [item]}), &LOOK);
        assert_eq!(
            text,
            "VERSION  HASH          BYTES  CREATED  BY     COMMENT\n\
             edge@3   0123456789ab  12     60s ago  admin  first\n"
        );
        assert!(list_text(&json!({"items": []}), &LOOK).contains("ampora configs put"));
    }

    #[test]
    fn file_that_is_too_large_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).expect_err("endless");
        assert!(
            matches!(&error, ClientError::File { source, .. } if source.to_string().contains("more than"))
        );
        assert!(read(Path::new("/nowhere")).is_err());
    }
}
