//! Who stands behind a proposal.

use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_raft::proposal::Origin;

/// The system itself, acting through one node.
pub fn of_node(node: NodeId) -> Origin {
    Origin {
        actor: format!("node:{node}").into(),
        request_id: Arc::from(""),
        idempotency: None,
    }
}
