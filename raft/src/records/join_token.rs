//! Tokens with which nodes join.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// One join token; only what its bearer is known by is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The key, not secret, never used twice.
    pub id: Arc<str>,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the key that its secret makes: with it its bearer shakes hands.
    pub hash: [u8; 32],
    /// How many nodes may join, 1 to [`crate::fleet::limits::JOIN_USES_MAX`].
    pub uses: u32,
    /// Deadline time at which it stops working.
    pub expires_ms: u64,
    /// Wall time, for people.
    pub created_ms: u64,
    /// The actor that made it; set by `apply`.
    pub created_by: Arc<str>,
    /// Which keys joined with it, and as whom; set by `apply`.
    pub redeemed: Vec<([u8; 32], NodeId)>,
}
