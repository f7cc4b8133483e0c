//! `GET /cluster`: the nodes as this one knows them. It answers without a leader too.

#[cfg(test)]
mod asked_tests;
pub(crate) mod join;
pub(crate) mod leader;
pub(crate) mod leases;
pub(crate) mod members;
#[cfg(test)]
mod ownership_tests;
pub(crate) mod sessions;
pub(crate) mod snapshots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_raft::records;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::agents::STRIDE;
use super::backend::{Progress, RaftStatus, View};
use super::extract::Params;
use super::openapi::Operation;
use super::problem::Problem;

/// No parameters.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// The cluster as this node knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cluster {
    /// Agents in the fleet.
    agents: usize,
    applied_index: u64,
    /// The lineage: the identity of one unbroken history.
    cluster_id: String,
    /// What every node can apply, as finalized after the last upgrade.
    feature_level: u16,
    last_log_index: u64,
    /// Milliseconds since the leader spoke to the node that answers, or a quorum to it when it leads.
    leader_contact_ms: Option<u64>,
    leader_id: Option<u64>,
    /// The node that answers.
    node_id: u64,
    nodes: Vec<Node>,
    /// Whether the log takes entries.
    quorum: bool,
    snapshot_index: u64,
    term: u64,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Node {
    /// Empty until the node has registered.
    admin_address: Arc<str>,
    /// What its program can apply; known of nodes that others talk to.
    feature_level: Option<u16>,
    /// Whether an operator wants it to listen: it does not vote by itself.
    held: bool,
    id: u64,
    /// Entries behind what is committed, as the leader knows it; null while nobody who leads says so, but for the node
    /// that answers.
    lag: Option<u64>,
    live: bool,
    name: Arc<str>,
    opamp_address: Arc<str>,
    peer_address: Option<Arc<str>>,
    /// `voter` or `learner`.
    role: &'static str,
    /// Agents whose session it owns.
    sessions: usize,
    version: Arc<str>,
}

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = snapshots::operations();
    all.extend(join::operations());
    all.extend(members::operations());
    all.extend(leader::operations());
    all.push(leases::operation());
    all.push(sessions::operation());
    all.push(
        Operation::get(
            "/api/v1/cluster",
            "show_cluster",
            "Nodes, leader and indexes",
        )
        .says("Answers without a leader too.")
        .query::<NoQuery>()
        .answers::<Cluster>(200, "The cluster as this node knows it"),
    );
    all
}

/// `GET /cluster`.
pub(crate) async fn show(
    State(api): State<Api>,
    Params(NoQuery {}): Params<NoQuery>,
) -> Result<Json<Cluster>, Problem> {
    let view = api.backend.view();
    let status = api.backend.status();
    let (sessions, progress) = tokio::join!(counted(&view), api.backend.progress());
    let progress = progress.unwrap_or_default();
    let nodes = ids(&view, &status);
    let nodes = nodes.into_iter().map(|id| {
        let sessions = sessions.get(&id).copied().unwrap_or(0);
        node(&view, &status, &progress, id, sessions)
    });
    Ok(Json(Cluster {
        agents: view.fleet.agents_len(),
        applied_index: view.applied_index,
        cluster_id: format!("{:032x}", view.fleet.meta().lineage),
        feature_level: view.fleet.meta().feature_level,
        last_log_index: status.last_log_index,
        leader_contact_ms: status.leader_contact_ms,
        leader_id: status.leader.map(|leader| leader.0),
        node_id: status.node.0,
        nodes: nodes.collect(),
        quorum: status.quorum,
        snapshot_index: status.snapshot_index,
        term: status.term,
    }))
}

/// Everybody who registered, was let in, or follows the log.
fn ids(view: &View, status: &RaftStatus) -> BTreeSet<NodeId> {
    let registered = view.fleet.nodes().map(|node| node.id);
    let let_in = view.fleet.peers().map(|peer| peer.id);
    let members = status.voters.iter().chain(&status.learners).copied();
    registered.chain(let_in).chain(members).collect()
}

fn node(
    view: &View,
    status: &RaftStatus,
    progress: &Progress,
    id: NodeId,
    sessions: usize,
) -> Node {
    let registered = view.fleet.node(id);
    let peer = view.fleet.peer(id);
    let text = |of: fn(&records::Node) -> &Arc<str>| {
        registered.map_or_else(|| Arc::from(""), |node| of(node).clone())
    };
    Node {
        admin_address: text(|node| &node.admin_address),
        feature_level: peer.map(|peer| peer.level),
        held: view.fleet.is_held_back(id),
        id: id.0,
        lag: lag(view, status, progress, id),
        live: registered.is_some_and(|node| node.live),
        name: text(|node| &node.name),
        opamp_address: text(|node| &node.opamp_address),
        peer_address: peer.map(|peer| peer.address.clone()),
        role: if status.voters.contains(&id) {
            "voter"
        } else {
            "learner"
        },
        sessions,
        version: text(|node| &node.version),
    }
}

fn lag(view: &View, status: &RaftStatus, progress: &Progress, id: NodeId) -> Option<u64> {
    let committed = progress.committed_index.max(status.committed_index);
    let reached = if id == status.node {
        view.applied_index
    } else {
        let mut reached = progress.reached.iter();
        reached.find(|(node, _)| *node == id)?.1
    };
    Some(committed.saturating_sub(reached))
}

/// Valid sessions of each node, counted in strides.
async fn counted(view: &View) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let mut seen = 0;
        for record in view.fleet.agents(after).take(STRIDE) {
            seen += 1;
            after = Some(record.uid);
            if let Some(session) = record.session
                && view.fleet.session_valid(record)
            {
                *counts.entry(session.node).or_default() += 1;
            }
        }
        if seen < STRIDE {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}
