//! Nodes and the head of the fleet itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, NodeId};

/// A member of the cluster as the fleet knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The key.
    pub id: NodeId,
    /// Shown to people.
    pub name: Arc<str>,
    /// The incarnation that is registered.
    pub epoch: Epoch,
    /// Whether that incarnation may own sessions.
    pub live: bool,
    /// The number of the last batch of this epoch that was applied.
    pub batch: u64,
    /// The program's version.
    pub version: Arc<str>,
    /// Where agents reach it.
    pub opamp_address: Arc<str>,
    /// Where operators reach it.
    pub admin_address: Arc<str>,
    /// Wall time of the registration, for people.
    pub registered_ms: u64,
}

/// Counters and identity of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetMeta {
    /// The identity of one unbroken history; 0 before the fleet was founded.
    pub lineage: u128,
    /// Fleet time: the replicated monotonic milliseconds.
    pub time_ms: u64,
    /// The last fence given.
    pub fence: u64,
    /// The last dispatch made.
    pub dispatch: u64,
    /// What every voter can apply.
    pub feature_level: u16,
    /// Wall time of the founding, for people.
    pub founded_ms: u64,
}
