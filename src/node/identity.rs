//! What a node keeps outside the log: its id, its cluster, and where it can be reached while it runs.

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
struct Kept {
    node_id: u64,
    /// 32 hexadecimal digits; a node that was never in a cluster, or of an older version, has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
}

/// Who a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// The lineage of its cluster, once it is known.
    pub cluster: Option<u128>,
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
    /// The cluster in the file is none.
    #[error("{IDENTITY_FILE} is damaged: `{0}` is no cluster id")]
    NoCluster(String),
    /// The configuration names another node.
    #[error("node.id is {configured}, but this data directory belongs to node {kept}")]
    OtherNode {
        /// What the configuration says.
        configured: u64,
        /// What the directory says.
        kept: u64,
    },
}

impl Identity {
    /// Who the directory belongs to; nobody when it is fresh.
    ///
    /// # Errors
    /// Fails when the file is not ours, or says another node than the configuration.
    pub fn read(data_dir: &Path, configured: Option<u64>) -> Result<Option<Self>, IdentityError> {
        let bytes = match std::fs::read(data_dir.join(IDENTITY_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(IdentityError::Damaged)?;
        let id = kept.node_id;
        if let Some(configured) = configured.filter(|configured| *configured != id) {
            return Err(IdentityError::OtherNode {
                configured,
                kept: id,
            });
        }
        let cluster = kept.cluster_id.map(|text| {
            let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u128::from_str_radix(&text, 16);
            number
                .ok()
                .filter(|number| is_hex && *number != 0)
                .ok_or(IdentityError::NoCluster(text))
        });
        Ok(Some(Self {
            node: NodeId(id),
            cluster: cluster.transpose()?,
        }))
    }

    /// Keeps it, for ever.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write(&self, data_dir: &Path) -> Result<(), IdentityError> {
        let kept = Kept {
            node_id: self.node.0,
            cluster_id: self.cluster.map(|cluster| format!("{cluster:032x}")),
        };
        let bytes = serde_json::to_vec(&kept).map_err(io::Error::from)?;
        Ok(replace(&data_dir.join(IDENTITY_FILE), &bytes)?)
    }

    /// The founder of a cluster that is not founded yet: with the configured id, else 1.
    #[must_use]
    pub fn founder(configured: Option<u64>) -> Self {
        Self {
            node: NodeId(configured.unwrap_or(FOUNDER)),
            cluster: None,
        }
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
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_chosen_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Identity::read(dir.path(), Some(4)).expect("fresh"), None);
        let four = Identity::founder(Some(4));
        four.write(dir.path()).expect("kept");
        assert_eq!(Identity::read(dir.path(), None).expect("kept"), Some(four));
        let refused = Identity::read(dir.path(), Some(5)).expect_err("another node");
        assert!(
            refused.to_string().contains("belongs to node 4"),
            "{refused}"
        );
    }

    #[test]
    fn cluster_is_kept_and_files_without_one_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(IDENTITY_FILE);
        std::fs::write(&file, br#"{"node_id":7}"#).expect("written");
        let old = Identity::read(dir.path(), None).expect("read");
        assert_eq!(old, Some(Identity::founder(Some(7))));
        let member = Identity {
            node: NodeId(7),
            cluster: Some(0xa1),
        };
        member.write(dir.path()).expect("kept");
        let read = Identity::read(dir.path(), Some(7)).expect("read");
        assert_eq!(read, Some(member));
        for bad in [
            "",
            "zz",
            "1",
            "00000000000000000000000000000000",
            "+0000000000000000000000000000001",
        ] {
            let text = format!(r#"{{"node_id":7,"cluster_id":"{bad}"}}"#);
            std::fs::write(&file, text).expect("written");
            assert!(Identity::read(dir.path(), None).is_err(), "{bad}");
        }
    }
}
