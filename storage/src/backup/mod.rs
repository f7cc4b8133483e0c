//! A backup: everything of a fleet at one index, as a file or a stream that is checked from its first byte to its last.
//!
//! ```text
//! "ampora backup\r\n\x1a"  format u32
//! 'H' length u32  envelope(Header)
//! 'R' length u32  envelope([(key, envelope(Row))])     again and again
//! 'E' length u32  envelope(End)                        nothing behind it
//! ```
//!
//! Numbers are big-endian, envelopes those of [`crate::codec`] with a checksum each; the end holds how many rows of each
//! kind there were and the SHA-256 of every byte before it. Nothing is allocated by a length that was only read.

mod export;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::io;

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;
use ampora_raft::rows::RowKey;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use export::{Moved, export};
pub use read::Reader;
pub use write::Writer;

/// The first bytes; the control characters show a transfer that changed line ends.
const MAGIC: [u8; 16] = *b"ampora backup\r\n\x1a";

/// What this program writes; it reads nothing newer.
pub const FORMAT: u32 = 1;

/// Bytes of rows after which a chunk ends; one larger row has its own.
const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes of an envelope at most, more than the codec ever makes.
const ENVELOPE_BYTES_MAX: usize = 1024 * 1024 + 64;

/// What stands before a chunk: its tag and its length.
const FRAME_BYTES: usize = 5;

/// What the next chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Head,
    Rows,
    End,
}

impl Tag {
    fn byte(self) -> u8 {
        match self {
            Self::Head => b'H',
            Self::Rows => b'R',
            Self::End => b'E',
        }
    }
}

/// Of what, when and by what a backup was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The snapshot's name.
    pub id: String,
    /// The lineage of the cluster.
    pub lineage: u128,
    /// The last entry in it.
    pub applied_index: u64,
    /// Fleet time at that entry.
    pub fleet_time_ms: u64,
    /// Wall time of the copy, for people.
    pub created_ms: u64,
    /// The node that it was copied from.
    pub node: NodeId,
    /// The program's version.
    pub version: String,
    /// What a program must be able to apply to read it.
    pub feature_level: u16,
}

/// A row as it lies in a chunk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    key: Bytes,
    row: Bytes,
}

/// What stands at the end.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    chunks: u64,
    /// Rows by the first byte of their keys.
    rows: Vec<(u8, u64)>,
    sha256: [u8; 32],
}

/// What a whole backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Chunks of rows.
    pub chunks: u64,
    /// Rows by kind, in the order of their keys.
    pub rows: Vec<(&'static str, u64)>,
    /// Bytes from the first to the last.
    pub bytes: u64,
    /// SHA-256 of everything before the end mark.
    pub sha256: [u8; 32],
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It begins otherwise.
    #[error("it is not a backup of ampora")]
    Foreign,
    /// It has a later format.
    #[error("it has backup format {found}, this program reads up to {FORMAT}: use a newer ampora")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It needs a later program.
    #[error(
        "it was written by ampora {version} at feature level {found}, this program knows up to {FEATURE_LEVEL}: \
         use a newer ampora"
    )]
    Features {
        /// Its level.
        found: u16,
        /// Who wrote it.
        version: String,
    },
    /// It ends too early.
    #[error("it ends at byte {offset}, before its end mark: it is not whole")]
    Truncated {
        /// Where.
        offset: u64,
    },
    /// A byte of it is not what was written.
    #[error("it is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the part begins that is not right.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// It could not be read.
    #[error("it cannot be read at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// Rows by the first byte of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts(BTreeMap<u8, (&'static str, u64)>);

impl Counts {
    fn add(&mut self, key: &RowKey, bytes: &[u8]) {
        let kind = bytes.first().copied().unwrap_or_default();
        self.0.entry(kind).or_insert((kind_name(key), 0)).1 += 1;
    }

    fn numbers(&self) -> Vec<(u8, u64)> {
        let numbers = self.0.iter();
        numbers.map(|(kind, (_, count))| (*kind, *count)).collect()
    }

    fn names(&self) -> Vec<(&'static str, u64)> {
        self.0.values().copied().collect()
    }
}

/// What people call rows of a kind.
fn kind_name(key: &RowKey) -> &'static str {
    match key {
        RowKey::Meta => "head",
        RowKey::Node(_) => "nodes",
        RowKey::Agent(_) => "agents",
        RowKey::Configuration(_) => "configurations",
        RowKey::BodyMeta(_) => "bodies",
        RowKey::BodyPart(..) => "body_parts",
        RowKey::Group(_) => "groups",
        RowKey::Dispatch(_) => "dispatches",
        RowKey::Delivery(..) => "deliveries",
        RowKey::Token(_) => "tokens",
        RowKey::Idempotency(_) => "idempotency_keys",
        RowKey::AuditHead => "audit_head",
        RowKey::Audit(_) => "audit_records",
        RowKey::Downtime => "downtime",
        RowKey::Rollout(_) => "rollouts",
        RowKey::RolloutRules => "rollout_rules",
        RowKey::EnrollmentToken(_) => "enrollment_tokens",
        RowKey::Enrollment(_) => "enrollments",
        RowKey::TokenNote(_) => "token_notes",
        RowKey::Liveness(_) => "liveness",
        RowKey::Lease(_) => "leases",
        RowKey::Peer(_) => "peers",
        RowKey::JoinToken(_) => "join_tokens",
        RowKey::ClusterHead => "cluster_head",
        RowKey::MemberNote(_) => "member_notes",
    }
}
