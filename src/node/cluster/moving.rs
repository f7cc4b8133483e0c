//! How a node that runs alone moves into another cluster: it is let in while it runs, notes the place that it
//! was given, starts again, and sets aside what it had. A crash at any point is repaired by the next start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_storage::store::{OpenError, check_empty};
use serde::{Deserialize, Serialize};

use super::ask::Newcomer;
use super::place::all;
use crate::node::identity::{Identity, IdentityError, replace};
use crate::peer::{AddressBook, BookError, Joined, KeyHash, Known};

/// Holds the place that the next start takes.
const FILE: &str = "moving.json";

/// What a node has of its own cluster; the key stays, because the other cluster knows the node by it.
const OLD: [&str; 4] = ["store", "bodies", "history", "identity.json"];

/// Why the place was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Files of the directory could not be moved.
    #[error("cannot set aside what this node had before it joined")]
    Io(#[from] io::Error),
    /// The note is not ours.
    #[error("{FILE} is damaged: remove it to stay alone, or join once more")]
    Damaged(#[source] serde_json::Error),
    /// The new identity could not be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The other nodes could not be kept.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// A place in another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    node_id: u64,
    cluster_id: u128,
    members: Vec<Other>,
    /// Wall time, in the name of the directory that takes what was.
    noted_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Other {
    node_id: u64,
    address: Arc<str>,
    key: KeyHash,
}

impl Moving {
    /// The place that a cluster gave.
    #[must_use]
    pub fn to(joined: &Joined, newcomer: &Newcomer, wall_ms: u64) -> Self {
        let all = all(joined, newcomer).into_iter();
        let members = all.map(|(node, known)| Other {
            node_id: node.0,
            address: known.address,
            key: known.key,
        });
        Self {
            node_id: joined.node.0,
            cluster_id: joined.cluster_id,
            members: members.collect(),
            noted_ms: wall_ms,
        }
    }

    /// Notes it for the next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self, data_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::from)?;
        replace(&data_dir.join(FILE), &bytes)
    }

    /// Takes the place that was noted, before the store is opened; says where what was before is now.
    ///
    /// # Errors
    /// The directory cannot be changed, or the note is not ours.
    pub fn finish(data_dir: &Path) -> Result<Option<PathBuf>, MoveError> {
        let bytes = match std::fs::read(data_dir.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if matches!(check_empty(data_dir), Err(OpenError::Locked { .. })) {
            // whoever has it open is told so when the store is opened
            return Ok(None);
        }
        let moving: Self = serde_json::from_slice(&bytes).map_err(MoveError::Damaged)?;
        let aside = data_dir.join(format!("set-aside-{}", moving.noted_ms));
        let is_begun = aside.is_dir();
        if !is_begun {
            std::fs::create_dir(&aside)?;
        }
        for name in OLD {
            let (from, to) = (data_dir.join(name), aside.join(name));
            // what is there already was moved before a crash: what stands in its place is new
            if !to.try_exists()? && from.try_exists()? {
                std::fs::rename(from, to)?;
            }
        }
        moving.take(data_dir)?;
        std::fs::remove_file(data_dir.join(FILE))?;
        std::fs::File::open(data_dir)?.sync_all()?;
        Ok(Some(aside))
    }

    fn take(self, data_dir: &Path) -> Result<(), MoveError> {
        let others = self.members.into_iter().map(|other| {
            let known = Known {
                address: other.address,
                key: other.key,
            };
            (NodeId(other.node_id), known)
        });
        let book = AddressBook::new();
        book.set(others.collect::<BTreeMap<_, _>>());
        book.save(data_dir)?;
        let identity = Identity {
            node: NodeId(self.node_id),
            cluster: Some(self.cluster_id),
        };
        Ok(identity.write(data_dir)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Member, NodeKey};

    fn there(path: &Path) -> bool {
        path.try_exists().unwrap()
    }

    fn joined() -> Joined {
        Joined {
            node: NodeId(3),
            cluster_id: 0xa1,
            members: vec![Member {
                node: NodeId(1),
                key: [7; 32],
                address: "127.0.0.1:4322".into(),
            }],
        }
    }

    fn newcomer() -> Newcomer {
        let dir = tempfile::tempdir().unwrap();
        Newcomer {
            key: Arc::new(NodeKey::load_or_make(dir.path()).unwrap()),
            address: "127.0.0.3:4322".into(),
            name: "n".into(),
            wanted: None,
        }
    }

    fn alone() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store/rows"), "old").unwrap();
        std::fs::write(dir.path().join("format"), "ampora-data 1\n").unwrap();
        std::fs::write(dir.path().join("peer.key"), "key").unwrap();
        Identity::founder(None).write(dir.path()).unwrap();
        dir
    }

    #[test]
    fn nothing_moves_without_a_note() {
        let dir = alone();
        assert_eq!(Moving::finish(dir.path()).unwrap(), None);
        assert!(there(&dir.path().join("store/rows")));
    }

    #[test]
    fn what_was_is_set_aside_and_the_place_taken() {
        let dir = alone();
        Moving::to(&joined(), &newcomer(), 5)
            .note(dir.path())
            .unwrap();
        let aside = Moving::finish(dir.path()).unwrap().unwrap();
        assert_eq!(std::fs::read(aside.join("store/rows")).unwrap(), b"old");
        assert!(there(&aside.join("identity.json")));
        assert!(!there(&dir.path().join("store")) && there(&dir.path().join("peer.key")));
        let identity = Identity::read(dir.path(), None).unwrap().unwrap();
        assert_eq!((identity.node, identity.cluster), (NodeId(3), Some(0xa1)));
        let book = AddressBook::load(dir.path()).unwrap();
        assert_eq!(book.of(NodeId(1)).unwrap().key, [7; 32]);
        assert_eq!(&*book.of(NodeId(3)).unwrap().address, "127.0.0.3:4322");
        assert_eq!(Moving::finish(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_crash_half_way_is_finished_by_the_next_start() {
        let dir = alone();
        Moving::to(&joined(), &newcomer(), 5)
            .note(dir.path())
            .unwrap();
        let note = std::fs::read(dir.path().join(FILE)).unwrap();
        let aside = Moving::finish(dir.path()).unwrap().unwrap();
        // as if it had crashed just before the note was removed, and the new identity was there
        std::fs::write(dir.path().join(FILE), note).unwrap();
        assert_eq!(Moving::finish(dir.path()).unwrap(), Some(aside.clone()));
        let identity = Identity::read(dir.path(), None).unwrap().unwrap();
        assert_eq!(identity.node, NodeId(3));
        let old = std::fs::read_to_string(aside.join("identity.json")).unwrap();
        assert!(old.contains("\"node_id\":1"), "{old}");
    }
}
