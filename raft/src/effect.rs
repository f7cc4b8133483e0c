//! What `apply` asks of the world. Effects wake level-triggered tasks; none carries a decision, so that a
//! lost or repeated effect is harmless.

use std::sync::Arc;

use crate::ids::{ConfigHash, DispatchId, Fence, InstanceUid, NodeId};

/// One thing that followed from an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The session of an agent has another owner or none; the former owner detaches it.
    SessionMoved {
        /// The agent.
        uid: InstanceUid,
        /// Who had it.
        from: NodeId,
        /// Under which fence.
        fence: Fence,
    },
    /// A record changed; `placement` when labels, name, type or version did, so that its group may differ.
    AgentChanged {
        /// The agent.
        uid: InstanceUid,
        /// Whether group membership may have changed.
        placement: bool,
    },
    /// A group was made, changed or removed: desired configurations may differ.
    GroupChanged {
        /// The group.
        name: Arc<str>,
    },
    /// A configuration has a new version.
    ConfigurationChanged {
        /// The configuration.
        name: Arc<str>,
    },
    /// A dispatch was made or changed.
    DispatchChanged {
        /// The dispatch.
        dispatch: DispatchId,
    },
    /// A delivery was queued or changed.
    DeliveryChanged {
        /// The dispatch.
        dispatch: DispatchId,
        /// The agent.
        agent: InstanceUid,
    },
    /// A node registered or its liveness changed.
    NodeChanged {
        /// The node.
        node: NodeId,
    },
    /// A token changed.
    TokensChanged,
    /// An agent is to get a version once more on which it failed.
    FailureForgotten {
        /// The agent.
        uid: InstanceUid,
        /// The version.
        hash: ConfigHash,
    },
    /// A named lease was granted, released or lost.
    LeaseChanged {
        /// The lease.
        name: Arc<str>,
    },
    /// Whom nodes trust, or where they reach each other, changed.
    PeersChanged,
}
