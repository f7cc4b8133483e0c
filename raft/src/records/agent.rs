//! What the fleet remembers of an agent: identity, labels, the deciding fields of its last report, and
//! who owns its session. At most [`AgentRecord::BYTES_MAX`] encoded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{BodyHash, ConfigHash, Epoch, Fence, InstanceUid, NodeId};

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The key.
    pub uid: InstanceUid,
    /// What the agent says it is; empty until its first description.
    pub description: Arc<Description>,
    /// Labels given by operators, sorted by key; a server label hides a reported one of the same key.
    pub server_labels: Vec<(Arc<str>, Arc<str>)>,
    /// The last capability bits other than 0 that the agent sent.
    pub capabilities: u64,
    /// The deciding part of its health; `None` until it reported any.
    pub health: Option<Health>,
    /// What it says about its remote configuration.
    pub config: ConfigState,
    /// SHA-256 of its effective configuration as reported.
    pub effective: Option<BodyHash>,
    /// The agent's own hash of its components, opaque, at most 64 bytes.
    pub components_hash: Option<Vec<u8>>,
    /// The file of its component list, when it was sent.
    pub components: Option<BodyHash>,
    /// Sum of its package statuses.
    pub packages: Option<PackageAggregate>,
    /// The node whose files hold the bodies named here.
    pub home: NodeId,
    /// Who owns the conversation; `None` while nobody does.
    pub session: Option<Session>,
    /// How the last session ended, while there is none.
    pub released: Option<Released>,
    /// Wall time of the first contact, for people.
    pub first_seen_ms: u64,
    /// Wall time of the last change of this record other than its session, for people.
    pub last_change_ms: u64,
    /// Custom messages that it understands, by the names of their capabilities; none until it said so.
    pub custom_capabilities: Vec<Arc<str>>,
}

impl AgentRecord {
    /// An encoded record is never larger.
    pub const BYTES_MAX: usize = 4096;
}

/// The reported description in the form that selectors and people use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// host.name, else service.instance.id, else the uid.
    pub name: Arc<str>,
    /// service.name.
    pub agent_type: Arc<str>,
    /// service.version.
    pub agent_version: Arc<str>,
    /// Both attribute lists merged, identifying wins, sorted by key.
    pub labels: Vec<Label>,
    /// Some attributes were left out because the record would have been too large.
    pub truncated: bool,
}

/// One reported attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The attribute's key.
    pub key: Arc<str>,
    /// A scalar as text, an array or map as JSON.
    pub value: Arc<str>,
    /// Whether selectors see it; arrays and maps are shown only.
    pub scalar: bool,
}

/// The deciding part of a health report; the tree itself is a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The healthy bit.
    pub healthy: bool,
    /// The agent's own word, at most 512 bytes.
    pub status: Arc<str>,
    /// The error text, at most 512 bytes.
    pub last_error: Arc<str>,
    /// Wall time since when the healthy bit has this value, as the server saw it.
    pub since_ms: u64,
    /// The whole tree.
    pub body: Option<BodyHash>,
}

/// Status words of OpAMP's remote configuration status, as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigStatus {
    /// Nothing reported, or a number that this version does not know.
    #[default]
    Unset,
    /// In use.
    Applied,
    /// Being put in use.
    Applying,
    /// Refused or broken.
    Failed,
}

/// What an agent says about its remote configuration, and what it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    /// The agent's last word, whichever hash it concerns; at most 64 bytes, opaque.
    pub reported_hash: Option<Vec<u8>>,
    /// The status that came with it.
    pub status: ConfigStatus,
    /// The hash that failed on this agent last; it is not offered again while it is the desired one.
    pub failed_hash: Option<ConfigHash>,
    /// The error text of that failure, at most 512 bytes; survives a rollback report.
    pub error: Arc<str>,
    /// The last offer that was written to the agent; stands for `reported_hash` where the agent cannot report.
    pub sent_hash: Option<ConfigHash>,
}

/// One report about remote configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The hash it concerns; empty when the agent has none.
    pub hash: Vec<u8>,
    /// The status.
    pub status: ConfigStatus,
    /// The error text, at most 512 bytes.
    pub error: Arc<str>,
}

/// Sum of the package statuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageAggregate {
    /// The hash of the offered set that the agent echoes.
    pub offered_hash: Vec<u8>,
    /// Packages reported as installed.
    pub installed: u32,
    /// Packages on the way.
    pub pending: u32,
    /// Packages that failed.
    pub failed: u32,
}

/// How an agent reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// A socket that stays open.
    WebSocket,
    /// Polls.
    Http,
}

/// A session row: valid while `node` is live in `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The owner.
    pub node: NodeId,
    /// The owner's incarnation.
    pub epoch: Epoch,
    /// The proof under which everything for this agent is done.
    pub fence: Fence,
    /// The transport of the claim.
    pub transport: Transport,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// The agent said goodbye.
    Goodbye,
    /// The transport is gone, or polls stopped.
    Lost,
    /// The node is stopping; the agent comes back elsewhere.
    Drained,
    /// The owner's incarnation ended without a word.
    OwnerDied,
}

/// How and when the last session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Why.
    pub reason: ReleaseReason,
    /// Fleet time of the release.
    pub at_ms: u64,
    /// Wall time of the release, for people.
    pub wall_ms: u64,
    /// The last sequence number heard, when the end was clean.
    pub last_sequence: Option<u64>,
}

/// A change of deciding fields; `None` leaves a field as it is, a value replaces it wholly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentUpdate {
    /// A new description.
    pub description: Option<Arc<Description>>,
    /// New capability bits, never 0.
    pub capabilities: Option<u64>,
    /// A new health; `since_ms` is kept by `apply` while the healthy bit does not change.
    pub health: Option<Health>,
    /// A new word about remote configuration.
    pub config: Option<ConfigReport>,
    /// An offer was written.
    pub sent_hash: Option<ConfigHash>,
    /// A new effective configuration.
    pub effective: Option<BodyHash>,
    /// A new hash of components; forgets the list of another hash.
    pub components_hash: Option<Vec<u8>>,
    /// The list for that hash.
    pub components: Option<BodyHash>,
    /// New package statuses.
    pub packages: Option<PackageAggregate>,
    /// A new list of custom capabilities.
    pub custom_capabilities: Option<Vec<Arc<str>>>,
}
