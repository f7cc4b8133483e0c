//! Named leases: who performs a duty that one node performs at a time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Fence, NodeId};

/// A lease that somebody holds, or held until it died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The key.
    pub name: Arc<str>,
    /// Who holds it.
    pub node: NodeId,
    /// In which incarnation; the lease is void when that one is not live.
    pub epoch: Epoch,
    /// Grows with every holder; everything done under the lease carries it.
    pub fence: Fence,
    /// 0 while it is held. After an unclean end the fleet time before which nobody else gets it.
    pub not_before_ms: u64,
    /// Fleet time at which it was granted.
    pub acquired_ms: u64,
    /// How long nobody else gets it after an unclean end of this holder.
    pub lock_delay_ms: u64,
}
