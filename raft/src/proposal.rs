//! What can be asked of the log, and the stamped entry that it becomes. Variants are append-only.

mod asker;
mod batch;
mod notes;
mod rollout;
mod wrapped;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, DispatchId, Epoch, Fence, InstanceUid, NodeId};
use crate::records::{
    Action, DeliveryError, EnrollmentToken, FileMeta, JoinToken, MemberRole, Pace, Peer,
    RolloutRules, Target, Token,
};
use crate::selector::Selector;

pub use asker::Asker;
pub use batch::{NodeBatch, SessionOp};
pub use notes::{NoteRead, NoteSnapshot, RawBody, SnapshotStep};
pub use rollout::{ForgetFailures, MoveRollout, RolloutMove};

/// A proposal as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Fleet time, stamped by the leader.
    pub time_ms: u64,
    /// The leader's wall clock, for people; nothing decides by it.
    pub wall_ms: u64,
    /// Who asked, and how to recognise a repetition.
    pub origin: Origin,
    /// What was asked.
    pub proposal: Proposal,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the token, or `node:<id>` for the system's own proposals.
    pub actor: Arc<str>,
    /// The request that caused it.
    pub request_id: Arc<str>,
    /// The key that makes a retry safe, when an operator's call carried or was given one.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key with the digest of the request that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// At most 128 bytes.
    pub key: Arc<str>,
    /// SHA-256 over method, path, query, actor and body.
    pub digest: [u8; 32],
}

