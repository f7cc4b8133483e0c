//! What nodes ask of each other and answer. Variants and fields are persistent on the wire while a cluster is upgraded:
//! append variants at the end, never change a struct.

use std::net::IpAddr;
use std::sync::Arc;

use ampora_raft::consensus::{RaftRequest, RaftResponse};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_storage::history::event::EventKind;
use ampora_storage::history::query::{PAGE_MAX, Part, Query};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::key::KeyHash;
use super::trust::Caller;

/// Agents that one [`PeerCall::LastSeen`] asks for at most: a page of a list.
pub(super) const UIDS_MAX: usize = 1000;

/// Headers of a forwarded exchange at most.
pub(super) const HEADERS_MAX: usize = 16;

/// Bytes of the names and values of those headers at most.
pub(super) const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a text that somebody says of itself who may be no member: it stands in logs.
const TEXT_BYTES_MAX: usize = 1024;

/// What a node asks of another one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerCall {
    /// For consensus; answered by [`PeerAnswer::Raft`].
    Raft(RaftRequest),
    /// Who are you? Bearers of a join token may ask; answered by [`PeerAnswer::Hello`].
    Hello(Hello),
    /// How nodes asked to become members before bearers of a token had a key; not served any more.
    Redeem(Redeem),
    /// One plain-HTTP exchange of an agent whose session the called node owns; answered by
    /// [`PeerAnswer::Exchanged`].
    Exchange(Exchange),
    /// When these agents, at most a thousand, were heard last; answered by [`PeerAnswer::LastSeen`].
    LastSeen(Vec<InstanceUid>),
    /// A body that an agent reported, from its home; answered by [`PeerAnswer::Body`].
    Body(BodyHash),
    /// To become a member; bearers of a join token alone may ask; answered by [`PeerAnswer::Redeemed`].
    Join(Join),
    /// What history the called node itself has of an agent; answered by [`PeerAnswer::History`].
    History(Query),
}

/// What the other one answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerAnswer {
    /// From consensus.
    Raft(RaftResponse),
    /// Who answers.
    Hello(Hello),
    /// What became of a try to join.
    Redeemed(Redeemed),
    /// What the agent is answered.
    Exchanged(Exchanged),
    /// In the order of the question; nothing of agents that are not known here.
    LastSeen(Vec<Option<Seen>>),
    /// At most 8 MiB; nothing when it is not here.
    Body(Option<Bytes>),
    /// The call was not served.
    Refused(Refusal),
    /// Nothing is served to the node that asks: it is no member any more.
    Removed(Removed),
    /// At most what a page may have.
    History(Part),
}

/// Why a call was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Members alone may ask that.
    #[error("the node there serves members of its cluster alone")]
    NotAMember,
    /// It could not be decoded: damaged, or of a newer version.
    #[error("the node there does not understand this: it may run an older version")]
    Unreadable,
    /// It asks for more than is given at once, or its answer would be larger than anything that is said here.
    #[error("the call, or its answer, is too large to be sent between nodes")]
    TooLarge,
    /// It was not answered within the time that its caller waits.
    #[error("the node there did not answer in time")]
    TooLate,
    /// Whoever asks has shown no join token.
    #[error("only the bearer of a join token may ask that")]
    NoToken,
    /// It asks to join in the way of an older version.
    #[error(
        "the node there does not let nodes of this version join: use the version of the cluster"
    )]
    Retired,
    /// The newcomer does not hold the key by which it wants to be known.
    #[error("the newcomer has not proven that it holds its key")]
    Unproven,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Of its program.
    pub version: Arc<str>,
    /// The highest feature level that it knows.
    pub level: u16,
    /// The lineage of its cluster; none when it belongs to none yet.
    pub cluster_id: Option<u128>,
    /// Its id; none when it has none yet.
    pub node: Option<NodeId>,
}

/// A try to join by the bearer of a token. Again with the same key it is the same join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The `SubjectPublicKeyInfo` of the key by which the newcomer will be known.
    pub public_key: Bytes,
    /// That it holds this key, in this session alone.
    pub signature: Bytes,
    /// `host:port` at which the newcomer is reached.
    pub peer_address: Arc<str>,
    /// Shown to people.
    pub name: Arc<str>,
    /// Of its program.
    pub version: Arc<str>,
    /// The highest feature level that it knows.
    pub level: u16,
    /// The id that it is configured with.
    pub wanted: Option<NodeId>,
}

/// What a node that was removed has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The lineage of the cluster that it was a member of.
    pub cluster_id: u128,
    /// Its id there.
    pub node: NodeId,
}

/// What a try to join was before [`Join`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeem {
    /// Of the join token.
    pub secret: [u8; 32],
    /// `host:port` at which the newcomer is reached.
    pub peer_address: Arc<str>,
    /// Shown to people.
    pub name: Arc<str>,
    /// Of its program.
    pub version: Arc<str>,
    /// The highest feature level that it knows.
    pub level: u16,
    /// The id that it is configured with.
    pub wanted: Option<NodeId>,
}

