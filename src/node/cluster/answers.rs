//! What this node answers other nodes: the log's requests, who it is, and whether a newcomer may join.

use std::sync::{Arc, OnceLock};

use ampora_raft::consensus::{Consensus, ProposeError, RaftRequest, RaftResponse};
use ampora_raft::fleet::{FEATURE_LEVEL, Fleet};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::Proposal;
use ampora_raft::records::Peer;
use ampora_storage::history::query::{Part, Query};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::peering::Peering;
use crate::agents::forward;
use crate::agents::room::Room;
use crate::history::past::Past;
use crate::node::origin;
use crate::peer::{
    Caller, Exchange, Exchanged, Hello, Join, Joined, KeyHash, Member, PeerCalls, Redeemed, Seen,
};

/// The answer to an exchange that cannot be served here: the agent repeats it elsewhere.
const UNAVAILABLE: u16 = 503;

/// This node as others ask it. What it cannot do yet it does when it can: a newcomer's door is open before it
/// has a log.
#[derive(Debug)]
pub struct Answers {
    log: watch::Sender<Option<(Consensus, Arc<Peering>)>>,
    room: OnceLock<Arc<Room>>,
    past: OnceLock<Arc<Past>>,
}

impl Answers {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            log: watch::Sender::new(None),
            room: OnceLock::new(),
            past: OnceLock::new(),
        })
    }

    /// The log is there.
    pub fn set_log(&self, consensus: Consensus, peering: Arc<Peering>) {
        self.log.send_replace(Some((consensus, peering)));
    }

    /// Agents are served from here on.
    pub fn set_room(&self, room: Arc<Room>, past: Arc<Past>) {
        drop(self.past.set(past));
        drop(self.room.set(room));
    }

    async fn log(&self) -> (Consensus, Arc<Peering>) {
        let mut changes = self.log.subscribe();
        loop {
            let log = changes.borrow_and_update().clone();
            if let Some(log) = log {
                return log;
            }
            if changes.changed().await.is_err() {
                // cannot be: the sender is in `self`
                std::future::pending::<()>().await;
            }
        }
    }

    async fn let_in(&self, token: KeyHash, key: KeyHash, join: Join) -> Redeemed {
        let (consensus, peering) = self.log().await;
        let node = consensus.status().node;
        let proposal = Proposal::RedeemJoinToken {
            hash: token,
            peer: Peer {
                id: join.wanted.unwrap_or_default(),
                key,
                address: join.peer_address.clone(),
                level: join.level,
            },
            name: join.name.clone(),
        };
        let proposed = consensus.propose(origin::of_node(node), proposal).await;
        let refused = match proposed.map(|committed| committed.outcome) {
            Ok(Outcome::Joined { node, lineage }) => {
                // before the newcomer is told that it may come
                peering.clone().follow_now(consensus.clone()).await;
                tracing::info!(
                    joined.node = node.0,
                    joined.name = %join.name,
                    joined.address = %join.peer_address,
                    joined.version = %join.version,
                    "a node was let in"
                );
                let view = consensus.view();
                return Redeemed::Joined(Joined {
                    node,
                    cluster_id: lineage,
                    members: members(&view.fleet, node),
                });
            }
            Ok(Outcome::Rejected(rejection)) => refusal(&rejection),
            Ok(other) => {
                tracing::error!(?other, "the fleet answered something else than was asked");
                ("internal", "the cluster failed".to_owned())
            }
            Err(error) => ("unavailable", unavailable(&error)),
        };
        tracing::warn!(
            reason = refused.0,
            joining.name = %join.name,
            joining.address = %join.peer_address,
            joining.version = %join.version,
            "a node was not let in: {}",
            refused.1
        );
        Redeemed::Refused {
            code: refused.0.into(),
            text: refused.1.into(),
        }
    }
}

/// Everybody but the newcomer.
fn members(fleet: &Fleet, newcomer: NodeId) -> Vec<Member> {
    let others = fleet.peers().filter(|peer| peer.id != newcomer);
    let members = others.map(|peer| Member {
        node: peer.id,
        key: peer.key,
        address: peer.address.clone(),
    });
    members.collect()
}

