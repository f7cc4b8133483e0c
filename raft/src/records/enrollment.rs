//! Credentials of agents: the tokens with which they enroll, and which agent came with which.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::InstanceUid;

/// One enrollment token; only the hash of its text is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentToken {
    /// The key, not secret, never used twice.
    pub id: Arc<str>,
    /// Shown to people.
    pub name: Arc<str>,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// How many distinct agents may enroll; `None` = any number.
    pub uses: Option<u32>,
    /// Deadline time at which it stops taking new agents; `None` = never.
    pub expires_at_ms: Option<u64>,
    /// The same as wall time, for people.
    pub expires_wall_ms: Option<u64>,
    /// What becomes server labels of the agents that enroll, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Wall time, for people.
    pub created_ms: u64,
    /// The actor that made it; set by `apply`.
    pub created_by: Arc<str>,
}

/// That an agent enrolled: it comes with this token and no other while that token exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// The key.
    pub agent: InstanceUid,
    /// The token's id.
    pub token: Arc<str>,
    /// The labels that it was given, so that another token can take them back.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Wall time, for people.
    pub enrolled_ms: u64,
}

/// What people ask of an operator's token beside what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenNote {
    /// The token's id.
    pub token: Arc<str>,
    /// The actor that made it; set by `apply`.
    pub created_by: Arc<str>,
    /// Wall time at which it stops working, for people.
    pub expires_wall_ms: Option<u64>,
}
