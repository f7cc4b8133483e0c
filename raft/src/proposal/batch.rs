//! What a node says of its sessions, many operations in one entry.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Fence, InstanceUid, NodeId};
use crate::records::{AgentUpdate, ReleaseReason, Transport};

/// See [`crate::proposal::Proposal::NodeBatch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBatch {
    /// Whose batch.
    pub node: NodeId,
    /// Its incarnation; another one is fenced.
    pub epoch: Epoch,
    /// From 1 in each epoch, without gaps.
    pub number: u64,
    /// New agents beyond this many are refused (`agents.max`).
    pub agents_max: u32,
    /// At most [`crate::fleet::limits::OPS_MAX`], of at most
    /// [`crate::fleet::limits::ENTRY_BYTES_MAX`] bytes in all.
    pub ops: Vec<SessionOp>,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionOp {
    /// Takes the session of an agent, making its record when it is new.
    Claim {
        /// The agent.
        uid: InstanceUid,
        /// The fence that the claimer saw, if any.
        expect: Option<Fence>,
        /// How the agent came.
        transport: Transport,
    },
    /// Gives it up.
    Release {
        /// The agent.
        uid: InstanceUid,
        /// Only under this fence.
        fence: Fence,
        /// Why.
        reason: ReleaseReason,
        /// The last sequence number heard.
        last_sequence: Option<u64>,
    },
    /// Deciding fields changed; valid while this node in this epoch owns the session.
    Report {
        /// The agent.
        uid: InstanceUid,
        /// What changed.
        update: Box<AgentUpdate>,
    },
    /// Gives an agent another uid (C-068): the record, its labels and its queued deliveries move; what
    /// was sent already stays under the old uid. Answers `Done` or `NotOwner`.
    Rename {
        /// The uid that this node owns.
        from: InstanceUid,
        /// The uid that it has from here on; unknown until then.
        to: InstanceUid,
    },
    /// Gives an agent a place of an enrollment token, making its record when it is new.
    Enroll {
        /// The agent.
        uid: InstanceUid,
        /// The id of the token that it came with.
        token: Arc<str>,
        /// Agents of one token beyond this many are refused (`agents.max_per_token`).
        per_token_max: Option<u32>,
    },
}
