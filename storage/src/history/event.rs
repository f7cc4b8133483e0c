//! One thing that happened to an agent, as history keeps it.

use std::sync::Arc;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid};
use serde::{Deserialize, Serialize};

/// Bytes of the JSON of an event at most; what is larger goes without its largest part, and says so.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the JSON of a document at most.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// A sequence of events whose numbers have no gaps: one start of one node. Random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u128);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// What kind of thing happened. Append-only: numbers stand in spools, words in tables and in REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A node took the session.
    Connected,
    /// The session ended, and why.
    Disconnected,
    /// Another health than before.
    Health,
    /// Another description, or other capabilities.
    Description,
    /// Another word about the remote configuration.
    ConfigStatus,
    /// Another effective configuration.
    EffectiveConfig,
    /// Other package statuses.
    Packages,
}

impl EventKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Connected,
        Self::Disconnected,
        Self::Health,
        Self::Description,
        Self::ConfigStatus,
        Self::EffectiveConfig,
        Self::Packages,
    ];

    /// The word in tables and in REST.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Health => "health",
            Self::Description => "description",
            Self::ConfigStatus => "config_status",
            Self::EffectiveConfig => "effective_config",
            Self::Packages => "packages",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// What happened. Nothing secret is in it: bodies are redacted before they get here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Wall time in milliseconds since 1970, as its node saw it.
    pub at_ms: u64,
    /// The agent.
    pub agent: InstanceUid,
    /// Under which ownership: orders the events of one agent across nodes, whatever their wall clocks say.
    pub fence: Fence,
    /// What kind.
    pub kind: EventKind,
    /// A JSON object, at most [`EVENT_BYTES_MAX`].
    pub body: Arc<str>,
    /// The hash of the document that belongs to it: `body` names it, it is stored once.
    pub document: Option<BodyHash>,
}

/// A body that many events may name, redacted. Its hash is that of the bytes as the agent sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The name.
    pub hash: BodyHash,
    /// JSON, at most [`DOCUMENT_BYTES_MAX`].
    pub body: Arc<str>,
}

/// An event with its place in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// From 1. Gaps are events that were dropped by rule, and counted.
    pub seq: u64,
    /// The event.
    pub event: Event,
}
