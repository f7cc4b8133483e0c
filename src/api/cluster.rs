//! `GET /cluster`: the nodes as this one knows them. It answers without a leader too.

pub(crate) mod leases;
pub(crate) mod sessions;
pub(crate) mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::agents::STRIDE;
use super::backend::View;
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
    last_log_index: u64,
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
    admin_address: Arc<str>,
    id: u64,
    /// Entries behind what is committed; known of the node that answers.
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
    let sessions = counted(&view).await;
    let nodes = view
        .fleet
        .nodes()
        .map(|node| {
            let is_voter = status.voters.contains(&node.id);
            let is_this = node.id == status.node;
            Node {
                admin_address: node.admin_address.clone(),
                id: node.id.0,
                lag: is_this.then(|| status.committed_index.saturating_sub(view.applied_index)),
                live: node.live,
                name: node.name.clone(),
                opamp_address: node.opamp_address.clone(),
                peer_address: is_this.then(|| api.settings.peer_address.clone()),
                role: if is_voter { "voter" } else { "learner" },
                sessions: sessions.get(&node.id).copied().unwrap_or(0),
                version: node.version.clone(),
            }
        })
        .collect();
    Ok(Json(Cluster {
        agents: view.fleet.agents_len(),
        applied_index: view.applied_index,
        cluster_id: format!("{:032x}", view.fleet.meta().lineage),
        last_log_index: status.last_log_index,
        leader_id: status.leader.map(|leader| leader.0),
        node_id: status.node.0,
        nodes,
        quorum: status.quorum,
        snapshot_index: status.snapshot_index,
        term: status.term,
    }))
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
