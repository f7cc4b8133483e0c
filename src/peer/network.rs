//! How this node asks others: a connection of each kind to each node, made when it is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{PeerNetwork, RaftRequest, RaftResponse};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_storage::codec::{Kind, decode_message, encode_message};
use ampora_storage::history::query::{Part, Query};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::bearer::{Channel, channel};
use super::book::AddressBook;
use super::calls::{Exchange, Exchanged, Hello, Join, PeerAnswer, PeerCall, Redeemed, Seen};
use super::frames::{self, What};
use super::key::{KeyHash, NodeKey};
use super::link::{Ground, Lane, Link, connect, plain, unknown};
use super::serve::SMALL_BYTES;
use crate::entropy::Entropy;
use crate::tasks::Tasks;
use crate::telemetry::peers::Refused;

/// The other nodes; clones share their connections.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    ground: Ground,
    tasks: Tasks,
    links: Mutex<BTreeMap<(NodeId, Lane), Link>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = self.shared.links.lock();
        f.debug_set().entries(links.keys()).finish()
    }
}

impl Peers {
    /// The nodes in `book`, called with `key`. Connections run in `tasks`, each on the runtime that first needs it.
    pub fn new(key: Arc<NodeKey>, book: AddressBook, tasks: &Tasks, entropy: Entropy) -> Self {
        Self {
            shared: Arc::new(Shared {
                ground: Ground { key, book, entropy },
                tasks: tasks.clone(),
                links: Mutex::default(),
            }),
        }
    }

    /// Asks for something and waits for the answer, all of it within the time.
    ///
    /// # Errors
    /// When the node is not known, cannot be reached, or does not answer; at once while it is known to be away.
    /// [`io::ErrorKind::NotConnected`] says that the call has not left this node; after any other error it may have been
    /// served.
    pub async fn ask(
        &self,
        node: NodeId,
        call: &PeerCall,
        within: Duration,
    ) -> io::Result<PeerAnswer> {
        let body = encode_message(Kind::PeerCall, call)?;
        let lane = lane(call, body.len());
        let answer = self.link(node, lane)?.ask(body, within).await?;
        decode(&answer)
    }

    /// Asks for consensus.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses.
    pub async fn raft(
        &self,
        node: NodeId,
        request: RaftRequest,
        within: Duration,
    ) -> io::Result<RaftResponse> {
        let answer = self.ask(node, &PeerCall::Raft(request), within).await?;
        if let PeerAnswer::Raft(response) = answer {
            return Ok(response);
        }
        Err(unexpected(&answer))
    }

    /// Asks who the node is.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses.
    pub async fn hello(&self, node: NodeId, hello: Hello, within: Duration) -> io::Result<Hello> {
        let answer = self.ask(node, &PeerCall::Hello(hello), within).await?;
        if let PeerAnswer::Hello(hello) = answer {
            return Ok(hello);
        }
        Err(unexpected(&answer))
    }

    /// Hands an exchange of an agent to the owner of its session.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses, or the exchange is too large to be sent between nodes.
    pub async fn exchange(
        &self,
        node: NodeId,
        exchange: Exchange,
        within: Duration,
    ) -> io::Result<Exchanged> {
        let answer = self
            .ask(node, &PeerCall::Exchange(exchange), within)
            .await?;
        if let PeerAnswer::Exchanged(exchanged) = answer {
            return Ok(exchanged);
        }
        Err(unexpected(&answer))
    }

    /// Asks when agents, at most a thousand, were heard last.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses.
    pub async fn last_seen(
        &self,
        node: NodeId,
        uids: Vec<InstanceUid>,
        within: Duration,
    ) -> io::Result<Vec<Option<Seen>>> {
        let asked = uids.len();
        let answer = self.ask(node, &PeerCall::LastSeen(uids), within).await?;
        if let PeerAnswer::LastSeen(seen) = &answer
            && seen.len() == asked
        {
            return Ok(seen.clone());
        }
        Err(unexpected(&answer))
    }

    /// Asks for a body that an agent reported there.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses.
    pub async fn body(
        &self,
        node: NodeId,
        hash: BodyHash,
        within: Duration,
    ) -> io::Result<Option<Bytes>> {
        let answer = self.ask(node, &PeerCall::Body(hash), within).await?;
        if let PeerAnswer::Body(body) = answer {
            return Ok(body);
        }
        Err(unexpected(&answer))
    }

    /// Asks what history the node itself has of an agent.
    ///
    /// # Errors
    /// Like [`Peers::ask`], and when the node refuses: one of an older version does not understand it.
    pub async fn history(&self, node: NodeId, query: Query, within: Duration) -> io::Result<Part> {
        let answer = self.ask(node, &PeerCall::History(query), within).await?;
        if let PeerAnswer::History(part) = answer {
            return Ok(part);
        }
        Err(unexpected(&answer))
    }

