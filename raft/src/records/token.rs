//! Tokens of operators: only hashes are kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a token allows; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes the fleet.
    Operator,
    /// Changes the cluster and who may do what.
    Admin,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The key, not secret.
    pub id: Arc<str>,
    /// Shown to people and recorded as the actor.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Wall time, for people.
    pub created_ms: u64,
    /// Deadline time at which it stops working; `None` = never.
    pub expires_at_ms: Option<u64>,
}