/// A word for programs and a sentence for people.
fn refusal(rejection: &Rejection) -> (&'static str, String) {
    if let Rejection::LevelTooLow { level, current } = rejection {
        let text = format!(
            "the cluster uses feature level {current}, and this program knows {level} at most: use a newer version"
        );
        return ("incompatible_version", text);
    }
    let words = [
        (Rejection::JoinTokenUnknown, "join_token_unknown"),
        (Rejection::JoinTokenExpired, "join_token_expired"),
        (Rejection::JoinTokenSpent, "join_token_spent"),
    ];
    let word = words.iter().find(|(known, _)| known == rejection);
    let word = match word {
        Some((_, word)) => word,
        None if matches!(rejection, Rejection::NodeIdTaken(_)) => "node_id_taken",
        None => "refused",
    };
    (word, rejection.to_string())
}

fn unavailable(error: &ProposeError) -> String {
    format!("the cluster cannot take anybody in at this moment: {error}")
}

impl PeerCalls for Answers {
    fn raft(&self, from: NodeId, request: RaftRequest) -> BoxFuture<'_, RaftResponse> {
        async move {
            let (consensus, _) = self.log().await;
            consensus.handle(from, request).await
        }
        .boxed()
    }

    fn hello(&self, from: Caller, hello: Hello) -> BoxFuture<'_, Hello> {
        let log = self.log.borrow().clone();
        let lineage = log.as_ref().map(|(log, _)| log.view().fleet.meta().lineage);
        let cluster_id = lineage.filter(|lineage| *lineage != 0);
        if matches!(from, Caller::Bearer(_))
            && hello.cluster_id.is_some()
            && hello.cluster_id != cluster_id
        {
            tracing::warn!(
                reason = "foreign_cluster",
                joining.version = %hello.version,
                "a node was not let in: its token names another cluster"
            );
        }
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            level: FEATURE_LEVEL,
            cluster_id,
            node: log.map(|(log, _)| log.status().node),
        };
        std::future::ready(hello).boxed()
    }

    fn join(&self, token: KeyHash, key: KeyHash, join: Join) -> BoxFuture<'_, Redeemed> {
        self.let_in(token, key, join).boxed()
    }

    fn exchange(&self, _from: NodeId, exchange: Exchange) -> BoxFuture<'_, Exchanged> {
        async move {
            match self.room.get() {
                Some(room) => forward::answer(room, exchange).await,
                None => Exchanged {
                    status: UNAVAILABLE,
                    headers: Vec::new(),
                    body: Bytes::new(),
                },
            }
        }
        .boxed()
    }

    fn last_seen(&self, _from: NodeId, uids: Vec<InstanceUid>) -> BoxFuture<'_, Vec<Option<Seen>>> {
        let room = self.room.get();
        let seen = uids.into_iter().map(|uid| {
            let room = room?;
            let presence = room.registry.presence(uid, room.clock.boot_ms())?;
            Some(Seen {
                seen_wall_ms: presence.seen_wall_ms,
                silent_ms: presence.silent_ms,
            })
        });
        std::future::ready(seen.collect()).boxed()
    }

    fn history(&self, _from: NodeId, query: Query) -> BoxFuture<'_, Part> {
        async move {
            let Some(past) = self.past.get() else {
                return Part::default();
            };
            past.here(query).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "history could not be read for another node");
                Part::default()
            })
        }
        .boxed()
    }

    fn body(&self, _from: NodeId, hash: BodyHash) -> BoxFuture<'_, Option<Bytes>> {
        async move {
            let room = self.room.get()?.clone();
            // a file is read
            let read = tokio::task::spawn_blocking(move || room.bodies.get(hash)).await;
            match read.map_err(std::io::Error::other).and_then(|read| read) {
                Ok(body) => body.map(Bytes::from),
                Err(error) => {
                    tracing::warn!(%error, "a reported body could not be read for another node");
                    None
                }
            }
        }
        .boxed()
    }
}
