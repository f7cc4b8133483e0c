//! What a node keeps outside the log: its id, and where it can be reached while it runs.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ampora_raft::ids::NodeId;
use serde::{Deserialize, Serialize};

/// Holds the node's id for ever: an id is never reused with an empty disk.
const IDENTITY_FILE: &str = "identity.json";

/// The id of the first node when nobody says otherwise.
pub const FOUNDER: u64 = 1;

/// Holds the process id and the real addresses while the node serves.
const RUNNING_FILE: &str = "node.json";

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    node_id: u64,
}

/// Where a running node is reached: written once it is ready, removed when it stops.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// The process.
    pub pid: u32,
    /// The Raft id.
    pub node_id: u64,
    /// The program's version.
    pub version: String,
    /// Agents: the address that the listener has, also when port 0 was asked for.
    pub opamp_address: SocketAddr,
    /// Operators.
    pub admin_address: SocketAddr,
    /// The certificate file of their door when it has TLS: whoever may read this file may trust that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_certificate: Option<PathBuf>,
}

/// Why the node has no id.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot keep the node's identity in {IDENTITY_FILE}")]
    Io(#[from] io::Error),
    /// The file is not ours.
    #[error("{IDENTITY_FILE} is damaged: restore it, or start with an empty data directory")]
    Damaged(#[source] serde_json::Error),
    /// The configuration names another node.
    #[error("node.id is {configured}, but this data directory belongs to node {kept}")]
    OtherNode {
        /// What the configuration says.
        configured: u64,
        /// What the directory says.
        kept: u64,
    },
}

/// The node's id: the one that the directory keeps, else the configured one, else 1, the founder.
///
/// # Errors
/// Fails when the directory belongs to another node than the configuration names.
pub fn node_id(data_dir: &Path, configured: Option<u64>) -> Result<NodeId, IdentityError> {
    let path = data_dir.join(IDENTITY_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let kept: Identity = serde_json::from_slice(&bytes).map_err(IdentityError::Damaged)?;
            match configured {
                Some(configured) if configured != kept.node_id => Err(IdentityError::OtherNode {
                    configured,
                    kept: kept.node_id,
                }),
                Some(_) | None => Ok(NodeId(kept.node_id)),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let node_id = configured.unwrap_or(FOUNDER);
            let bytes = serde_json::to_vec(&Identity { node_id }).map_err(io::Error::from)?;
            replace(&path, &bytes)?;
            Ok(NodeId(node_id))
        }
        Err(error) => Err(error.into()),
    }
}

impl Running {
    /// Says that the node is ready.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        replace(&data_dir.join(RUNNING_FILE), &bytes)
    }

    /// Takes the file of an earlier process away, so that nobody reads old addresses.
    ///
    /// # Errors
    /// Fails when there is a file that cannot be removed.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(data_dir.join(RUNNING_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Writes beside the file and renames, so that a reader sees all or nothing.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_chosen_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(node_id(dir.path(), Some(4)).expect("chosen"), NodeId(4));
        assert_eq!(node_id(dir.path(), None).expect("kept"), NodeId(4));
        let refused = node_id(dir.path(), Some(5)).expect_err("another node");
        assert!(
            refused.to_string().contains("belongs to node 4"),
            "{refused}"
        );
    }
}
