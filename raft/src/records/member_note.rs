//! What the fleet remembers of a node beside its being a member.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a member is to be, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRole {
    /// It decides with the others.
    Voter,
    /// It follows the log without a vote.
    Learner,
}

impl MemberRole {
    /// The word of REST and of audit.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

/// What stands against a node; most nodes have none. Variants are append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberNote {
    /// An operator wants it to listen: it votes again when an operator says so.
    Held,
    /// It was removed, and may have been off: whoever comes with its key can be told. At most
    /// [`crate::fleet::limits::REMOVED_MAX`].
    Removed {
        /// By which it was known: see [`super::Peer::key`].
        key: [u8; 32],
        /// What it called itself; empty when it never registered.
        name: Arc<str>,
        /// Wall time, for people.
        removed_ms: u64,
    },
}