impl std::fmt::Debug for Redeem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redeem")
            .field("peer_address", &self.peer_address)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("level", &self.level)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// What became of a try to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redeemed {
    /// The newcomer belongs to the cluster.
    Joined(Joined),
    /// It does not, and nothing changed.
    Refused {
        /// A word for programs, such as `join_token_spent`.
        code: Arc<str>,
        /// A sentence for people.
        text: Arc<str>,
    },
}

/// What a newcomer has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its id, for ever.
    pub node: NodeId,
    /// The lineage of the cluster.
    pub cluster_id: u128,
    /// Where the others are.
    pub members: Vec<Member>,
}

/// A member of the cluster, as a newcomer has to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// What it is known by.
    pub key: KeyHash,
    /// `host:port` at which it is reached.
    pub address: Arc<str>,
}

/// A plain-HTTP exchange that is forwarded to the owner of its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Who the agent's request is from, as the node that took it judged.
    pub client: IpAddr,
    /// The id of the credential that the agent showed there.
    pub token: Option<Arc<str>>,
    /// Headers that matter to the owner, at most sixteen and 16 KiB.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// The message, unpacked.
    pub body: Bytes,
}

/// The answer to a forwarded exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// Status of HTTP.
    pub status: u16,
    /// Headers that matter to the agent, within the bounds of the request's.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// The answer, unpacked.
    pub body: Bytes,
}

/// When an agent was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// By the wall clock of the node that heard it, for people.
    pub seen_wall_ms: u64,
    /// For how long it has been silent there.
    pub silent_ms: u64,
}

impl PeerCall {
    /// Whether it asks for no more than may be asked at once.
    pub(super) fn is_bounded(&self) -> bool {
        match self {
            Self::Exchange(exchange) => bounded(&exchange.headers),
            Self::LastSeen(uids) => uids.len() <= UIDS_MAX,
            Self::History(query) => {
                usize::from(query.limit) <= PAGE_MAX && query.kinds.len() <= EventKind::ALL.len()
            }
            Self::Hello(hello) => is_short(&hello.version),
            Self::Join(join) => [&join.peer_address, &join.name, &join.version]
                .into_iter()
                .all(|text| is_short(text)),
            Self::Raft(_) | Self::Redeem(_) | Self::Body(_) => true,
        }
    }

    /// Whether somebody may ask it who is no member yet.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Hello(_) | Self::Redeem(_) | Self::Join(_) => true,
            Self::Raft(_)
            | Self::Exchange(_)
            | Self::LastSeen(_)
            | Self::Body(_)
            | Self::History(_) => false,
        }
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX
}

fn bounded(headers: &[(Arc<str>, Bytes)]) -> bool {
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len());
    headers.len() <= HEADERS_MAX && bytes.sum::<usize>() <= HEADER_BYTES_MAX
}

/// The node, as other nodes ask it. A future is dropped when nobody waits for its answer any more.
pub trait PeerCalls: Send + Sync + 'static {
    /// For consensus.
    fn raft(&self, from: NodeId, request: RaftRequest) -> BoxFuture<'_, RaftResponse>;

    /// Says who this node is.
    fn hello(&self, from: Caller, hello: Hello) -> BoxFuture<'_, Hello>;

    /// Lets a node join whose key is `key`, which it has proven to hold; `token` is the key of the token that it bears.
    fn join(&self, token: KeyHash, key: KeyHash, join: Join) -> BoxFuture<'_, Redeemed>;

    /// Answers an agent that another node heard.
    fn exchange(&self, from: NodeId, exchange: Exchange) -> BoxFuture<'_, Exchanged>;

    /// When agents were heard last by this node, in the order of the question.
    fn last_seen(&self, from: NodeId, uids: Vec<InstanceUid>) -> BoxFuture<'_, Vec<Option<Seen>>>;

    /// A body that this node keeps.
    fn body(&self, from: NodeId, hash: BodyHash) -> BoxFuture<'_, Option<Bytes>>;

    /// What history this node itself has of an agent; nothing where none is kept.
    fn history(&self, _from: NodeId, _query: Query) -> BoxFuture<'_, Part> {
        Box::pin(std::future::ready(Part::default()))
    }
}

#[cfg(test)]
mod tests {
    use ampora_raft::ids::Fence;
    use ampora_storage::codec::{Kind, encode_message};
    use ampora_storage::history::event::StreamId;
    use ampora_storage::history::query::{Item, Position};
    use serde_json::json;

    use super::*;

    fn position() -> Position {
        Position {
            at_ms: 300,
            stream: StreamId(7),
            seq: 1,
        }
    }

