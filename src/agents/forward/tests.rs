//! Polls that come to either of two nodes, whatever the way between them does.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ampora_proto::wire;
use prost::Message as _;

use super::*;
use crate::agents::connection::Door;
use crate::agents::testing::{Nodes, run, until};
use crate::opamp::{Agents, Transport as By};

/// The way from one node to another.
struct Way {
    to: Arc<Room>,
    open: AtomicBool,
    hops: AtomicU64,
}

impl Elsewhere for Way {
    fn exchange(
        &self,
        node: NodeId,
        exchange: Exchange,
        _: Duration,
    ) -> BoxFuture<'_, io::Result<Exchanged>> {
        assert_eq!(node, self.to.author.node);
        self.hops.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.open.load(Ordering::Relaxed) {
                Ok(answer(&self.to, exchange).await)
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        })
    }

    fn last_seen(
        &self,
        _: NodeId,
        _: Vec<InstanceUid>,
        _: Duration,
    ) -> BoxFuture<'_, io::Result<Vec<Option<Seen>>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

struct Poller {
    uid: InstanceUid,
    sequence: u64,
}

impl Poller {
    /// What the agent hears, or that it is to come back.
    async fn poll(&mut self, room: &Arc<Room>) -> Option<wire::ServerToAgent> {
        let mut message = wire::AgentToServer {
            instance_uid: Bytes::copy_from_slice(self.uid.as_bytes()),
            sequence_num: self.sequence,
            capabilities: 0x1,
            ..Default::default()
        };
        if self.sequence == 0 {
            message.agent_description = Some(wire::AgentDescription::default());
        }
        let peer = Peer {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: By::Http,
            connection: 1,
            token: None,
        };
        let door = Door::new(room.clone());
        let polled = door.poll(peer, message.encode_to_vec().into());
        let answer = polled.await.ok()?;
        self.sequence += 1;
        Some(wire::ServerToAgent::decode(answer.bytes).expect("a reply"))
    }
}

/// Two nodes that reach each other.
fn joined(nodes: &Nodes) -> [Arc<Way>; 2] {
    [(1, 2), (2, 1)].map(|(from, to)| {
        let way = Arc::new(Way {
            to: nodes.node(to).clone(),
            open: AtomicBool::new(true),
            hops: AtomicU64::new(0),
        });
        assert!(nodes.node(from).elsewhere.set(way.clone()).is_ok());
        way
    })
}

fn poller() -> Poller {
    Poller {
        uid: InstanceUid::from_u128(5 | 7 << 76 | 8 << 60),
        sequence: 0,
    }
}

/// C-051, C-101.
#[test]
fn polls_to_either_node_are_one_session() {
    run(async {
        let nodes = Nodes::start(2).await;
        let [there, _back] = joined(&nodes);
        let mut agent = poller();
        for turn in 0..20 {
            let room = nodes.node(if turn % 2 == 0 { 2 } else { 1 });
            let reply = agent.poll(room).await.expect("an answer");
            assert!(turn == 0 || reply.flags == 0, "{turn}: asked again");
            until(|| nodes.owner(agent.uid) == Some(2)).await;
        }
        assert_eq!(there.hops.load(Ordering::Relaxed), 10);
    });
}

/// The second poll of a new agent is heard by a node that does not know yet whose the first one was. A machine that stalls
/// may let the claim of the second come first: of some agents one is enough.
#[test]
fn polls_that_overtake_the_news_of_their_session_are_one_session() {
    run(async {
        let nodes = Nodes::start(2).await;
        let [there, _back] = joined(&nodes);
        for number in 0..5 {
            let uid = InstanceUid::from_u128(poller().uid.as_u128() + number);
            let [mut first, mut second] = [0, 1].map(|sequence| Poller { uid, sequence });
            let hops = there.hops.load(Ordering::Relaxed);
            let polls = tokio::join!(first.poll(nodes.node(2)), second.poll(nodes.node(1)));
            // who is to come back has met a claim that took long
            let flags = [polls.0, polls.1].map(|reply| reply.map_or(u64::MAX, |reply| reply.flags));
            if flags == [0, 0] && nodes.owner(uid) == Some(2) {
                assert_eq!(there.hops.load(Ordering::Relaxed), hops + 1);
                assert!(nodes.node(1).registry.get(uid).is_none());
                return;
            }
        }
        panic!("every agent was asked for everything");
    });
}

#[test]
fn an_owner_that_does_not_answer_loses_the_session_once_in_a_minute() {
    run(async {
        let nodes = Nodes::start(2).await;
        let ways = joined(&nodes);
        let mut agent = poller();
        assert!(agent.poll(nodes.node(2)).await.is_some());
        until(|| nodes.owner(agent.uid) == Some(2)).await;
        for way in &ways {
            way.open.store(false, Ordering::Relaxed);
        }
        assert!(agent.poll(nodes.node(1)).await.is_some());
        until(|| nodes.owner(agent.uid) == Some(1)).await;
        let left = nodes.node(2);
        until(|| left.registry.get(agent.uid).is_none()).await;
        // the other node may take it back, once
        assert!(agent.poll(left).await.is_some());
        until(|| nodes.owner(agent.uid) == Some(2)).await;
        let left = nodes.node(1);
        until(|| left.registry.get(agent.uid).is_none()).await;
        assert!(agent.poll(left).await.is_none(), "it comes back later");
        assert_eq!(nodes.owner(agent.uid), Some(2));
        nodes.pass(60_000);
        assert!(agent.poll(left).await.is_some());
        until(|| nodes.owner(agent.uid) == Some(1)).await;
    });
}

#[test]
fn who_does_not_own_the_session_asks_nobody_else() {
    run(async {
        let nodes = Nodes::start(1).await;
        let exchange = Exchange {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            token: None,
            headers: Vec::new(),
            body: wire::AgentToServer {
                instance_uid: Bytes::copy_from_slice(poller().uid.as_bytes()),
                ..Default::default()
            }
            .encode_to_vec()
            .into(),
        };
        let answered = answer(nodes.node(1), exchange.clone()).await;
        assert_eq!(answered.status, MISDIRECTED);
        let broken = Exchange {
            body: Bytes::from_static(&[0xff]),
            ..exchange
        };
        assert_eq!(answer(nodes.node(1), broken).await.status, BAD_REQUEST);
        assert_eq!(nodes.owner(poller().uid), None);
    });
}
