//! What `apply` answers. Committed is committed: a refusal is a value, never an error. Variants are
//! append-only, because outcomes are kept with idempotency keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, DispatchId, Epoch, Fence, InstanceUid, NodeId};
use crate::records::{Dispatch, EnrollmentToken, Group, Session, Token, Version};

/// The answer to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; there is nothing to say. Also the answer to blank and membership entries.
    Done,
    /// The node's new incarnation.
    Registered {
        /// The epoch.
        epoch: Epoch,
    },
    /// One answer for each operation of a batch.
    Batch(Vec<OpOutcome>),
    /// A version exists under this number.
    Version {
        /// The version.
        version: Arc<Version>,
        /// False when the same bytes had been given before.
        created: bool,
    },
    /// A group as it is after the change.
    Group {
        /// The group.
        group: Arc<Group>,
        /// Whether it is new.
        created: bool,
    },
    /// A dispatch as it is after the change.
    Dispatch(Arc<Dispatch>),
    /// How many deliveries were touched.
    Deliveries {
        /// Indices of marks that took effect, in order.
        taken: Vec<u16>,
        /// Whether the limit was reached and more remain.
        more: bool,
    },
    /// Refused; nothing changed.
    Rejected(Rejection),
    /// How many things left the fleet.
    Removed {
        /// Their number.
        count: u32,
        /// Whether more of what was asked for remains, because the entry had no more rows.
        more: bool,
    },
    /// The token that was made.
    Token(Arc<Token>),
    /// The enrollment token that was made.
    EnrollmentToken(Arc<EnrollmentToken>),
    /// What became of the renewals of a tick.
    Ticked {
        /// Nodes of which a renewal was refused, because that incarnation is not live. Of a node that is not here
        /// every renewal took effect.
        fenced: Vec<NodeId>,
    },
    /// The lease is the asker's.
    Lease {
        /// Under this fence.
        fence: Fence,
    },
    /// The join token with this id was made.
    JoinToken(Arc<str>),
    /// A node may come, or came before with the same key.
    Joined {
        /// As this one.
        node: NodeId,
        /// To this cluster.
        lineage: u128,
    },
    /// Another node is to lead.
    LeaderAsked {
        /// Unless the term is a later one than this.
        term: u64,
    },
}

/// The answer to one operation of a node's batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpOutcome {
    /// A claim was granted.
    Granted {
        /// The new fence.
        fence: Fence,
        /// How the session before ended or was taken: the last sequence number when the end was clean.
        last_sequence: Option<u64>,
        /// Whether the record is new.
        created: bool,
    },
    /// Somebody else owns the session, live.
    Conflict(Session),
    /// A release or report took effect, or changed nothing.
    Done,
    /// The node does not own the session.
    NotOwner,
    /// The cluster has as many agents as it may.
    AgentLimit,
    /// The record would be too large.
    TooLarge,
    /// The agent may not come with its token.
    NotEnrolled(EnrollmentRefusal),
}

/// Why an agent may not come with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollmentRefusal {
    /// There is no such token, or not any more.
    Revoked,
    /// The agent enrolled with another token, which still exists.
    Foreign,
    /// The token takes no new agents any more.
    Expired,
    /// As many agents as it may have have enrolled.
    Spent,
    /// As many agents as `agents.max_per_token` says have enrolled.
    TokenLimit,
    /// The cluster has as many agents as it may.
    AgentLimit,
}