    fn calls() -> [PeerCall; 8] {
        let raft = serde_json::from_value(json!("ReadIndex")).expect("a request");
        let hello = Hello {
            version: "1.2".into(),
            level: 2,
            cluster_id: Some(3),
            node: None,
        };
        let redeem = Redeem {
            secret: [1; 32],
            peer_address: "a:1".into(),
            name: "n".into(),
            version: "1.2".into(),
            level: 2,
            wanted: Some(NodeId(300)),
        };
        let join = Join {
            public_key: Bytes::from_static(b"key"),
            signature: Bytes::from_static(b"sig"),
            peer_address: "a:1".into(),
            name: "n".into(),
            version: "1.2".into(),
            level: 2,
            wanted: Some(NodeId(300)),
        };
        let exchange = Exchange {
            client: [192, 0, 2, 1].into(),
            token: None,
            headers: vec![("h".into(), Bytes::from_static(b"v"))],
            body: Bytes::from_static(b"body"),
        };
        [
            PeerCall::Raft(raft),
            PeerCall::Hello(hello),
            PeerCall::Redeem(redeem),
            PeerCall::Exchange(exchange),
            PeerCall::LastSeen(vec![InstanceUid::from_u128(5)]),
            PeerCall::Body(BodyHash([7; 32])),
            PeerCall::Join(join),
            PeerCall::History(Query {
                agent: InstanceUid::from_u128(5),
                since_ms: Some(300),
                until_ms: None,
                kinds: vec![EventKind::Health],
                below: Some(position()),
                limit: 300,
            }),
        ]
    }

    fn answers() -> [PeerAnswer; 16] {
        let raft = serde_json::from_value(json!({"ReadIndex": {"Ok": 5}})).expect("a response");
        let hello = Hello {
            version: "1.2".into(),
            level: 2,
            cluster_id: None,
            node: Some(NodeId(1)),
        };
        let member = Member {
            node: NodeId(1),
            key: [2; 32],
            address: "a:1".into(),
        };
        let joined = Joined {
            node: NodeId(4),
            cluster_id: 3,
            members: vec![member],
        };
        let refused = Redeemed::Refused {
            code: "c".into(),
            text: "t".into(),
        };
        let exchanged = Exchanged {
            status: 200,
            headers: vec![],
            body: Bytes::from_static(b"body"),
        };
        let removed = Removed {
            cluster_id: 3,
            node: NodeId(4),
        };
        let seen = Seen {
            seen_wall_ms: 300,
            silent_ms: 4,
        };
        [
            PeerAnswer::Raft(raft),
            PeerAnswer::Hello(hello),
            PeerAnswer::Redeemed(Redeemed::Joined(joined)),
            PeerAnswer::Redeemed(refused),
            PeerAnswer::Exchanged(exchanged),
            PeerAnswer::LastSeen(vec![None, Some(seen)]),
            PeerAnswer::Body(Some(Bytes::from_static(b"body"))),
            PeerAnswer::Refused(Refusal::NotAMember),
            PeerAnswer::Refused(Refusal::Unreadable),
            PeerAnswer::Refused(Refusal::TooLarge),
            PeerAnswer::Refused(Refusal::TooLate),
            PeerAnswer::Refused(Refusal::NoToken),
            PeerAnswer::Refused(Refusal::Retired),
            PeerAnswer::Refused(Refusal::Unproven),
            PeerAnswer::Removed(removed),
            PeerAnswer::History(Part {
                items: vec![Item {
                    position: position(),
                    node: NodeId(1),
                    fence: Fence(300),
                    kind: EventKind::Packages,
                    body: "{}".to_owned(),
                }],
                next: Some(position()),
            }),
        ]
    }

    fn body(kind: Kind, value: &impl Serialize) -> String {
        let bytes = encode_message(kind, value).expect("small");
        // without the envelope
        hex::encode(&bytes[9..bytes.len() - 4])
    }

    /// Nodes of two versions understand each other while a cluster is upgraded: lines are added, none is changed.
    #[test]
    fn the_bytes_of_calls_and_answers_stay() {
        let calls = calls().map(|call| body(Kind::PeerCall, &call));
        assert_eq!(calls, CALLS.map(str::to_owned));
        let answers = answers().map(|answer| body(Kind::PeerAnswer, &answer));
        assert_eq!(answers, ANSWERS.map(str::to_owned));
    }

    const CALLS: [&str; 8] = [
        "0007",
        "0103312e3202010300",
        "02010101010101010101010101010101010101010101010101010101010101010103613a31016e03312e320201fb2c01",
        "0300c000020100010168017604626f6479",
        "04011000000000000000000000000000000005",
        "050707070707070707070707070707070707070707070707070707070707070707",
        "06036b65790373696703613a31016e03312e320201fb2c01",
        "07100000000000000000000000000000000501fb2c0100010201fb2c010701fb2c01",
    ];
    const ANSWERS: [&str; 16] = [
        "00070005",
        "0103312e3202000101",
        "020004030101020202020202020202020202020202020202020202020202020202020202020203613a31",
        "020101630174",
        "03c80004626f6479",
        "04020001fb2c0104",
        "050104626f6479",
        "0600",
        "0601",
        "0602",
        "0603",
        "0604",
        "0605",
        "0606",
        "070304",
        "0801fb2c01070101fb2c0106027b7d01fb2c010701",
    ];

    #[test]
    fn a_secret_is_not_shown() {
        let [_, _, redeem, ..] = calls();
        assert!(!format!("{redeem:?}").contains("secret"));
    }
}
