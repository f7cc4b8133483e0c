//! Where other nodes are and by which key they are known, kept beside the log: a node that starts has to find the others
//! before it can learn from them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::key::{KeyHash, replace};

/// What was known last.
const BOOK_FILE: &str = "peers.json";

/// Largest file that is read, in bytes: a thousand nodes with the longest addresses.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `host:port` of its peer listener.
    pub address: Arc<str>,
    /// What it is known by.
    pub key: KeyHash,
}

/// What is known of all of them; clones speak of the same.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    known: Arc<ArcSwap<BTreeMap<NodeId, Known>>>,
}

/// Why what was known cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be read or written.
    #[error("cannot keep the addresses of other nodes in {BOOK_FILE}")]
    Io(#[from] io::Error),
    /// The file is not ours.
    #[error("{BOOK_FILE} is damaged: remove it, and give `cluster.join` an address of the cluster")]
    Damaged(#[source] serde_json::Error),
    /// A key in it is none.
    #[error("{BOOK_FILE} is damaged: `{0}` is no hash of a key")]
    NoKey(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    node_id: u64,
    address: Arc<str>,
    key: String,
}

impl AddressBook {
    /// Knows nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known now.
    pub fn all(&self) -> Arc<BTreeMap<NodeId, Known>> {
        self.known.load_full()
    }

    /// What is known of one node.
    pub fn of(&self, node: NodeId) -> Option<Known> {
        self.known.load().get(&node).cloned()
    }

    /// Replaces all of it; connections to a node that changed are made anew with the next call.
    pub fn set(&self, known: BTreeMap<NodeId, Known>) {
        self.known.store(Arc::new(known));
    }

    /// What the directory keeps; nobody when it keeps nothing. Holds its thread.
    ///
    /// # Errors
    /// Fails when there is a file that cannot be read.
    pub fn load(data_dir: &Path) -> Result<Self, BookError> {
        let mut bytes = Vec::new();
        match std::fs::File::open(data_dir.join(BOOK_FILE)) {
            Ok(file) => {
                io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new()),
            Err(error) => return Err(error.into()),
        };
        let lines: Vec<Line> = serde_json::from_slice(&bytes).map_err(BookError::Damaged)?;
        let mut known = BTreeMap::new();
        for line in lines {
            let mut key = KeyHash::default();
            if hex::decode_to_slice(&line.key, &mut key).is_err() {
                return Err(BookError::NoKey(line.key));
            }
            let address = line.address;
            known.insert(NodeId(line.node_id), Known { address, key });
        }
        let book = Self::new();
        book.set(known);
        Ok(book)
    }

    /// Keeps what is known now. Holds its thread.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn save(&self, data_dir: &Path) -> Result<(), BookError> {
        let known = self.all();
        let lines: Vec<Line> = known
            .iter()
            .map(|(node, known)| Line {
                node_id: node.0,
                address: known.address.clone(),
                key: hex::encode(known.key),
            })
            .collect();
        let bytes = serde_json::to_vec_pretty(&lines).map_err(io::Error::from)?;
        Ok(replace(&data_dir.join(BOOK_FILE), &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_known_is_known_again() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(
            AddressBook::load(dir.path())
                .expect("empty")
                .all()
                .is_empty()
        );
        let book = AddressBook::new();
        let known = |port: u16, key| Known {
            address: format!("node.example:{port}").into(),
            key: [key; 32],
        };
        book.set([(NodeId(1), known(1, 7)), (NodeId(9), known(2, 8))].into());
        book.save(dir.path()).expect("kept");
        book.set([(NodeId(9), known(3, 8))].into());
        book.save(dir.path()).expect("kept again");
        let again = AddressBook::load(dir.path()).expect("ours");
        assert_eq!(*again.all(), *book.all());
        let file = std::fs::metadata(dir.path().join(BOOK_FILE)).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_book_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let half = "[{\"node_id\": 1,";
        let short = "[{\"node_id\": 1, \"address\": \"a:1\", \"key\": \"00\"}]";
        for text in [half, short] {
            std::fs::write(dir.path().join(BOOK_FILE), text).expect("written");
            let refused = AddressBook::load(dir.path()).expect_err("damaged");
            assert!(refused.to_string().contains(BOOK_FILE), "{refused}");
        }
    }
}
