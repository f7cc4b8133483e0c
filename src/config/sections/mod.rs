//! The typed configuration, one file per group of sections; each section stands with the keys that fill it.

mod fleet;
mod history;
mod listeners;
mod network;
mod node;
mod opamp;

pub use self::{
    fleet::{Agents, Cluster, Dispatch, JOIN_TOKEN_PREFIX, JoinBy, Rollout},
    history::{Audit, History, Live, Postgres, PostgresTls},
    listeners::{Admin, Metrics, Peer, Tls},
    network::Network,
    node::{Log, LogFormat, Node},
    opamp::{Auth, Opamp},
};
use super::key::Key;

/// The complete configuration of one node, validated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Keys under `node`.
    pub node: Node,
    /// Keys under `opamp`: the agents' listener and what is offered to agents.
    pub opamp: Opamp,
    /// Keys under `admin`: REST, dashboard, health and metrics.
    pub admin: Admin,
    /// Keys under `peer`: node to node.
    pub peer: Peer,
    /// Keys under `metrics`.
    pub metrics: Metrics,
    /// Keys under `agents`: bounds of the inventory.
    pub agents: Agents,
    /// Keys under `rollout`.
    pub rollout: Rollout,
    /// Keys under `cluster`.
    pub cluster: Cluster,
    /// Keys under `dispatch`: leases.
    pub dispatch: Dispatch,
    /// Keys under `postgres`.
    pub postgres: Postgres,
    /// Keys under `history`.
    pub history: History,
    /// Keys under `audit`.
    pub audit: Audit,
    /// Keys under `live`.
    pub live: Live,
    /// Keys under `log`.
    pub log: Log,
}

/// Every key there is, in the order in which documentation and printed configurations list them.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    [
        node::NODE,
        opamp::OPAMP,
        listeners::ADMIN,
        listeners::PEER_AND_METRICS,
        fleet::KEYS,
        history::POSTGRES,
        history::STREAMS,
        node::LOG,
    ]
    .into_iter()
    .flatten()
}
