//! How the nodes of a cluster know each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// A node that others talk to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The key.
    pub id: NodeId,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the node's peer certificate; no two peers have the same.
    pub key: [u8; 32],
    /// Where others reach it, `host:port`.
    pub address: Arc<str>,
    /// The highest feature level that its program can apply.
    pub level: u16,
}
