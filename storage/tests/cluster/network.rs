//! A network in memory that can be cut, and nodes on it: every message is encoded and decoded as between hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::consensus::{
    Begin, Committed, Consensus, ConsensusConfig, EffectSink, LogLimits, PeerNetwork, ProposeError,
    RaftRequest, RaftResponse, Timings,
};
use ampora_raft::effect::Effect;
use ampora_raft::ids::NodeId;
use ampora_raft::proposal::{Origin, Proposal};
use ampora_raft::time::Clock;
use ampora_storage::codec::{Kind, decode_message, encode_message};
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

/// What a test waits for has happened by then, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Liveness in these tests: longer than a busy machine stands still.
const TTL: Duration = Duration::from_secs(10);

/// A slow way; heartbeats still arrive in time.
const SLOW: Duration = Duration::from_millis(30);

/// Little enough that a node is soon behind what is left.
const LOG: LogLimits = LogLimits {
    bytes: u64::MAX,
    entries: 64,
};

/// Waits for something to be seen.
pub(crate) async fn eventually(what: &str, mut seen: impl FnMut() -> bool) {
    let waited = async {
        while !seen() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, waited).await.is_ok(),
        "not in time: {what}"
    );
}

/// The nodes that can be reached.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    nodes: Mutex<BTreeMap<NodeId, Consensus>>,
    cut: Mutex<BTreeSet<NodeId>>,
    slow: Mutex<BTreeSet<NodeId>>,
    began: Began,
}

#[derive(Debug)]
struct Began(tokio::time::Instant);

impl Default for Began {
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the clock of this test")]
        Self(tokio::time::Instant::now())
    }
}

/// The network as one node has it.
#[derive(Debug)]
struct From {
    cluster: Arc<Cluster>,
    node: NodeId,
}

fn carried<T: Serialize + DeserializeOwned>(message: &T) -> io::Result<T> {
    decode_message(Kind::PeerCall, &encode_message(Kind::PeerCall, message)?)
}

impl PeerNetwork for From {
    fn call(
        &self,
        target: NodeId,
        request: RaftRequest,
        _within: Duration,
    ) -> BoxFuture<'static, io::Result<RaftResponse>> {
        let (cluster, from) = (self.cluster.clone(), self.node);
        Box::pin(async move {
            let reached = cluster.reached(from, target)?;
            if cluster.slow.lock().contains(&target) {
                tokio::time::sleep(SLOW).await;
            }
            let request = carried(&request)?;
            let answer = reached.handle(from, request).await;
            // the way back may be cut meanwhile
            cluster
                .reached(from, target)
                .map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
            carried(&answer)
        })
    }
}

impl Cluster {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn reached(&self, from: NodeId, target: NodeId) -> io::Result<Consensus> {
        let cut = self.cut.lock();
        let nodes = self.nodes.lock();
        let reached = nodes
            .get(&target)
            .filter(|_| !cut.contains(&from) && !cut.contains(&target));
        reached
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Nobody reaches the node any more, and it reaches nobody.
    pub(crate) fn cut(&self, node: NodeId) {
        self.cut.lock().insert(node);
    }

    /// What is sent to the node takes its time from here on.
    pub(crate) fn slow(&self, node: NodeId) {
        self.slow.lock().insert(node);
    }

    pub(crate) fn heal(&self, node: NodeId) {
        self.cut.lock().remove(&node);
    }

    pub(crate) async fn start(self: &Arc<Self>, id: NodeId, begin: Begin) -> Member {
        let kv: Arc<dyn Kv> = Arc::new(CrashKv::default());
        let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
        let rows =
            Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {})).expect("starts");
        let node = Arc::new(Node {
            began: self.began.0,
            replaced: AtomicU64::new(0),
        });
        let mut config = ConsensusConfig::alone(id, "a:3".to_owned(), id.0, LOG);
        config.begin = begin;
        config.liveness_ttl = TTL;
        config.network = Arc::new(From {
            cluster: self.clone(),
            node: id,
        });
        let log = Log::new(kv, flusher);
        let started = Consensus::start(config, log, rows, node.clone(), node.clone(), node.clone());
        let consensus = started.await.expect("starts");
        let mut tasks = JoinSet::new();
        tasks.spawn(consensus.clone().keep_time());
        tasks.spawn(consensus.clone().keep_leases());
        self.nodes.lock().insert(id, consensus.clone());
        Member {
            id,
            consensus,
            node,
            _tasks: tasks,
        }
    }
}

/// What a node hears and reads.
#[derive(Debug)]
struct Node {
    began: tokio::time::Instant,
    replaced: AtomicU64,
}

impl EffectSink for Node {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}

    fn replaced(&self, _index: u64) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}

impl Timings for Node {
    fn proposed(&self, _took: Duration) {}
}

impl Clock for Node {
    fn boot_ms(&self) -> u64 {
        1 + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

/// One node.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    consensus: Consensus,
    node: Arc<Node>,
    _tasks: JoinSet<()>,
}

impl Member {
    pub(crate) fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// How often a snapshot has replaced its fleet.
    pub(crate) fn replaced(&self) -> u64 {
        self.node.replaced.load(Ordering::Relaxed)
    }

    pub(crate) async fn propose(&self, proposal: Proposal) -> Result<Committed, ProposeError> {
        let origin = Origin {
            actor: "ann".into(),
            request_id: "r".into(),
            idempotency: None,
        };
        self.consensus.propose(origin, proposal).await
    }
}
