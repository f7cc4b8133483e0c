//! What is asked of history, and how it is answered; spool and Postgres answer alike.

use ampora_raft::ids::{InstanceUid, NodeId};
use serde::{Deserialize, Serialize};

use super::event::{EventKind, StreamId};

/// Items of one page at most.
pub const PAGE_MAX: usize = 1000;

/// The place of an item in the order of a history: newest first, ties broken by stream and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Wall time in milliseconds since 1970.
    pub at_ms: u64,
    /// The stream.
    pub stream: StreamId,
    /// The number in the stream.
    pub seq: u64,
}

/// A page of the history of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Whose.
    pub agent: InstanceUid,
    /// Not before this wall time.
    pub since_ms: Option<u64>,
    /// Before this wall time.
    pub until_ms: Option<u64>,
    /// These kinds; all when empty.
    pub kinds: Vec<EventKind>,
    /// Strictly below this place: where the page before ended.
    pub below: Option<Position>,
    /// Items at most, up to [`PAGE_MAX`].
    pub limit: u16,
}

/// An event as history shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Where it stands.
    pub position: Position,
    /// Who wrote it.
    pub node: NodeId,
    /// What kind.
    pub kind: EventKind,
    /// A JSON object.
    pub body: String,
}
