//! Dispatches: an operator's instruction, expanded into one delivery per agent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, DispatchId, Epoch, Fence, InstanceUid, NodeId};
use crate::selector::Selector;

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The key.
    pub id: DispatchId,
    /// What to do.
    pub action: Action,
    /// To whom.
    pub target: Target,
    /// The capability bits that an agent must have.
    pub requires: u64,
    /// Wall time, for people.
    pub created_ms: u64,
    /// Who.
    pub created_by: Arc<str>,
    /// Deadline time at which queued deliveries expire.
    pub expires_at_ms: u64,
    /// Wall time of that deadline as it looked at creation, for people.
    pub expires_wall_ms: u64,
    /// Where it stands.
    pub state: DispatchState,
    /// Deliveries by state.
    pub counts: Counts,
}

/// What is asked of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// OpAMP's restart command: at most once.
    Restart,
    /// Offer the desired configuration again: at least once.
    PushConfig,
    /// A custom message: at most once.
    CustomMessage {
        /// The capability it belongs to.
        capability: Arc<str>,
        /// The message type within it.
        message_type: Arc<str>,
        /// Opaque bytes.
        data: Vec<u8>,
    },
}

/// Whom a dispatch addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// One agent.
    Agent(InstanceUid),
    /// All that match when the expansion passes them, in uid order.
    Selector(Selector),
}

/// Where a dispatch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DispatchState {
    /// Deliveries are being made; agents up to and including the cursor have theirs.
    Expanding {
        /// The last agent that was looked at.
        cursor: Option<InstanceUid>,
    },
    /// Some deliveries are not finished.
    Active,
    /// All deliveries are finished.
    Done {
        /// Wall time of the end, for people.
        finished_ms: u64,
        /// Fleet time of the end, for retention.
        finished_at_ms: u64,
    },
}

/// Deliveries of one dispatch by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting for their agent.
    pub queued: u32,
    /// Handed to a connection.
    pub sent: u32,
    /// Done.
    pub succeeded: u32,
    /// Not done, with an error.
    pub failed: u32,
    /// Not sent in time.
    pub expired: u32,
    /// Withdrawn before sending.
    pub cancelled: u32,
}

/// One dispatch for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The agent.
    pub agent: InstanceUid,
    /// Where it stands.
    pub state: DeliveryState,
    /// Wall time, for people.
    pub queued_ms: u64,
    /// Wall time of the sending.
    pub sent_ms: Option<u64>,
    /// Fleet time of the sending.
    pub sent_at_ms: Option<u64>,
    /// Wall time of the end.
    pub finished_ms: Option<u64>,
    /// Under which ownership it was sent.
    pub sent_by: Option<(NodeId, Epoch, Fence)>,
    /// The configuration that was pushed, for `PushConfig`.
    pub sent_hash: Option<ConfigHash>,
}

/// State of a delivery. `Queued → Sent → Succeeded | Failed | Expired | Cancelled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waiting for a session of its agent.
    Queued,
    /// Marked before a command was written, or after an offer was.
    Sent,
    /// Done.
    Succeeded,
    /// Not done.
    Failed(DeliveryError),
    /// Not sent in time.
    Expired,
    /// Withdrawn.
    Cancelled,
}

/// Why a delivery failed; each has a stable text in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryError {
    /// The agent does not announce the capability.
    LacksCapability,
    /// The owner died between the mark and the evidence: it may or may not have happened.
    OutcomeUnknown,
    /// No evidence within the time that the action has.
    Unconfirmed,
    /// The agent reported that the pushed configuration failed.
    AgentFailed(Arc<str>),
    /// There is nothing to push: no configuration is assigned to the agent.
    NothingAssigned,
    /// The connection's mailbox held as many messages as it may.
    MailboxFull,
    /// The agent was forgotten.
    AgentForgotten,
}
