//! What consensus asks of the rooms around it: somewhere to keep rows, somebody to tell of effects, and
//! somebody to tell how long things took.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use openraft::alias::{LogIdOf, StoredMembershipOf};
use openraft::vote::RaftLeaderIdExt;
use openraft::{Membership, RaftTypeConfig};
use serde::{Deserialize, Serialize};

use super::type_config::TypeConfig;
use super::wire::{RaftRequest, RaftResponse};
use crate::effect::Effect;
use crate::fleet::Fleet;
use crate::ids::NodeId;
use crate::rows::{Row, RowKey};

/// How far a state machine has got. Opaque outside of this room, but it can be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedState {
    pub(crate) last: Option<LogIdOf<TypeConfig>>,
    pub(crate) membership: StoredMembershipOf<TypeConfig>,
}

type LeaderId = <TypeConfig as RaftTypeConfig>::LeaderId;

impl AppliedState {
    /// Where a new cluster of this node alone begins that has everything up to `index` from elsewhere.
    pub fn founded(node: NodeId, index: u64) -> Self {
        let last = LogIdOf::<TypeConfig>::new(LeaderId::new_committed(Self::TERM, node.0), index);
        // without an address: its listener is not open yet, and nobody else asks for it
        let membership = Membership::new_with_defaults(vec![[node.0].into()], []);
        Self {
            last: Some(last),
            membership: StoredMembershipOf::<TypeConfig>::new(Some(last), membership),
        }
    }

    /// The term that such a cluster begins after.
    pub const TERM: u64 = 1;

    /// The last entry applied.
    pub fn last(&self) -> Option<LogIdOf<TypeConfig>> {
        self.last
    }

    /// The index of the last entry applied; 0 before any.
    pub fn index(&self) -> u64 {
        self.last.as_ref().map_or(0, |id| id.index)
    }
}

/// What one entry changed.
#[derive(Debug)]
pub struct Change {
    /// How far that got.
    pub state: AppliedState,
    /// The fleet after it: rows in memory are encoded from here when they are written.
    pub fleet: Fleet,
    /// Rows in memory that changed or went.
    pub dirty: Vec<RowKey>,
    /// Rows that are not in memory.
    pub puts: Vec<(RowKey, Option<Row>)>,
}

/// What a store holds when it is opened.
#[derive(Debug)]
pub struct Loaded {
    /// How far the rows have got.
    pub state: AppliedState,
    /// All rows but those that are not in memory.
    pub rows: Vec<(RowKey, Row)>,
}

/// Where rows are kept. Writes happen behind; the log is what makes an entry durable.
pub trait RowStore: fmt::Debug + Send + Sync + 'static {
    /// Reads everything that was flushed.
    ///
    /// # Errors
    /// Fails on a damaged or unreadable row.
    fn load(&self) -> io::Result<Loaded>;

    /// Takes what an entry changed. Returns at once; order is kept.
    fn stage(&self, change: Change);

    /// Whether so much waits to be written that proposals must be refused.
    fn overloaded(&self) -> bool;

    /// Why nothing may be written at the moment, such as a disk at its watermark.
    fn refusal(&self) -> Option<String>;

    /// The applied index that the flushed rows stand for.
    fn durable_index(&self) -> u64;

    /// Waits until the flushed rows stand for `index` or more.
    fn wait_durable(&self, index: u64) -> BoxFuture<'static, io::Result<()>>;

    /// A row that is not in memory, flushed or not.
    ///
    /// # Errors
    /// Fails on a damaged or unreadable row.
    fn read(&self, key: &RowKey) -> io::Result<Option<Row>>;

    /// Replaces all rows by a snapshot's, as one change however it is interrupted.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    fn install(&self, state: &AppliedState, rows: &[(RowKey, Row)]) -> io::Result<()>;
}

/// Hears what followed from entries, after the view shows it; never of entries replayed at start.
pub trait EffectSink: Send + Sync + 'static {
    /// The effects of the entry at `index`. Must not block.
    fn publish(&self, index: u64, effects: Vec<Effect>);

    /// A snapshot has replaced the fleet at `index`: anything may have changed. Must not block.
    fn replaced(&self, _index: u64) {}
}

/// Hears how long things took.
pub trait Timings: Send + Sync + 'static {
    /// From a proposal to its outcome.
    fn proposed(&self, took: Duration);
}

/// Carries requests of consensus to other nodes.
pub trait PeerNetwork: fmt::Debug + Send + Sync + 'static {
    /// One request and its answer, at most `within`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] says that the request has not left this node. After any other error it
    /// may have been carried out.
    fn call(
        &self,
        target: NodeId,
        request: RaftRequest,
        within: Duration,
    ) -> BoxFuture<'static, io::Result<RaftResponse>>;
}

/// The network of a node that has no peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerNetwork for NoPeers {
    fn call(
        &self,
        _target: NodeId,
        _request: RaftRequest,
        _within: Duration,
    ) -> BoxFuture<'static, io::Result<RaftResponse>> {
        let nobody = io::Error::new(io::ErrorKind::NotConnected, "this node has no peers");
        Box::pin(std::future::ready(Err(nobody)))
    }
}