/// Why an entry was refused. Each maps to one stable code of REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The fleet has a lineage already.
    #[error("the fleet is founded already")]
    AlreadyFounded,
    /// The epoch is not the live one.
    #[error("epoch {0} of this node is over")]
    Fenced(Epoch),
    /// A batch is missing before this one.
    #[error("the last batch applied is {last}")]
    Gap {
        /// The last number applied.
        last: u64,
    },
    /// More operations, marks, files or bytes than an entry may have.
    #[error("larger than an entry may be: {0}")]
    TooLarge(Arc<str>),
    /// Parts of the body are missing.
    #[error("the body of {0} is not whole")]
    BodyIncomplete(ConfigHash),
    /// A part contradicts the ones before.
    #[error("a body of {0} was begun with another number of parts")]
    BodyMismatch(ConfigHash),
    /// No such configuration.
    #[error("there is no configuration {0}")]
    UnknownConfiguration(Arc<str>),
    /// No such version.
    #[error("there is no version {version} of configuration {configuration}")]
    UnknownVersion {
        /// The configuration.
        configuration: Arc<str>,
        /// The number.
        version: u32,
    },
    /// No such group.
    #[error("there is no group {0}")]
    UnknownGroup(Arc<str>),
    /// A new group needs a selector.
    #[error("a new group needs a selector")]
    SelectorMissing,
    /// The operator saw another revision.
    #[error("the revision is {current}, not {expected}")]
    RevisionMismatch {
        /// What the fleet has; 0 when there is none.
        current: u64,
        /// What was expected.
        expected: u64,
    },
    /// No such agent.
    #[error("there is no agent {0}")]
    UnknownAgent(InstanceUid),
    /// The agent lacks a capability.
    #[error("the agent does not announce the capability that this needs")]
    LacksCapability,
    /// No such dispatch.
    #[error("there is no dispatch {0}")]
    UnknownDispatch(DispatchId),
    /// Somebody else moved the cursor first.
    #[error("the dispatch was expanded by somebody else")]
    CursorMoved,
    /// The key stands for another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// A collection holds as many as it may.
    #[error("there can be at most {max} {what}")]
    LimitReached {
        /// Which collection.
        what: Arc<str>,
        /// Its limit.
        max: u32,
    },
    /// What the system alone proposes came as an operator's wish.
    #[error("operators cannot ask for this")]
    NotForOperators,
    /// Somebody owns the agent's session, live.
    #[error("agent {0} is connected")]
    AgentConnected(InstanceUid),
    /// A step of a change was judged by what is no more.
    #[error("the change of group {0} has moved on")]
    RolloutMoved(Arc<str>),
    /// Nothing is quarantined.
    #[error("nothing is quarantined in group {0}")]
    NothingQuarantined(Arc<str>),
    /// There is no version to go back to.
    #[error("group {0} has nothing to go back to")]
    NothingToRevert(Arc<str>),
    /// No such token.
    #[error("there is no token {0}")]
    UnknownToken(Arc<str>),
    /// The id is taken.
    #[error("there is a token {0} already")]
    TokenExists(Arc<str>),
    /// Nobody could make another one.
    #[error("the last token of an administrator cannot be revoked: make another one first")]
    LastAdminToken,
    /// Somebody holds the lease, or held it until a moment ago.
    #[error("the lease is held by node {node}")]
    LeaseBusy {
        /// Who.
        node: NodeId,
        /// Under which fence.
        fence: Fence,
    },
    /// The proposer does not hold the lease under this fence.
    #[error("lease {0} is not held under this fence")]
    StaleLease(Arc<str>),
    /// Operators ask for it, or it is wrapped itself.
    #[error("this is not done under a lease")]
    NotUnderLease,
    /// The node is shutting down and takes nothing on.
    #[error("node {0} is draining")]
    NodeDraining(NodeId),
    /// There is no such node, or not any more.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// No such join token.
    #[error("there is no such join token")]
    JoinTokenUnknown,
    /// The join token's time is over.
    #[error("the join token has expired")]
    JoinTokenExpired,
    /// As many nodes as it may have joined with it.
    #[error("the join token is used up")]
    JoinTokenSpent,
    /// Another node has or had the id.
    #[error("node id {0} is taken: an id is never used twice")]
    NodeIdTaken(NodeId),
    /// Another node has the key.
    #[error("node {0} has this key")]
    PeerKeyTaken(NodeId),
    /// Somebody cannot apply the level.
    #[error("feature level {level} is too high: every node can apply {highest}")]
    LevelTooHigh {
        /// What was asked for.
        level: u16,
        /// What every node can apply.
        highest: u16,
    },
    /// The level is behind the fleet's.
    #[error("feature level {level} is too low: the fleet is at {current}")]
    LevelTooLow {
        /// What was asked for, or what the node can apply.
        level: u16,
        /// What the fleet is at.
        current: u16,
    },
}
