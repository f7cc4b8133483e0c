//! The fleet: everything that is replicated, and the one function that changes it. It knows no clock,
//! no randomness, no store and no protocol; what it must remember beyond memory it names as rows.
//!
//! One file per proposal. Each checks everything first and changes after, so that a refusal changes
//! nothing; records go in through `tables`, which keeps the derived indices and names the changed rows.
//!
//! What operators ask comes inside `Proposal::Asked`, and a change of theirs leaves a record of [`audit`]: a new
//! proposal is classified by `Proposal::asker`, and an operator's calls, once, after its checks,
//! `cx.audit(action, &target, before, after)` with the values as [`audit::Json`] (`Json::of(option)`,
//! `Json::object([..])`, or a `From` in `audit/shapes.rs`). Without a change it does not call it.

mod apply;
mod arrange;
pub mod audit;
mod blame;
mod cancel_dispatch;
mod cluster;
mod context;
mod create_dispatch;
mod create_token;
mod create_version;
mod delete_group;
mod delete_token;
mod desired;
mod digest;
mod enrollment;
mod expand_dispatch;
mod expire_deliveries;
mod forget_agent;
mod forget_failures;
mod found;
mod join_cluster;
mod leader_start;
mod leave_node;
mod lift_quarantine;
pub mod limits;
mod load;
mod mark_deliveries;
mod member_notes;
mod move_rollout;
mod named_lease;
mod node_batch;
mod note_read;
mod note_snapshot;
mod note_wall_time;
mod peers;
mod postings;
mod put_group;
mod put_rollout_rules;
mod put_token;
mod read;
mod register_node;
mod restore;
mod retention;
mod retire;
mod revert_group;
mod search;
mod set_labels;
mod set_member_role;
pub mod sizes;
mod stage_body;
mod tables;
mod tick;
mod transfer_leader;
mod trim_audit;

use std::cmp::Reverse;
use std::sync::Arc;

use immutable_chunkmap::map::Map;
use immutable_chunkmap::set::Set;

pub use desired::{Desired, placement};
pub use enrollment::{EnrollmentLimits, Standing};
pub use found::{FEATURE_LEVEL, MEMBERS_LEVEL};
pub use load::LoadError;
pub use restore::{JUMP, Restore};
pub use retention::{is_bare, may_leave};
pub use search::{Search, Stride};

use crate::effect::Effect;
use crate::ids::{ConfigHash, DispatchId, InstanceUid, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::records::{
    AgentRecord, AuditHead, BodyMeta, ClusterHead, Configuration, Delivery, Dispatch, Downtime,
    Enrollment, EnrollmentToken, FleetMeta, Group, JoinToken, Lease, Liveness, MemberNote, Node,
    Peer, Rollout, RolloutRules, Token, TokenNote,
};
use crate::rows::{IdempotencyRow, Row, RowKey};

/// Elements of a leaf of the persistent maps. A published view shares every leaf, so that the first
/// change after it copies one; the crate's own 512 copies 12 KiB for each changed agent.
const CHUNK: usize = 64;

type Table<K, V> = Map<K, Arc<V>, CHUNK>;
type Index<K> = Set<K, CHUNK>;

/// The replicated state. Cloning is O(1): collections are persistent and records shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    meta: Arc<FleetMeta>,
    nodes: Table<NodeId, Node>,
    agents: Table<InstanceUid, AgentRecord>,
    configurations: Table<Arc<str>, Configuration>,
    bodies: Table<ConfigHash, BodyMeta>,
    groups: Table<Arc<str>, Group>,
    dispatches: Table<DispatchId, Dispatch>,
    deliveries: Table<(DispatchId, InstanceUid), Delivery>,
    tokens: Table<Arc<str>, Token>,
    idempotency: Table<Arc<str>, IdempotencyRow>,
    audit: Arc<AuditHead>,
    downtime: Arc<Downtime>,
    rollouts: Table<Arc<str>, Rollout>,
    rollout_rules: Option<RolloutRules>,
    enrollment_tokens: Table<Arc<str>, EnrollmentToken>,
    enrollments: Table<InstanceUid, Enrollment>,
    token_notes: Table<Arc<str>, TokenNote>,
    liveness: Table<NodeId, Liveness>,
    leases: Table<Arc<str>, Lease>,
    peers: Table<NodeId, Peer>,
    join_tokens: Table<Arc<str>, JoinToken>,
    head: Arc<ClusterHead>,
    member_notes: Table<NodeId, MemberNote>,
    derived: Derived,
}

/// Indices over the tables: never rows, rebuilt by `load`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Derived {
    /// Groups as agents meet them: highest priority, then smallest name.
    group_order: Index<(Reverse<i32>, Arc<str>)>,
    /// Queued deliveries by agent, oldest dispatch first.
    queued: Index<(InstanceUid, DispatchId)>,
    /// Queued deliveries by dispatch.
    queued_by_dispatch: Index<(DispatchId, InstanceUid)>,
    /// Sent deliveries.
    sent: Index<(DispatchId, InstanceUid)>,
    /// Dispatches with queued deliveries by deadline.
    expiry: Index<(u64, DispatchId)>,
    /// Dispatches that are being expanded.
    expanding: Index<DispatchId>,
    /// Finished dispatches: those that may leave, oldest first.
    finished: Index<DispatchId>,
    /// Tokens by the hash of their text.
    token_hashes: Index<([u8; 32], Arc<str>)>,
    /// Idempotency keys in the order in which they leave.
    idempotency_order: Index<(u64, Arc<str>)>,
    /// What agents are found under: see `search`.
    postings: postings::Postings,
    /// Bodies without a version in the order in which they leave.
    staged: Index<(u64, ConfigHash)>,
    /// What is on trial, and where: the only versions whose failures are looked at.
    trials: Index<(ConfigHash, Arc<str>)>,
    /// Tokens of operators in the order in which they leave.
    token_expiry: Index<(u64, Arc<str>)>,
    /// Enrollment tokens by the hash of their text.
    enrollment_hashes: Index<([u8; 32], Arc<str>)>,
    /// Agents by the enrollment token that they came with.
    enrolled: Index<(Arc<str>, InstanceUid)>,
    /// How many of them each token has; none without any.
    enrolled_len: Table<Arc<str>, u32>,
    /// Enrollment tokens that are gone while agents still hold places of them.
    orphans: Index<Arc<str>>,
}

/// What followed from an entry.
#[derive(Debug)]
pub struct Applied {
    /// The answer to the proposer.
    pub outcome: Outcome,
    /// What wakes tasks.
    pub effects: Vec<Effect>,
    /// Rows whose value in memory changed or went, each once, sorted; at most 512 with `puts`.
    pub dirty: Vec<RowKey>,
    /// Rows that are not in memory: to be written, or removed.
    pub puts: Vec<(RowKey, Option<Row>)>,
}

/// The refusal of a collection that is full.
fn limit_reached(what: &str, max: usize) -> Rejection {
    Rejection::LimitReached {
        what: what.into(),
        max: u32::try_from(max).unwrap_or(u32::MAX),
    }
}

/// The first key of an index.
fn first<K: Ord + Clone>(index: &Index<K>) -> Option<K> {
    index.into_iter().next().cloned()
}

#[cfg(test)]
mod tests;
