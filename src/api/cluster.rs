//! `GET /cluster`: the nodes as this one knows them. It answers without a leader too.

pub(crate) mod snapshots;

use std::collections::BTreeMap;

use ampora_raft::ids::NodeId;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;
use super::agents::STRIDE;
use super::backend::View;
use super::extract::Params;
use super::problem::Problem;

/// No parameters.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// `GET /cluster`.
pub(crate) async fn show(
    State(api): State<Api>,
    Params(NoQuery {}): Params<NoQuery>,
) -> Result<Json<Value>, Problem> {
    let view = api.backend.view();
    let status = api.backend.status();
    let sessions = sessions(&view).await;
    let nodes: Vec<Value> = view
        .fleet
        .nodes()
        .map(|node| {
            let is_voter = status.voters.contains(&node.id);
            let is_this = node.id == status.node;
            json!({
                "id": node.id.0,
                "name": node.name,
                "role": if is_voter { "voter" } else { "learner" },
                "live": node.live,
                "version": node.version,
                "sessions": sessions.get(&node.id).copied().unwrap_or(0),
                "opamp_address": node.opamp_address,
                "admin_address": node.admin_address,
                "peer_address": is_this.then(|| api.settings.peer_address.clone()),
                "lag": is_this.then(|| {
                    status.committed_index.saturating_sub(view.applied_index)
                }),
            })
        })
        .collect();
    Ok(Json(json!({
        "cluster_id": format!("{:032x}", view.fleet.meta().lineage),
        "node_id": status.node.0,
        "leader_id": status.leader.map(|leader| leader.0),
        "term": status.term,
        "applied_index": view.applied_index,
        "last_log_index": status.last_log_index,
        "snapshot_index": status.snapshot_index,
        "quorum": status.leader.is_some(),
        "agents": view.fleet.agents_len(),
        "nodes": nodes,
    })))
}

/// Valid sessions of each node, counted in strides.
async fn sessions(view: &View) -> BTreeMap<NodeId, usize> {
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
