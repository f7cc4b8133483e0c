//! What the fleet knows of the cluster as a whole.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// Counters of the cluster; as good as absent while all are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterHead {
    /// No node was ever given this id or a higher one; 0 before the first join.
    pub next_node: u64,
    /// Fleet time before which no node is flagged dead: a new leader gives everybody time to find it.
    pub floor_ms: u64,
    /// The last nodes that were removed, ascending, at most [`crate::fleet::limits::REMOVED_MAX`]: their ids never
    /// come again.
    pub removed: Vec<NodeId>,
    /// The highest id that left `removed` for want of room: every unknown id up to it counts as removed.
    pub removed_below: u64,
}
