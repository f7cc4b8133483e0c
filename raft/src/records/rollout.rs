//! How a change of a group goes: what is on trial, how far it may reach, and what failed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VersionRef;
use crate::ids::{ConfigHash, InstanceUid};

/// The change of one group, beside the group itself; there is none before its first assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The group.
    pub group: Arc<str>,
    /// The log index of the last change of this row or of its group: what a move has to have seen.
    pub revision: u64,
    /// What was settled before the version that is settled now: where a revert leads.
    pub previous: Option<VersionRef>,
    /// The version whose failures count; `None` when nothing is under way, or all of it is quarantined.
    pub trial: Option<Trial>,
    /// What is not offered to this group, oldest first; at most
    /// [`crate::fleet::limits::QUARANTINED_MAX`].
    pub quarantined: Vec<Quarantined>,
}

/// A version on its way to a group, or just arrived there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its hash.
    pub hash: ConfigHash,
    /// Agents below it belong to earlier windows: nobody waits for them any more.
    pub base: u64,
    /// How many agents stood below the threshold when the window was opened; 0 before the first window.
    pub size: u32,
    /// Fleet time at which the window was opened.
    pub opened_at_ms: u64,
    /// The same as wall time, for people.
    pub opened_ms: u64,
    /// Fleet time at which it settled; failures count for a while longer.
    pub settled_at_ms: Option<u64>,
    /// Agents that reported it FAILED or turned unhealthy with it; at most
    /// [`crate::fleet::limits::FAILURES_MAX`].
    pub failed: Vec<InstanceUid>,
}

impl Trial {
    /// The beginning: no window is open yet.
    pub fn new(hash: ConfigHash) -> Self {
        Self {
            hash,
            base: 0,
            size: 0,
            opened_at_ms: 0,
            opened_ms: 0,
            settled_at_ms: None,
            failed: Vec::new(),
        }
    }
}

/// A version that a group does not get until an operator says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The version.
    pub version: VersionRef,
    /// How many agents failed with it, and what the last one said; at most 512 bytes.
    pub reason: Arc<str>,
    /// How many agents had failed.
    pub failures: u32,
    /// Wall time, for people.
    pub since_ms: u64,
}

/// When a change counts as failed, and how long one waits for an agent; one for the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRules {
    /// That many failing agents of one group quarantine a version there (`rollout.quarantine_failures`).
    pub quarantine_failures: u32,
    /// How long an agent may take to confirm, and how long failures count after a version has settled
    /// (`rollout.confirm_timeout_seconds`).
    pub confirm_timeout_ms: u64,
}

impl Default for RolloutRules {
    fn default() -> Self {
        Self {
            quarantine_failures: 3,
            confirm_timeout_ms: 60_000,
        }
    }
}
