//! Rows: the durable form of the fleet. Keys are ordered bytes, values typed records; how values are
//! encoded and kept is the business of whoever implements [`crate::consensus::RowStore`].

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, DispatchId, InstanceUid, NodeId};
use crate::outcome::Outcome;
use crate::records::{
    AgentRecord, AuditHead, AuditRecord, BodyMeta, ClusterHead, Configuration, Delivery, Dispatch,
    Downtime, Enrollment, EnrollmentToken, FleetMeta, Group, JoinToken, Lease, Liveness,
    MemberNote, Node, Peer, Rollout, RolloutRules, Token, TokenNote,
};

/// The name of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RowKey {
    /// The head of the fleet.
    Meta,
    /// A node.
    Node(NodeId),
    /// An agent.
    Agent(InstanceUid),
    /// A configuration with the list of its versions.
    Configuration(Arc<str>),
    /// What is known of a body.
    BodyMeta(ConfigHash),
    /// One part of a body: a row that is not in memory.
    BodyPart(ConfigHash, u16),
    /// A group.
    Group(Arc<str>),
    /// A dispatch.
    Dispatch(DispatchId),
    /// A delivery.
    Delivery(DispatchId, InstanceUid),
    /// A token.
    Token(Arc<str>),
    /// What an idempotency key was answered.
    Idempotency(Arc<str>),
    /// Where the audit chain stands.
    AuditHead,
    /// A record of the audit chain: a row that is not in memory.
    Audit(u64),
    /// What deadline time has beyond fleet time.
    Downtime,
    /// How the change of a group goes.
    Rollout(Arc<str>),
    /// When a change counts as failed.
    RolloutRules,
    /// A token with which agents enroll.
    EnrollmentToken(Arc<str>),
    /// With which token an agent came.
    Enrollment(InstanceUid),
    /// What people ask of an operator's token.
    TokenNote(Arc<str>),
    /// How long a node is held for live.
    Liveness(NodeId),
    /// Who performs a duty.
    Lease(Arc<str>),
    /// How a node is known to the others.
    Peer(NodeId),
    /// A token with which nodes join.
    JoinToken(Arc<str>),
    /// Counters of the cluster.
    ClusterHead,
    /// What stands against a node.
    MemberNote(NodeId),
}

/// The value of a row. Variants are append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// See [`RowKey::Meta`].
    Meta(Arc<FleetMeta>),
    /// See [`RowKey::Node`].
    Node(Arc<Node>),
    /// See [`RowKey::Agent`].
    Agent(Arc<AgentRecord>),
    /// See [`RowKey::Configuration`].
    Configuration(Arc<Configuration>),
    /// See [`RowKey::BodyMeta`].
    BodyMeta(Arc<BodyMeta>),
    /// See [`RowKey::BodyPart`].
    BodyPart(Bytes),
    /// See [`RowKey::Group`].
    Group(Arc<Group>),
    /// See [`RowKey::Dispatch`].
    Dispatch(Arc<Dispatch>),
    /// See [`RowKey::Delivery`].
    Delivery(Arc<Delivery>),
    /// See [`RowKey::Token`].
    Token(Arc<Token>),
    /// See [`RowKey::Idempotency`].
    Idempotency(Arc<IdempotencyRow>),
    /// See [`RowKey::AuditHead`].
    AuditHead(Arc<AuditHead>),
    /// See [`RowKey::Audit`].
    Audit(Arc<AuditRecord>),
    /// See [`RowKey::Downtime`].
    Downtime(Arc<Downtime>),
    /// See [`RowKey::Rollout`].
    Rollout(Arc<Rollout>),
    /// See [`RowKey::RolloutRules`].
    RolloutRules(RolloutRules),
    /// See [`RowKey::EnrollmentToken`].
    EnrollmentToken(Arc<EnrollmentToken>),
    /// See [`RowKey::Enrollment`].
    Enrollment(Arc<Enrollment>),
    /// See [`RowKey::TokenNote`].
    TokenNote(Arc<TokenNote>),
    /// See [`RowKey::Liveness`].
    Liveness(Arc<Liveness>),
    /// See [`RowKey::Lease`].
    Lease(Arc<Lease>),
    /// See [`RowKey::Peer`].
    Peer(Arc<Peer>),
    /// See [`RowKey::JoinToken`].
    JoinToken(Arc<JoinToken>),
    /// See [`RowKey::ClusterHead`].
    ClusterHead(Arc<ClusterHead>),
    /// See [`RowKey::MemberNote`].
    MemberNote(Arc<MemberNote>),
}

/// What an idempotency key was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// The digest of the request.
    pub digest: [u8; 32],
    /// The answer.
    pub outcome: Outcome,
    /// The log index of the entry: the order in which keys leave when there are too many.
    pub index: u64,
    /// Fleet time, for retention.
    pub at_ms: u64,
}

impl RowKey {
    /// First bytes of the keys of rows that are not in memory, ascending.
    pub const BESIDE_MEMORY: [u8; 2] = [5, 12];

