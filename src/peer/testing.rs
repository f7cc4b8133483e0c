//! Nodes that answer each other in tests, and a wire between them that can be held.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{RaftRequest, RaftResponse};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::doors;
use crate::tasks::Tasks;

/// Long enough for a busy machine; nothing that goes well waits for it.
pub(super) const LONG: Duration = Duration::from_secs(25);

/// Waits until a value is as it should be.
pub(super) async fn until<T>(watched: &watch::Sender<T>, is_so: impl FnMut(&T) -> bool) {
    let mut values = watched.subscribe();
    let seen = tokio::time::timeout(LONG * 2, values.wait_for(is_so)).await;
    seen.expect("in time").expect("watched");
}

/// Answers calls of other nodes.
#[derive(Debug)]
pub(super) struct Answers {
    node: NodeId,
    /// Exchanges that began.
    pub(super) began: watch::Sender<usize>,
    /// Bodies that were asked for.
    pub(super) bodies: watch::Sender<usize>,
    /// Exchanges with the body `wait` take one each.
    pub(super) gate: Semaphore,
    /// Who called last.
    pub(super) caller: watch::Sender<Option<Caller>>,
    /// Which token was shown with which key.
    pub(super) joined: watch::Sender<Vec<(KeyHash, KeyHash)>>,
}

impl Answers {
    fn new(node: NodeId) -> Self {
        Self {
            node,
            began: watch::Sender::new(0),
            bodies: watch::Sender::new(0),
            gate: Semaphore::new(0),
            caller: watch::Sender::new(None),
            joined: watch::Sender::default(),
        }
    }

    fn from(&self, node: NodeId) {
        self.caller.send_replace(Some(Caller::Member(node)));
    }
}

/// A request of consensus that waits for the log.
pub(super) fn read_index() -> RaftRequest {
    serde_json::from_value(json!("ReadIndex")).expect("a request")
}

/// A request of consensus that waits for nothing.
pub(super) fn vote() -> RaftRequest {
    let vote = json!({"leader_id": {"term": 1, "node_id": 1}, "committed": false});
    let asked = json!({"Vote": {"vote": vote, "last_log_id": null, "leader_transfer": false}});
    serde_json::from_value(asked).expect("a request")
}

/// An answer of consensus.
pub(super) fn response(index: u64) -> RaftResponse {
    serde_json::from_value(json!({"ReadIndex": {"Ok": index}})).expect("a response")
}

/// A body that fills what may be said at once.
pub(super) const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// The hash of the body that is larger than what may be said.
pub(super) const TOO_LARGE: BodyHash = BodyHash([9; 32]);

impl PeerCalls for Answers {
    fn raft(&self, from: NodeId, request: RaftRequest) -> BoxFuture<'_, RaftResponse> {
        self.from(from);
        let index = u64::from(request.is_urgent());
        std::future::ready(response(index)).boxed()
    }

    fn hello(&self, from: Caller, hello: Hello) -> BoxFuture<'_, Hello> {
        self.caller.send_replace(Some(from));
        let node = Some(self.node);
        std::future::ready(Hello { node, ..hello }).boxed()
    }

    fn join(&self, token: KeyHash, key: KeyHash, join: Join) -> BoxFuture<'_, Redeemed> {
        self.joined.send_modify(|joined| joined.push((token, key)));
        let node = join.wanted.unwrap_or(NodeId(2));
        let joined = Joined {
            node,
            cluster_id: 7,
            members: vec![],
        };
        std::future::ready(Redeemed::Joined(joined)).boxed()
    }

    fn exchange(&self, from: NodeId, exchange: Exchange) -> BoxFuture<'_, Exchanged> {
        self.from(from);
        async move {
            self.began.send_modify(|began| *began += 1);
            if exchange.body == b"wait"[..] {
                self.gate.acquire().await.expect("open").forget();
            }
            Exchanged {
                status: 200,
                headers: exchange.headers,
                body: exchange.body,
            }
        }
        .boxed()
    }

    fn last_seen(&self, from: NodeId, uids: Vec<InstanceUid>) -> BoxFuture<'_, Vec<Option<Seen>>> {
        self.from(from);
        let seen = uids.iter().map(|uid| {
            (!uid.is_nil()).then_some(Seen {
                seen_wall_ms: 5,
                silent_ms: 6,
            })
        });
        std::future::ready(seen.collect()).boxed()
    }

    fn body(&self, from: NodeId, hash: BodyHash) -> BoxFuture<'_, Option<Bytes>> {
        self.from(from);
        self.bodies.send_modify(|bodies| *bodies += 1);
        let bytes = match hash {
            BodyHash([0, ..]) => None,
            TOO_LARGE => Some(Bytes::from(vec![1; LARGE_BYTES + 64 * 1024])),
            BodyHash(_) => Some(Bytes::from(vec![1; LARGE_BYTES])),
        };
        std::future::ready(bytes).boxed()
    }
}

/// A node with a listener.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) key: Arc<NodeKey>,
    pub(super) trust: Trust,
    pub(super) book: AddressBook,
    pub(super) peers: Peers,
    pub(super) answers: Arc<Answers>,
    pub(super) address: SocketAddr,
    pub(super) tasks: Tasks,
    pub(super) listening: Tasks,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

