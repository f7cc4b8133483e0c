//! A node's peer listener, without the rest of the node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora::peer::{
    Caller, Exchange, Exchanged, Hello, Join, KeyHash, NodeKey, PeerCalls, PeerListener, Redeemed,
    Seen, Trust,
};
use ampora::tasks::Tasks;
use ampora::telemetry::metrics::Metrics;
use ampora_raft::consensus::{RaftRequest, RaftResponse};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::client::SOON;

const REFUSED: &str = "ampora_peer_refused_total";

/// Answers what these tests ask.
struct Answers;

impl PeerCalls for Answers {
    fn raft(&self, _from: NodeId, _request: RaftRequest) -> BoxFuture<'_, RaftResponse> {
        unreachable!("nobody asks for consensus here")
    }

    fn hello(&self, _from: Caller, hello: Hello) -> BoxFuture<'_, Hello> {
        ready(hello).boxed()
    }

    fn join(&self, _token: KeyHash, _key: KeyHash, _join: Join) -> BoxFuture<'_, Redeemed> {
        let (code, text) = ("join_token_spent".into(), "spent".into());
        ready(Redeemed::Refused { code, text }).boxed()
    }

    fn exchange(&self, _from: NodeId, _exchange: Exchange) -> BoxFuture<'_, Exchanged> {
        unreachable!("nobody polls here")
    }

    fn last_seen(&self, _from: NodeId, uids: Vec<InstanceUid>) -> BoxFuture<'_, Vec<Option<Seen>>> {
        ready(vec![None; uids.len()]).boxed()
    }

    fn body(&self, _from: NodeId, _hash: BodyHash) -> BoxFuture<'_, Option<Bytes>> {
        ready(None).boxed()
    }
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) trust: Trust,
    metrics: Metrics,
    tasks: Tasks,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Node {
    /// The only node of this process: what it refuses is counted for the whole of it.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let metrics = Metrics::install().expect("the first");
        let (trust, tasks) = (Trust::new(), Tasks::new());
        let key = NodeKey::load_or_make(dir.path()).expect("a key");
        let any = "127.0.0.1:0".parse().expect("an address");
        let opened = PeerListener::open(any, &key, trust.clone(), Arc::new(Answers), &tasks).await;
        Self {
            address: opened.expect("a port"),
            trust,
            metrics,
            tasks,
        }
    }

    /// What was refused so far, by reason.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        let text = self.metrics.render();
        let lines = text.lines().filter_map(|line| line.strip_prefix(REFUSED));
        lines
            .filter_map(|line| {
                let (label, count) = line.rsplit_once(' ')?;
                let reason = label.strip_prefix("{reason=\"")?.strip_suffix("\"}")?;
                Some((reason.to_owned(), count.parse().ok()?))
            })
            .collect()
    }

    /// Waits until exactly this was refused more than before.
    pub(crate) async fn has_refused(&self, before: &BTreeMap<String, u64>, more: &[(&str, u64)]) {
        let mut expected = before.clone();
        for (reason, count) in more {
            *expected.get_mut(*reason).expect("a reason") += count;
        }
        self.waits(|refused| *refused == expected).await;
    }

    /// Waits until what was refused is as it should be.
    pub(crate) async fn waits(&self, is_so: impl Fn(&BTreeMap<String, u64>) -> bool) {
        let reached = async {
            while !is_so(&self.refused()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        assert!(reached.is_ok(), "refused so far: {:?}", self.refused());
    }
}
