//! Who stands behind a proposal.

use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_raft::proposal::{Idempotency, Origin};

/// The system itself, acting through one node.
pub fn of_node(node: NodeId) -> Origin {
    Origin {
        actor: format!("node:{node}").into(),
        request_id: Arc::from(""),
        idempotency: None,
    }
}

/// The same for what must take effect once, however often it is tried: a delayed repetition answers what the first
/// one did. `chance` is fresh for each wish, not for each try.
pub fn of_node_once(node: NodeId, chance: [u8; 16]) -> Origin {
    let key = format!("node:{node}:{}", hex::encode(chance)).into();
    let digest = [0; 32];
    Origin {
        idempotency: Some(Idempotency { key, digest }),
        ..of_node(node)
    }
}
