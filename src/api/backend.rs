//! What the REST rooms need of a node. The node implements it over consensus, storage and the registry of
//! agents; tests implement it over a fleet in memory. Nothing here names HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub use ampora_raft::consensus::{Progress, RaftStatus};
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{BodyHash, ConfigHash, DispatchId, InstanceUid, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Origin, Proposal};
use ampora_raft::records::{AuditRecord, MemberRole, Transport};
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::history::query::{self, AgentThen, Query};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

/// A node as seen by its admin listener.
pub trait Backend: Send + Sync + 'static {
    /// The fleet as this node has applied it: a consistent copy in O(1).
    fn view(&self) -> View;

    /// Asks the log. The call is bounded by a deadline of the implementation, and its answer means that this
    /// node has applied the entry, so that a read after it sees the change.
    ///
    /// # Errors
    /// [`ProposeError`] says whether the proposal may have taken effect.
    fn propose(
        &self,
        origin: Origin,
        proposal: Proposal,
    ) -> BoxFuture<'_, Result<Committed, ProposeError>>;

    /// A dispatch by selector was accepted here: its deliveries are counted when they are made.
    fn accepted(&self, _dispatch: DispatchId) {}

    /// When these agents were heard last by the nodes that own their sessions; who does not answer within a moment is
    /// left out.
    fn heard(
        &self,
        _owners: BTreeMap<NodeId, Vec<InstanceUid>>,
    ) -> BoxFuture<'_, BTreeMap<InstanceUid, Heard>> {
        Box::pin(std::future::ready(BTreeMap::new()))
    }

    /// Waits until the view has everything that was acknowledged anywhere before this call.
    ///
    /// # Errors
    /// [`ProposeError`]: no leader has a quorum; nothing ever happens through a read.
    fn read_barrier(&self) -> BoxFuture<'_, Result<(), ProposeError>>;

    /// Where the log stands.
    fn status(&self) -> RaftStatus;

    /// The canonical bytes of a stored configuration body, parts put together; `None` when it is not whole.
    ///
    /// # Errors
    /// The store could not be read.
    fn read_body(&self, hash: ConfigHash) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>>;

    /// The audit records of these numbers, one answer for each in order; `None` where there is none.
    ///
    /// Each that cannot be read is an error of its own.
    fn read_audit(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> BoxFuture<'_, Vec<io::Result<Option<Arc<AuditRecord>>>>>;

    /// A row that is not in memory; `None` where there is none. Waits for the disk.
    ///
    /// # Errors
    /// The row could not be read.
    fn row(&self, key: &RowKey) -> io::Result<Option<Row>>;

    /// The files of an effective configuration that an agent reported; `None` when neither this node nor its home gives
    /// them.
    ///
    /// # Errors
    /// The file could not be read.
    fn reported_files(
        &self,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Vec<ReportedFile>>>>;

    /// The redacted form in which history keeps an effective configuration; `None` when nobody who is heard has it.
    fn kept_document(&self, _hash: BodyHash) -> BoxFuture<'_, Option<String>> {
        Box::pin(std::future::ready(None))
    }

    /// A reported health tree or component list in the form that REST shows; `None` when neither this node nor its home
    /// gives it.
    ///
    /// # Errors
    /// The file could not be read.
    fn reported_json(
        &self,
        kind: ReportedKind,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Value>>>;

    /// A page of what happened to an agent.
    ///
    /// # Errors
    /// [`HistoryError`]: nothing is known of it at this moment.
    fn history(&self, query: Query) -> BoxFuture<'_, Result<History, HistoryError>>;

    /// Agents behind `after`, in uid order, as they were at a wall time: at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`]: what keeps the past cannot tell.
    fn fleet_at(
        &self,
        at_ms: u64,
        after: Option<InstanceUid>,
        limit: u16,
    ) -> BoxFuture<'_, Result<FleetThen, HistoryError>>;

    /// What this node's registry knows of an agent that it serves; `None` when it does not serve it.
    fn presence(&self, uid: InstanceUid) -> Option<Presence>;

    /// The clocks, read once per request.
    fn now(&self) -> Now;

    /// Fresh random bytes, for request ids and generated idempotency keys.
    fn random(&self) -> [u8; 16];

    /// The parts of health, always the same four in the same order.
    fn health(&self) -> Health;

    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;

    /// Opens the door for other nodes, if it is closed, and tells the fleet where this one is.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing.
    fn open_to_peers(&self) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// Carries out a step of membership, through whoever leads. Whether it is wise was judged before.
    ///
    /// # Errors
    /// Like [`Backend::propose`].
    fn step(&self, step: MemberStep) -> BoxFuture<'_, Result<(), ProposeError>>;

    /// Waits until a member is what the fleet says that it is to be; false when it still is not after some seconds.
    fn settled(&self, node: NodeId, role: MemberRole) -> BoxFuture<'_, bool>;

    /// How far all members are, as whoever leads knows it; `None` when nobody says so in a moment.
    fn progress(&self) -> BoxFuture<'_, Option<Progress>>;

    /// Lets this node, which runs alone, be let in by another cluster, and starts it again there.
    ///
    /// # Errors
    /// [`ClusterError`] says who refused and why; nothing has changed.
    fn move_to(&self, address: String, token: String) -> BoxFuture<'_, Result<(), ClusterError>>;
}

/// A page of what happened to an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The page.
    pub page: query::Part,
    /// Whether everybody who keeps some of it was heard.
    pub complete: bool,
}

