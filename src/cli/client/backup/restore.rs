//! `backup restore`: a new cluster of one node, in the directory that `serve` would use with the same options.

use std::fs::File;

use ampora_raft::time::Clock;
use serde_json::json;

use super::{FileArgs, counts, shown};
use crate::cli::args::SourceArgs;
use crate::cli::client::error::ClientError;
use crate::cli::client::output::{Output, View};
use crate::cli::client::text::{card, cell};
use crate::cli::{CliError, Surroundings, files, sources};
use crate::clock::SystemClock;
use crate::{config, node};

const RESTORED: View = View {
    text: |answer, _| {
        let head = card(&[
            ("restored", counts(answer)),
            ("made", cell(answer, "/created_at")),
            ("index", cell(answer, "/applied_index")),
            (
                "lineage",
                format!(
                    "{}, was {}",
                    cell(answer, "/lineage"),
                    cell(answer, "/previous_lineage")
                ),
            ),
            ("node", cell(answer, "/node_id")),
            ("into", cell(answer, "/data_dir")),
        ]);
        let dir = cell(answer, "/data_dir");
        format!(
            "{head}\n\
             Next:\n\
             1. Make sure that no node of the cluster before runs: agents would be told two things.\n\
             2. To go on with the admin token of before, put its text into {dir}/admin.token;\n   \
                without that file the next start makes a new one and revokes the old one.\n\
             3. Start it with the same options: ampora serve --data-dir {dir}\n\
             4. Look: ampora audit verify, ampora agents list. Restarts and messages that were queued are\n   \
                failed (outcome_unknown): give them again where they are still wanted.\n\
             5. Tokens that were revoked after the backup work again: ampora tokens list\n"
        )
    },
    names: |answer| vec![cell(answer, "/lineage")],
};

pub(super) fn run(
    args: &FileArgs,
    source: &SourceArgs,
    output: Output,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    files::keep_files_private();
    let config = config::load(&sources(source.clone(), surroundings))?.config;
    let path = &args.file;
    let file = File::open(path).map_err(|source| ClientError::File {
        path: path.clone(),
        source,
    })?;
    let restored = node::restore(file, &config.node.data_dir, config.node.id, &SystemClock)
        .map_err(|error| ClientError::backup("restore", path, error))?;
    let mut answer = shown(path, &restored.header, &restored.summary);
    answer["previous_lineage"] = answer["lineage"].take();
    answer["lineage"] = json!(format!("{:032x}", restored.lineage));
    answer["node_id"] = json!(restored.node.0);
    answer["data_dir"] = json!(config.node.data_dir.display().to_string());
    output.show(&answer, RESTORED, SystemClock.wall_ms())
}
