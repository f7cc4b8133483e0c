//! `ampora backup`: everything of a cluster as a file, a look at such a file, and a new cluster from it. Only `save`
//! talks to a node.

mod inspect;
mod restore;
mod save;

use std::path::PathBuf;

use ampora_storage::backup::{Header, Summary};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Session;
use super::output::{Output, View};
use super::text::{card, cell};
use crate::cli::args::SourceArgs;
use crate::cli::{CliError, Surroundings};
use crate::clock::rfc3339;

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write everything that a running cluster keeps into a file, while it goes on
    ///
    /// The file has the hashes of tokens and every configuration: whoever reads it knows what a node knows. Only
    /// its owner can read it.
    #[command(after_help = "\
Examples:
  ampora backup save fleet.backup
  ampora backup save /backups/$(date +%F).backup --url http://10.0.0.5:4321")]
    Save(SaveArgs),
    /// Begin a new cluster of one node from a file, in an empty data directory
    #[command(after_help = "\
Examples:
  ampora backup restore fleet.backup --data-dir ./ampora-data
  ampora backup restore fleet.backup --config /etc/ampora/ampora.yaml")]
    Restore(FileArgs),
    /// Check a file from its first byte to its last and say what is in it
    Inspect(FileArgs),
}

/// Arguments of `backup save`.
#[derive(Debug, clap::Args)]
pub struct SaveArgs {
    /// The file to write
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// A backup that is there.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// The file
    file: PathBuf,
}

/// Does what asks a node.
pub(super) async fn run(session: &Session, command: BackupCommand) -> Result<(), CliError> {
    match command {
        BackupCommand::Save(args) => save::run(session, &args).await,
        BackupCommand::Restore(_) | BackupCommand::Inspect(_) => Ok(()),
    }
}

/// Does what asks no node; `None` when it asks one.
pub(super) fn run_offline(
    command: &BackupCommand,
    source: &SourceArgs,
    output: Output,
    surroundings: &Surroundings,
) -> Option<Result<(), CliError>> {
    match command {
        BackupCommand::Save(_) => None,
        BackupCommand::Inspect(args) => Some(inspect::run(args, output)),
        BackupCommand::Restore(args) => Some(restore::run(args, source, output, surroundings)),
    }
}

/// A backup as it is shown.
fn shown(file: &std::path::Path, header: &Header, summary: &Summary) -> Value {
    let rows = summary.rows.iter();
    let rows: Map<String, Value> = rows
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect();
    json!({
        "file": file.display().to_string(),
        "id": header.id,
        "lineage": format!("{:032x}", header.lineage),
        "applied_index": header.applied_index,
        "fleet_time_ms": header.fleet_time_ms,
        "created_at": rfc3339(header.created_ms),
        "node_id": header.node.0,
        "version": header.version,
        "format": ampora_storage::backup::FORMAT,
        "feature_level": header.feature_level,
        "rows": rows,
        "size_bytes": summary.bytes,
        "sha256": hex::encode(summary.sha256),
    })
}

const BACKUP: View = View {
    text: |answer, _| card(&lines(answer)),
    names: |answer| vec![cell(answer, "/id")],
};

/// What people read of a backup.
fn lines(answer: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("backup", cell(answer, "/file")),
        ("made", cell(answer, "/created_at")),
        ("lineage", cell(answer, "/lineage")),
        ("index", cell(answer, "/applied_index")),
        (
            "by",
            format!(
                "node {}, ampora {}",
                cell(answer, "/node_id"),
                cell(answer, "/version")
            ),
        ),
        ("rows", counts(answer)),
        ("bytes", cell(answer, "/size_bytes")),
        ("sha256", cell(answer, "/sha256")),
    ]
}

/// What people count; heads and markers are no news.
fn counts(answer: &Value) -> String {
    let shown = [
        "agents",
        "configurations",
        "groups",
        "dispatches",
        "tokens",
        "audit_records",
    ];
    let counts = shown.map(|name| {
        let count = answer["rows"].get(name).and_then(Value::as_u64);
        format!("{} {}", count.unwrap_or_default(), name.replace('_', " "))
    });
    counts.join(", ")
}