/// A page of agents as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetThen {
    /// In uid order; a page may be short, or empty.
    pub agents: Vec<AgentThen>,
    /// Behind whom the next page begins; nothing when this was the last.
    pub next: Option<InstanceUid>,
    /// Whether whoever answered had all that was there a moment ago.
    pub complete: bool,
}

/// Why the past cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store is away, or does not answer in time.
    #[error("{0}")]
    Away(String),
    /// The store cannot answer such a question, whenever it is asked.
    #[error("{0}")]
    Unsupported(String),
}

/// A step of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberStep {
    /// These vote from here on; others that did only listen.
    Vote(BTreeSet<NodeId>),
    /// Another node leads: this one, or whichever is furthest.
    Lead(Option<NodeId>),
}

/// Why nothing came of a call that concerns other nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The door for other nodes cannot be opened.
    #[error("{0}")]
    Door(String),
    /// What was given is no join token.
    #[error("{0}")]
    Token(String),
    /// The other cluster says no.
    #[error("{0}")]
    Refused(String),
    /// Nobody of the other cluster could be asked.
    #[error("{0}")]
    Unreachable(String),
    /// The log has no answer.
    #[error(transparent)]
    Log(#[from] ProposeError),
    /// A fault of this node.
    #[error("{0}")]
    Failed(String),
}

/// The fleet at an index of the log.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything that is replicated.
    pub fleet: Fleet,
    /// The last entry in it.
    pub applied_index: u64,
}

/// A proposal that became an entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// What `apply` answered.
    pub outcome: Outcome,
}

/// Why a proposal was not answered by `apply`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead and could not reach who does; nothing happened.
    #[error("this node does not lead")]
    NotLeader {
        /// Who leads, as far as is known.
        hint: Option<NodeId>,
    },
    /// More proposals or unflushed rows wait than may; nothing happened.
    #[error("too many proposals wait")]
    Overloaded,
    /// It was handed to the log and no answer came in time: it may have happened.
    #[error("the outcome is not known")]
    OutcomeUnknown,
    /// The node is stopping; nothing happened.
    #[error("the node is stopping")]
    Stopped,
    /// There is no quorum, or the node refuses writes; nothing happened.
    #[error("{0}")]
    Unavailable(String),
}

/// A body that an agent reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its name.
    pub hash: BodyHash,
    /// The node whose files have it.
    pub home: NodeId,
}

/// A reported body that is shown as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedKind {
    /// A tree of component healths.
    Health,
    /// A list of available components.
    Components,
}

/// One file of a reported effective configuration, exactly as the agent sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedFile {
    /// The key in OpAMP's config map; may be empty.
    pub name: Arc<str>,
    /// The content type, may be empty.
    pub content_type: Arc<str>,
    /// The bytes.
    pub body: Bytes,
}

/// What the owner of an agent knows beyond its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether its transport is up; for polls, whether it is not given up yet.
    pub connected: bool,
    /// How it is connected.
    pub transport: Transport,
    /// Wall time of the last message, for people.
    pub last_seen_ms: u64,
    /// Boot time since the last message: what decides about staleness, because it never jumps.
    pub silent_ms: u64,
    /// Whether it is known to heartbeat or poll, so that silence means something.
    pub heartbeats: bool,
}

/// What another node knows of an agent whose session it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Wall time of the last message there, for people.
    pub last_seen_ms: u64,
    /// For how long it has been silent.
    pub silent_ms: u64,
}

/// The clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of boot time.
    pub boot_ms: u64,
    /// Milliseconds since 1970, for people.
    pub wall_ms: u64,
    /// Fleet time as it would be stamped at this moment.
    pub fleet_ms: u64,
}

/// How one part of the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartState {
    /// Works.
    Ok,
    /// Works with less; the node can serve agents.
    Degraded,
    /// Does not work.
    Failed,
}

/// One part of health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How it is.
    pub state: PartState,
    /// Why it is not ok; empty when it is.
    pub reason: String,
}

impl Part {
    /// A part that works.
    #[must_use]
    pub fn ok() -> Part {
        Part {
            state: PartState::Ok,
            reason: String::new(),
        }
    }
}

/// Health of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the start is over: rows loaded, log replayed, listeners open.
    pub started: bool,
    /// The replicated log.
    pub raft: Part,
    /// The durable store.
    pub storage: Part,
    /// The history store and its spool.
    pub history: Part,
    /// The listener of agents.
    pub opamp: Part,
}
