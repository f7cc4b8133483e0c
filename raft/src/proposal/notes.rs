//! What operators are shown or take along: proposals that change nothing and leave an audit record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{BodyHash, InstanceUid};

/// See [`super::Proposal::NoteRead`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRead {
    /// The agent.
    pub agent: InstanceUid,
    /// What it reported.
    pub body: RawBody,
    /// The hash of the body, where it has one.
    pub hash: Option<BodyHash>,
}

/// A reported body that can be seen unredacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawBody {
    /// The effective configuration.
    EffectiveConfig,
    /// The tree of component healths.
    Health,
    /// The list of available components.
    Components,
}

/// See [`super::Proposal::NoteSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteSnapshot {
    /// The snapshot; at most 128 bytes.
    pub id: Arc<str>,
    /// What is done with it.
    pub step: SnapshotStep,
}

/// What an operator does with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotStep {
    /// Has it taken.
    Take,
    /// Reads it.
    Read,
}
