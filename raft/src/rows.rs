//! Rows: the durable form of the fleet. Keys are ordered bytes, values typed records; how values are
//! encoded and kept is the business of whoever implements [`crate::consensus::RowStore`].

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{ConfigHash, DispatchId, InstanceUid, NodeId};
use crate::outcome::Outcome;
use crate::records::{
    AgentRecord, BodyMeta, Configuration, Delivery, Dispatch, FleetMeta, Group, Node, Token,
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