    /// Whether the row is not in memory: it is written and read through the store alone.
    pub fn is_beside_memory(&self) -> bool {
        Self::BESIDE_MEMORY.contains(&self.kind())
    }

    /// The key as bytes: one byte for the kind, then the fields, numbers big-endian, a name raw at the end.
    /// Frozen; within a kind the order of the bytes is the order of the keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind()];
        match self {
            Self::Meta
            | Self::AuditHead
            | Self::Downtime
            | Self::RolloutRules
            | Self::ClusterHead => {}
            Self::Node(id) | Self::Liveness(id) | Self::Peer(id) | Self::MemberNote(id) => {
                bytes.extend(id.0.to_be_bytes());
            }
            Self::Agent(uid) | Self::Enrollment(uid) => bytes.extend(uid.as_bytes()),
            Self::BodyMeta(hash) => bytes.extend(hash.0),
            Self::BodyPart(hash, part) => {
                bytes.extend(hash.0);
                bytes.extend(part.to_be_bytes());
            }
            Self::Dispatch(id) => bytes.extend(id.0.to_be_bytes()),
            Self::Audit(seq) => bytes.extend(seq.to_be_bytes()),
            Self::Delivery(id, uid) => {
                bytes.extend(id.0.to_be_bytes());
                bytes.extend(uid.as_bytes());
            }
            Self::Configuration(name)
            | Self::Group(name)
            | Self::Token(name)
            | Self::Idempotency(name)
            | Self::Rollout(name)
            | Self::EnrollmentToken(name)
            | Self::TokenNote(name)
            | Self::Lease(name)
            | Self::JoinToken(name) => bytes.extend(name.as_bytes()),
        }
        bytes
    }

    /// The key that [`RowKey::to_bytes`] wrote; `None` for bytes that it never writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let name = || std::str::from_utf8(rest).ok().map(Arc::<str>::from);
        let node = || Some(NodeId(u64::from_be_bytes(rest.try_into().ok()?)));
        Some(match kind {
            0 if rest.is_empty() => Self::Meta,
            1 => Self::Node(node()?),
            2 => Self::Agent(InstanceUid::from_bytes(rest.try_into().ok()?)),
            3 => Self::Configuration(name()?),
            4 => Self::BodyMeta(ConfigHash(rest.try_into().ok()?)),
            5 => {
                let (hash, part) = rest.split_first_chunk::<32>()?;
                Self::BodyPart(ConfigHash(*hash), u16::from_be_bytes(part.try_into().ok()?))
            }
            6 => Self::Group(name()?),
            7 => Self::Dispatch(DispatchId(u64::from_be_bytes(rest.try_into().ok()?))),
            8 => {
                let (id, uid) = rest.split_first_chunk::<8>()?;
                let uid = InstanceUid::from_bytes(uid.try_into().ok()?);
                Self::Delivery(DispatchId(u64::from_be_bytes(*id)), uid)
            }
            9 => Self::Token(name()?),
            10 => Self::Idempotency(name()?),
            11 if rest.is_empty() => Self::AuditHead,
            12 => Self::Audit(u64::from_be_bytes(rest.try_into().ok()?)),
            20 if rest.is_empty() => Self::Downtime,
            16 => Self::Rollout(name()?),
            17 if rest.is_empty() => Self::RolloutRules,
            13 => Self::EnrollmentToken(name()?),
            14 => Self::Enrollment(InstanceUid::from_bytes(rest.try_into().ok()?)),
            15 => Self::TokenNote(name()?),
            18 => Self::Liveness(node()?),
            19 => Self::Lease(name()?),
            21 => Self::Peer(node()?),
            22 => Self::JoinToken(name()?),
            23 if rest.is_empty() => Self::ClusterHead,
            24 => Self::MemberNote(node()?),
            _ => return None,
        })
    }

    /// The first byte of the encoding; kinds are append-only.
    fn kind(&self) -> u8 {
        match self {
            Self::Meta => 0,
            Self::Node(_) => 1,
            Self::Agent(_) => 2,
            Self::Configuration(_) => 3,
            Self::BodyMeta(_) => 4,
            Self::BodyPart(..) => 5,
            Self::Group(_) => 6,
            Self::Dispatch(_) => 7,
            Self::Delivery(..) => 8,
            Self::Token(_) => 9,
            Self::Idempotency(_) => 10,
            Self::AuditHead => 11,
            Self::Audit(_) => 12,
            Self::Downtime => 20,
            Self::Rollout(_) => 16,
            Self::RolloutRules => 17,
            Self::EnrollmentToken(_) => 13,
            Self::Enrollment(_) => 14,
            Self::TokenNote(_) => 15,
            Self::Liveness(_) => 18,
            Self::Lease(_) => 19,
            Self::Peer(_) => 21,
            Self::JoinToken(_) => 22,
            Self::ClusterHead => 23,
            Self::MemberNote(_) => 24,
        }
    }
}
