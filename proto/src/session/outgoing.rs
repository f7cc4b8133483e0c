//! What comes out of a session. It does not know when or why.

use bytes::Bytes;

use super::{Report, Token};
use crate::capabilities::server;
use crate::wire;

/// `ServerToAgent.flags`: send everything again.
pub(super) const REPORT_FULL_STATE: u64 = 0x1;
/// `ServerToAgent.flags`: send the component list.
pub(super) const REPORT_AVAILABLE_COMPONENTS: u64 = 0x2;

/// One message to the agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The message, never with `remote_config`.
    pub message: wire::ServerToAgent,
    /// The hash whose encoded offer belongs into this message.
    pub offer: Option<[u8; 32]>,
    /// Whose instructions leave with this message.
    pub marks: Vec<Token>,
}

/// What follows from one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Handled {
    /// The one reply.
    pub reply: Outgoing,
    /// What the agent said about itself; `None` for a heartbeat or a repetition.
    pub report: Option<Box<Report>>,
    /// The agent leaves (C-263).
    pub goodbye: bool,
    /// What was learned on the way, in order.
    pub events: Vec<Event>,
}

/// Something that a session learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sequence number was not the one after the last (C-094).
    GapSeen,
    /// The reply asks for the full state.
    FullStateRequested,
    /// The reply asks for the component list.
    ComponentsRequested,
    /// The agent turned unhealthy and healthy, reconnected, or began anew after the restart was written (C-243).
    RestartConfirmed(Token),
    /// Nothing of that kind was seen in time, or the connection ended before the command was written whole.
    RestartUnconfirmed(Token),
    /// What was pushed is in use.
    PushSucceeded(Token),
    /// The agent refused it, with its words, at most 512 bytes; or it is too large to send.
    PushFailed(Token, String),
    /// Nothing was heard of it in time.
    PushUnconfirmed(Token),
    /// What was to be pushed is not assigned to the agent any more; it never left.
    PushUnassigned(Token),
    /// A custom message was written whole.
    MessageWritten(Token),
    /// The connection ended before a custom message was known to be written whole.
    MessageLost(Token),
    /// The agent gave up the capability while the instruction waited; it never left.
    Unsupported(Token),
}

/// The smallest whole answer (C-083): the uid as the agent wrote it, and our capabilities (C-074).
pub(super) fn ack(uid: Bytes) -> wire::ServerToAgent {
    wire::ServerToAgent {
        instance_uid: uid,
        capabilities: server::ANNOUNCED,
        ..Default::default()
    }
}

/// A message that asks for everything again, and nothing else.
pub(super) fn full_state_request(uid: Bytes) -> Outgoing {
    let mut message = ack(uid);
    message.flags |= REPORT_FULL_STATE;
    Outgoing {
        message,
        offer: None,
        marks: Vec::new(),
    }
}
