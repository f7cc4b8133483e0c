//! Where accepted deliveries have to go: the counters by which broken load balancing shows.

use ampora_raft::ids::NodeId;
use metrics::counter;

use super::names;

/// Counts a delivery that `own` accepted for an agent whose session `owner` has.
pub fn accepted(owner: Option<NodeId>, own: NodeId) {
    let name = match owner {
        Some(owner) if owner == own => names::DISPATCH_LOCAL,
        Some(_) => names::DISPATCH_FORWARDED,
        None => names::DISPATCH_NO_SESSION,
    };
    counter!(name).increment(1);
}

/// Makes all counters visible at 0.
pub(super) fn register() {
    for name in [
        names::DISPATCH_LOCAL,
        names::DISPATCH_FORWARDED,
        names::DISPATCH_NO_SESSION,
    ] {
        counter!(name).absolute(0);
    }
}