    /// The link to a node; those to nodes that are known no more go.
    fn link(&self, node: NodeId, lane: Lane) -> io::Result<Link> {
        let known = self.shared.ground.book.all();
        let mut links = self.shared.links.lock();
        if let Some(link) = links.get(&(node, lane)).filter(|link| !link.is_over()) {
            return Ok(link.clone());
        }
        links.retain(|(node, _), _| known.contains_key(node));
        if !known.contains_key(&node) {
            return Err(unknown());
        }
        let (link, running) = Link::new(node, lane, self.shared.ground.clone());
        let stopping = self.shared.tasks.stopping();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = running => {}
                () = stopping.cancelled() => {}
            }
        });
        links.insert((node, lane), link.clone());
        Ok(link)
    }
}

impl PeerNetwork for Peers {
    fn call(
        &self,
        target: NodeId,
        request: RaftRequest,
        within: Duration,
    ) -> BoxFuture<'static, io::Result<RaftResponse>> {
        let peers = self.clone();
        async move { peers.raft(target, request, within).await }.boxed()
    }
}

fn lane(call: &PeerCall, bytes: usize) -> Lane {
    match call {
        PeerCall::Raft(request) if !request.is_urgent() => Lane::Bulk,
        PeerCall::Raft(request) => match request.name() {
            "append" | "vote" | "pre_vote" | "transfer_leader" => Lane::Raft,
            _ => Lane::Log,
        },
        PeerCall::Body(_) | PeerCall::History(_) => Lane::Bulk,
        PeerCall::Hello(_)
        | PeerCall::Redeem(_)
        | PeerCall::Exchange(_)
        | PeerCall::LastSeen(_)
        | PeerCall::Join(_)
            if bytes > SMALL_BYTES =>
        {
            Lane::Bulk
        }
        PeerCall::Hello(_)
        | PeerCall::Redeem(_)
        | PeerCall::Exchange(_)
        | PeerCall::LastSeen(_)
        | PeerCall::Join(_) => Lane::Calls,
    }
}

/// Tries to join as the bearer of a token, through a node that is known by its address and, from the token, by the keys
/// of its cluster alone. The proof that this node holds `own` is put into `join`.
///
/// # Errors
/// When the address cannot be reached, whoever answers there holds none of the keys, or does not know the token
/// ([`io::ErrorKind::PermissionDenied`]); the message says which.
pub async fn join(
    address: &str,
    expected: &[KeyHash],
    bearer: &NodeKey,
    own: &NodeKey,
    mut join: Join,
    within: Duration,
) -> io::Result<Redeemed> {
    let call = |channel: &Channel| {
        (join.public_key, join.signature) = own.prove(channel)?;
        Ok(PeerCall::Join(join))
    };
    let answer = ask_at(address, expected, bearer, call, within).await?;
    if let PeerAnswer::Redeemed(redeemed) = answer {
        return Ok(redeemed);
    }
    Err(unexpected(&answer))
}

/// Asks who is at an address, as the bearer of a join token.
///
/// # Errors
/// Like [`join`].
pub async fn greet(
    address: &str,
    expected: &[KeyHash],
    bearer: &NodeKey,
    hello: Hello,
    within: Duration,
) -> io::Result<Hello> {
    let call = |_: &Channel| Ok(PeerCall::Hello(hello));
    let answer = ask_at(address, expected, bearer, call, within).await?;
    if let PeerAnswer::Hello(hello) = answer {
        return Ok(hello);
    }
    Err(unexpected(&answer))
}

/// One call over a connection of its own.
async fn ask_at(
    address: &str,
    expected: &[KeyHash],
    key: &NodeKey,
    call: impl FnOnce(&Channel) -> io::Result<PeerCall>,
    within: Duration,
) -> io::Result<PeerAnswer> {
    let asking = async {
        let (mut stream, _) = connect(address, key, expected.to_vec()).await?;
        let call = call(&channel(stream.get_ref().1)?)?;
        let call = encode_message(Kind::PeerCall, &call)?;
        // a refusal by the other side comes after the handshake, and may cut the call
        let sent = frames::write(&mut stream, 1, within, What::Call, &call).await;
        let head = match frames::read_head(&mut stream, frames::FRAME_BYTES_MAX).await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(io::ErrorKind::ConnectionReset.into()),
            Err(error) => return Err(error.into_io()),
        };
        sent?;
        if (head.number, head.what) != (1, What::Answer) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        frames::read_body(&mut stream, head.bytes, || {}).await
    };
    let answer = timeout(within, asking).await?.map_err(plain)?;
    decode(&answer)
}

fn decode(answer: &[u8]) -> io::Result<PeerAnswer> {
    decode_message(Kind::PeerAnswer, answer).inspect_err(|_| Refused::Malformed.count())
}

fn unexpected(answer: &PeerAnswer) -> io::Error {
    match answer {
        PeerAnswer::Refused(refusal) => io::Error::other(*refusal),
        PeerAnswer::Removed(_) => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "this node was removed from the cluster of the node there",
        ),
        PeerAnswer::Raft(_)
        | PeerAnswer::Hello(_)
        | PeerAnswer::Redeemed(_)
        | PeerAnswer::Exchanged(_)
        | PeerAnswer::LastSeen(_)
        | PeerAnswer::Body(_)
        | PeerAnswer::History(_) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the other node answers something else than was asked",
        ),
    }
}
