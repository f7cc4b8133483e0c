//! How long the fleet holds a node for live.

use serde::{Deserialize, Serialize};

/// The liveness lease of one node, in fleet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveness {
    /// For how long the last renewal was granted; 0 before the first `Tick` that saw the node.
    pub ttl_ms: u64,
    /// When the node is flagged dead unless it renews.
    pub expires_ms: u64,
    /// It is shutting down: it keeps what it owns until it releases it, and takes no lease.
    pub draining: bool,
    /// When it was flagged dead; `None` while it is live.
    pub lost_ms: Option<u64>,
}

impl Liveness {
    /// Of a node that no `Tick` saw yet.
    pub const UNSEEN: Self = Self {
        ttl_ms: 0,
        expires_ms: 0,
        draining: false,
        lost_ms: None,
    };
}
