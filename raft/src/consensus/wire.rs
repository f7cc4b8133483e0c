//! What nodes say to one another about the log. Opaque outside of this room, but it can be sent: whoever
//! implements [`super::PeerNetwork`] encodes it as it stands. Variants are append-only.

use std::sync::Arc;

use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::members::MemberStep;
use super::propose::{Committed, ProposeError};
use super::status::Progress;
use super::type_config::TypeConfig;
use crate::ids::Epoch;
use crate::proposal::{Origin, Proposal};
use crate::rows::{Row, RowKey};

/// What one part of a snapshot is filled to, by the estimate of [`row_bytes`].
pub(super) const PART_BYTES: usize = 2 * 1024 * 1024;

/// What the largest message has, encoded: entries of one read of the log and what is around them.
pub const MESSAGE_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Rows that are not bodies are no larger.
const RECORD_BYTES: usize = 4_096;

/// A request of consensus to another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RaftRequest(pub(super) Request);

/// The answer to a [`RaftRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RaftResponse(pub(super) Response);

impl RaftRequest {
    /// Whether others wait for it: everything but parts of snapshots.
    pub fn is_urgent(&self) -> bool {
        !matches!(self.0, Request::Snapshot(_))
    }

    /// A short name, for logs and counters.
    pub fn name(&self) -> &'static str {
        match &self.0 {
            Request::Append(_) => "append",
            Request::Vote(_) => "vote",
            Request::PreVote(_) => "pre_vote",
            Request::Snapshot(_) => "snapshot",
            Request::TransferLeader(_) => "transfer_leader",
            Request::Propose { .. } => "propose",
            Request::Renew { .. } => "renew",
            Request::ReadIndex => "read_index",
            Request::Member(_) => "member",
            Request::Progress => "progress",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot(SnapshotPart),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// A follower's proposal; the leader stamps it.
    Propose {
        origin: Origin,
        proposal: Box<Proposal>,
    },
    /// The sender's liveness lease is to be renewed.
    Renew {
        epoch: Epoch,
    },
    /// How far a node must have applied so that a read sees everything acknowledged before it.
    ReadIndex,
    Member(MemberStep),
    /// How far all members are.
    Progress,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    /// The part is there; the next may come.
    SnapshotPart,
    /// The last part was there, and the snapshot was judged.
    Snapshot(SnapshotResponse<TypeConfig>),
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    Proposed(Result<Committed, ProposeError>),
    /// Whether the incarnation is live.
    Renewed(Result<bool, ProposeError>),
    ReadIndex(Result<u64, ProposeError>),
    Member(Result<(), ProposeError>),
    /// The receiver cannot answer: it says why.
    Refused(Arc<str>),
    /// Nothing from a node that does not lead.
    Progress(Option<Progress>),
}

/// Some rows of a snapshot. Parts of one snapshot come one after the other; the first begins anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotPart {
    pub(super) vote: VoteOf<TypeConfig>,
    pub(super) meta: SnapshotMetaOf<TypeConfig>,
    /// From 0.
    pub(super) number: u32,
    pub(super) rows: Vec<(RowKey, Row)>,
    pub(super) is_last: bool,
}

/// What a row takes of a part, at most.
pub(super) fn row_bytes(row: &Row) -> usize {
    if let Row::BodyPart(bytes) = row {
        bytes.len() + RECORD_BYTES
    } else {
        RECORD_BYTES
    }
}