/// Everything that can be asked of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposal {
    /// Gives the fleet its lineage; refused once it has one.
    Found {
        /// Chosen at random by the founder.
        lineage: u128,
    },
    /// A node starts: a new epoch; every session of its older incarnations is void.
    RegisterNode(RegisterNode),
    /// Claims, releases and reports of one node, in order.
    NodeBatch(NodeBatch),
    /// One part of a configuration body.
    StageBody(StageBody),
    /// A new version of a configuration whose body is whole.
    CreateVersion(CreateVersion),
    /// Creates or changes a group.
    PutGroup(PutGroup),
    /// Removes a group.
    DeleteGroup {
        /// The group.
        name: Arc<str>,
        /// The revision that the operator saw, from `If-Match`.
        revision: Option<u64>,
    },
    /// A new dispatch.
    CreateDispatch(CreateDispatch),
    /// Makes the next deliveries of a dispatch by selector.
    ExpandDispatch {
        /// The dispatch.
        dispatch: DispatchId,
        /// The cursor that the proposer saw; another one in the fleet means somebody was faster.
        cursor: Option<InstanceUid>,
    },
    /// What became of deliveries.
    MarkDeliveries(MarkDeliveries),
    /// Withdraws the queued deliveries of a dispatch.
    CancelDispatch {
        /// The dispatch.
        dispatch: DispatchId,
    },
    /// Expires queued deliveries whose deadline has passed.
    ExpireDeliveries {
        /// At most this many, ≤ 256.
        limit: u16,
    },
    /// Creates a token, or replaces the one with the same id.
    PutToken {
        /// The token.
        token: Token,
    },
    /// An operator asks: what changes leaves an audit record in the same entry.
    Asked {
        /// The client's address; empty when it is not known.
        from: Arc<str>,
        /// What is asked; see [`Proposal::asker`] for what may be.
        #[serde(deserialize_with = "wrapped::plain")]
        proposal: Box<Proposal>,
    },
    /// A leader says how its wall clock stands to fleet time.
    NoteWallTime {
        /// The leader begins: what passed since the last note while nobody led belongs to deadline time.
        begins: bool,
    },
    /// Drops the oldest audit records.
    TrimAudit {
        /// The oldest that the proposer saw; another one in the fleet means somebody was faster.
        first: u64,
        /// How many, at most [`crate::fleet::limits::AUDIT_TRIM_MAX`].
        count: u16,
    },
    /// An operator is about to see something unredacted.
    NoteRead(NoteRead),
    /// Replaces the labels that operators gave to an agent.
    SetLabels(SetLabels),
    /// Takes an agent that is gone out of the fleet, in steps where many deliveries wait for it.
    ForgetAgent {
        /// The agent.
        agent: InstanceUid,
        /// A session that may be ended for it: the proposer knows that the agent is silent for too long.
        fence: Option<Fence>,
    },
    /// Lets go of what has had its time.
    Retention(Retention),
    /// A new version, if nobody made one since the proposer looked.
    CreateVersionAfter {
        /// The newest version that the proposer saw; 0 means that there must be no such configuration.
        newest: u32,
        /// The version.
        version: CreateVersion,
    },
    /// The next step of a change that is under way; asked by the system.
    MoveRollout(MoveRollout),
    /// Agents are to get a version once more on which they failed; asked by the system.
    ForgetFailures(ForgetFailures),
    /// Offers what is quarantined in a group again.
    LiftQuarantine {
        /// The group.
        name: Arc<str>,
        /// The revision that the operator saw, from `If-Match`.
        revision: Option<u64>,
    },
    /// Brings a group back to what was settled before.
    RevertGroup {
        /// The group.
        name: Arc<str>,
        /// The revision that the operator saw, from `If-Match`.
        revision: Option<u64>,
    },
    /// When a change counts as failed; asked by a node that starts with other keys.
    PutRolloutRules {
        /// The rules.
        rules: RolloutRules,
    },
    /// Creates a token with a fresh id.
    CreateToken {
        /// The token.
        token: Token,
        /// Wall time at which it stops working, for people.
        expires_wall_ms: Option<u64>,
    },
    /// Revokes a token.
    DeleteToken {
        /// Its id.
        id: Arc<str>,
    },
    /// Creates an enrollment token with a fresh id.
    CreateEnrollmentToken {
        /// The token; who made it is filled in by `apply`.
        token: EnrollmentToken,
    },
    /// Revokes an enrollment token, and with it every agent that came with it.
    DeleteEnrollmentToken {
        /// Its id.
        id: Arc<str>,
    },
    /// Removes tokens that are over, and what is left of enrollment tokens that are gone.
    SweepTokens {
        /// At most this many of each, ≤ 128.
        limit: u16,
    },
    /// An operator takes everything along.
    NoteSnapshot(NoteSnapshot),
    /// A leadership begins: no node is flagged dead for a while.
    LeaderStart {
        /// For how much fleet time, in milliseconds.
        grace_ms: u64,
    },
    /// Liveness goes on: renewals first, then whoever did not renew is flagged dead.
    Tick {
        /// For how long renewals are granted.
        ttl_ms: u64,
        /// Which incarnations renew, at most [`crate::fleet::limits::RENEWALS_MAX`].
        renewals: Vec<(NodeId, Epoch)>,
    },
    /// A node begins to shut down: its leases are released, its sessions stay until it releases them.
    DrainNode {
        /// The node.
        node: NodeId,
        /// Its incarnation; another one is fenced.
        epoch: Epoch,
    },
    /// A node has shut down in order.
    LeaveNode {
        /// The node.
        node: NodeId,
        /// Its incarnation; another one is fenced.
        epoch: Epoch,
    },
    /// Takes a named lease; whoever holds it is told its fence again.
    AcquireLease {
        /// The lease, at most [`crate::fleet::limits::KEY_BYTES_MAX`] bytes.
        name: Arc<str>,
        /// Who takes it.
        node: NodeId,
        /// In which incarnation; another one is fenced.
        epoch: Epoch,
        /// How much fleet time has to pass after an unclean end before anybody else gets it.
        lock_delay_ms: u64,
    },
    /// Gives a named lease up, if it is still held under this fence.
    ReleaseLease {
        /// The lease.
        name: Arc<str>,
        /// The fence.
        fence: Fence,
    },
    /// What a duty proposes: refused unless its lease is held under this fence.
    UnderLease {
        /// The lease.
        name: Arc<str>,
        /// The fence.
        fence: Fence,
        /// What is proposed: one of [`Asker::System`], never a wrapped one.
        #[serde(deserialize_with = "wrapped::plain")]
        proposal: Box<Proposal>,
    },
    /// How a known node is reached from here on, and by which key it is known.
    PutPeer {
        /// The node.
        peer: Peer,
    },
    /// Creates a join token with a fresh id.
    CreateJoinToken {
        /// The token.
        token: JoinToken,
    },
    /// A node comes with a join token. The same key again is the same join.
    RedeemJoinToken {
        /// What the bearer of its token is known by.
        hash: [u8; 32],
        /// The node; its id is the one that it wants, or 0 for the next one.
        peer: Peer,
        /// What it calls itself, for the audit record.
        name: Arc<str>,
    },
    /// Forgets a node that is no member any more; what it owned is void, and its id never comes again.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
    /// Lets the fleet use what every node can apply.
    SetFeatureLevel {
        /// Never below the level that it is at.
        level: u16,
    },
    /// What a member is to be from here on; the leader's duty carries it out.
    SetMemberRole {
        /// The member.
        node: NodeId,
        /// What the proposer saw it to be, for the record.
        before: MemberRole,
        /// What it is to be.
        role: MemberRole,
    },
    /// Another node is to lead; whoever asked carries it out.
    TransferLeader {
        /// Who led, for the record.
        before: Option<NodeId>,
        /// Who is to lead; `None` means whoever is furthest.
        to: Option<NodeId>,
        /// The term that the proposer saw: a later one means that somebody else leads already.
        term: u64,
    },
}

