//! A data directory from a backup, for the node that is to start there.

use std::fs::File;
use std::path::Path;

use ampora_raft::ids::NodeId;
use ampora_raft::time::Clock;
use ampora_storage::backup::{Header, Summary};
use ampora_storage::restore::{Begin, Checked};
use ampora_storage::store::{StoreOptions, check_empty};

use super::identity::{FOUNDER, Identity, IdentityError};
use crate::entropy;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// Of what.
    pub header: Header,
    /// What was in it.
    pub summary: Summary,
    /// The lineage of the new cluster.
    pub lineage: u128,
    /// Its only node.
    pub node: NodeId,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file or the directory is no use.
    #[error(transparent)]
    Restore(#[from] ampora_storage::restore::RestoreError),
    /// The node's id could not be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Makes the data directory of a new cluster of one node from a backup. The node has the configured id, else 1.
///
/// # Errors
/// The file is not whole, newer or foreign, or the directory is in use, not empty or cannot be written.
pub fn restore(
    file: File,
    data_dir: &Path,
    configured: Option<u64>,
    clock: &dyn Clock,
) -> Result<Restored, RestoreError> {
    // before a large file is read for nothing
    check_empty(data_dir).map_err(ampora_storage::restore::RestoreError::from)?;
    let checked = Checked::read(file)?;
    let begin = Begin {
        node: NodeId(configured.unwrap_or(FOUNDER)),
        lineage: u128::from_be_bytes(entropy::bytes()),
        wall_ms: clock.wall_ms(),
    };
    let summary = checked.summary().clone();
    let header = checked.header().clone();
    let restored = checked.restore(data_dir, begin, &StoreOptions::default())?;
    Identity {
        node: begin.node,
        cluster: Some(begin.lineage),
    }
    .write(data_dir)?;
    restored.finish()?;
    Ok(Restored {
        header,
        summary,
        lineage: begin.lineage,
        node: begin.node,
    })
}
