//! The steps of a change of configuration.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, InstanceUid};

/// See [`super::Proposal::MoveRollout`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRollout {
    /// The group.
    pub group: Arc<str>,
    /// The revision of its rollout that the proposer saw; another one in the fleet means that it judged
    /// something that is no more.
    pub seen: u64,
    /// What to do.
    pub to: RolloutMove,
}

/// A step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutMove {
    /// Agents below the threshold get the next version.
    Window {
        /// Never below the one in force.
        threshold: u64,
        /// How many agents of the group are below it, for people.
        size: u32,
    },
    /// The next version is the settled one.
    Settle,
}

/// See [`super::Proposal::ForgetFailures`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetFailures {
    /// The version.
    pub hash: ConfigHash,
    /// At most [`crate::fleet::limits::FORGET_MAX`].
    pub agents: Vec<InstanceUid>,
}