/// See [`Proposal::RegisterNode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterNode {
    /// The node.
    pub node: NodeId,
    /// Shown to people.
    pub name: Arc<str>,
    /// The program's version.
    pub version: Arc<str>,
    /// Where agents reach it.
    pub opamp_address: Arc<str>,
    /// Where operators reach it.
    pub admin_address: Arc<str>,
}

/// See [`Proposal::StageBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageBody {
    /// The hash of the version that it belongs to.
    pub hash: ConfigHash,
    /// From 0.
    pub part: u16,
    /// How many there are, 1 to 64.
    pub parts: u16,
    /// At most 256 KiB.
    pub bytes: bytes::Bytes,
}

/// See [`Proposal::CreateVersion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVersion {
    /// The configuration; made when it is new.
    pub configuration: Arc<str>,
    /// The hash of all files.
    pub hash: ConfigHash,
    /// The files, sorted by name.
    pub files: Vec<FileMeta>,
    /// At most 512 bytes.
    pub comment: Arc<str>,
}

/// See [`Proposal::PutGroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutGroup {
    /// The group.
    pub name: Arc<str>,
    /// The revision that the operator saw; `Some(0)` means that it must not exist.
    pub revision: Option<u64>,
    /// Who belongs; `None` keeps the selector of an existing group.
    pub selector: Option<Selector>,
    /// `None` keeps it, 0 for a new group.
    pub priority: Option<i32>,
    /// What to assign.
    pub assign: Assign,
    /// `None` keeps it.
    pub pace: Option<Pace>,
}

/// What a `PutGroup` does with the assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assign {
    /// Leaves it.
    Keep,
    /// Assigns nothing.
    Nothing,
    /// Assigns a version; `None` means the newest at this moment.
    Version {
        /// The configuration.
        configuration: Arc<str>,
        /// The number.
        version: Option<u32>,
    },
}

/// See [`Proposal::CreateDispatch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDispatch {
    /// What to do.
    pub action: Action,
    /// To whom.
    pub target: Target,
    /// Capability bits that an agent must have.
    pub requires: u64,
    /// 1 to 604800 s; a value outside is moved to the nearer end.
    pub expires_in_ms: u64,
}

/// See [`Proposal::SetLabels`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLabels {
    /// The agent.
    pub agent: InstanceUid,
    /// All its labels from here on; of two with one key the last counts. Limits are
    /// [`crate::fleet::limits::SERVER_LABELS_MAX`] and those beside it.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// See [`Proposal::Retention`]. The proposer says where to look, `apply` judges by fleet time; what an entry
/// has no rows for stays, and the answer says that there is more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retention {
    /// Forgets those of these agents that are gone for so long. One whose owner died without a word is noted
    /// as gone from this entry on.
    ForgetAgents {
        /// At most [`crate::fleet::limits::AGENTS_STEP`].
        agents: Vec<InstanceUid>,
        /// Fleet time after which an agent is forgotten.
        after_ms: u64,
        /// The same for agents that have no configuration and no label.
        bare_after_ms: u64,
    },
    /// Removes versions beyond [`crate::fleet::limits::VERSIONS_KEPT`] that nothing refers to, with their bodies.
    TrimVersions {
        /// The configuration.
        configuration: Arc<str>,
    },
    /// Removes those of these dispatches that are finished for
    /// [`crate::fleet::limits::DISPATCH_KEPT_MS`], with their deliveries.
    RetireDispatches {
        /// At most [`crate::fleet::limits::DISPATCHES_STEP`].
        dispatches: Vec<DispatchId>,
    },
    /// Removes idempotency keys older than [`crate::fleet::limits::KEY_KEPT_MS`].
    ExpireKeys,
    /// Removes bodies that no version came to use.
    DropStaged {
        /// Those whose first part stands at this index of the log or before.
        until_index: u64,
    },
}

/// See [`Proposal::MarkDeliveries`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkDeliveries {
    /// Whose marks.
    pub node: NodeId,
    /// Its incarnation; another one is fenced.
    pub epoch: Epoch,
    /// At most 256.
    pub marks: Vec<Mark>,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The agent.
    pub agent: InstanceUid,
    /// The new state.
    pub to: MarkTo,
}

/// The states that a node can give to a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkTo {
    /// From queued; refused unless `fence` is the current session of the agent.
    Sent {
        /// The session under which it is sent.
        fence: Fence,
        /// The configuration, for a push.
        hash: Option<ConfigHash>,
    },
    /// From sent.
    Succeeded,
    /// From queued or sent.
    Failed(DeliveryError),
}