pub(super) fn key() -> NodeKey {
    let dir = tempfile::tempdir().expect("a directory");
    NodeKey::load_or_make(dir.path()).expect("a key")
}

/// A node that knows nobody.
pub(super) async fn node(id: u64) -> Node {
    let (id, tasks) = (NodeId(id), Tasks::new());
    let (key, trust, book) = (Arc::new(key()), Trust::new(), AddressBook::new());
    let answers = Arc::new(Answers::new(id));
    let any = "127.0.0.1:0".parse().expect("an address");
    let listening = tasks.group();
    let opened = PeerListener::open(any, &key, trust.clone(), answers.clone(), &listening);
    let address = opened.await.expect("a port");
    let peers = Peers::new(
        key.clone(),
        book.clone(),
        &tasks,
        crate::entropy::Entropy::drawn(|| u64::MAX / 2),
    );
    Node {
        id,
        key,
        trust,
        book,
        peers,
        answers,
        address,
        tasks,
        listening,
    }
}

impl Node {
    /// Lets others in, and knows where they are.
    pub(super) fn meet(&self, others: &[&Node]) {
        let keys = others.iter().map(|node| (node.key.key_hash(), node.id));
        self.trust.set_members(&keys.collect());
        let known = others
            .iter()
            .map(|node| (node.id, node.known(node.address)));
        self.book.set(known.collect());
    }

    /// This node, reached by another way.
    pub(super) fn known(&self, address: SocketAddr) -> Known {
        Known {
            address: address.to_string().into(),
            key: self.key.key_hash(),
        }
    }

    /// An exchange with another node.
    pub(super) async fn says(&self, to: &Node, body: &'static str) -> std::io::Result<Bytes> {
        let exchanged = self.peers.exchange(to.id, exchange(body), LONG).await;
        exchanged.map(|exchanged| exchanged.body)
    }
}

/// Two nodes that know each other.
pub(super) async fn pair() -> (Node, Node) {
    let (one, two) = tokio::join!(node(1), node(2));
    one.meet(&[&two]);
    two.meet(&[&one]);
    (one, two)
}

pub(super) fn exchange(body: &'static str) -> Exchange {
    Exchange {
        client: [192, 0, 2, 1].into(),
        token: Some("t1".into()),
        headers: vec![("accept-encoding".into(), Bytes::from_static(b"gzip"))],
        body: Bytes::from_static(body.as_bytes()),
    }
}

pub(super) fn try_to_join() -> Join {
    Join {
        public_key: Bytes::new(),
        signature: Bytes::new(),
        peer_address: "192.0.2.1:4322".into(),
        name: "newcomer".into(),
        version: "1".into(),
        level: 2,
        wanted: Some(NodeId(4)),
    }
}

/// What a wire lets through from the node behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// All.
    Open,
    /// So many bytes of each connection.
    Bytes(usize),
}

/// A wire to a node.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    pub(super) flow: watch::Sender<Flow>,
    /// Bytes that came over each connection, in the order of their beginning.
    pub(super) carried: Arc<watch::Sender<Vec<usize>>>,
    tasks: Tasks,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Wire {
    pub(super) async fn to(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let tasks = Tasks::new();
        let flow = watch::Sender::new(Flow::Open);
        let carried = Arc::new(watch::Sender::new(Vec::new()));
        let (to, flows, counts, carrying) =
            (node.address, flow.clone(), carried.clone(), tasks.clone());
        doors::accept(
            listener,
            &tasks,
            |error| panic!("{error}"),
            move |near, _| {
                let number = counts.borrow().len();
                counts.send_modify(|counts| counts.push(0));
                let (flows, counts) = (flows.subscribe(), counts.clone());
                let stopping = carrying.stopping();
                let carry = async move {
                    let far = TcpStream::connect(to).await.expect("the node listens");
                    let ((near_in, mut near_out), (far_in, mut far_out)) =
                        (near.into_split(), far.into_split());
                    let forth = async {
                        let mut near_in = near_in;
                        drop(tokio::io::copy(&mut near_in, &mut far_out).await);
                    };
                    tokio::select! {
                        () = forth => {}
                        () = back(far_in, &mut near_out, flows, &counts, number) => {}
                    }
                };
                carrying.spawn(async move {
                    tokio::select! {
                        () = carry => {}
                        () = stopping.cancelled() => {}
                    }
                });
            },
        );
        Self {
            address,
            flow,
            carried,
            tasks,
        }
    }
}

async fn back(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
    counts: &watch::Sender<Vec<usize>>,
    number: usize,
) {
    let (mut carried, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        let Ok(bytes @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let may_pass = |flow: &Flow| match flow {
            Flow::Open => true,
            Flow::Bytes(bytes) => carried < *bytes,
        };
        if flow.wait_for(may_pass).await.is_err() {
            return;
        }
        carried += bytes;
        counts.send_modify(|counts| counts[number] = carried);
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

/// What is known of several nodes.
pub(super) fn known<const N: usize>(all: [(NodeId, Known); N]) -> BTreeMap<NodeId, Known> {
    all.into()
}
