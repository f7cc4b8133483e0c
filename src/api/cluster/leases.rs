//! `GET /cluster/leases`: which node performs which duty of the cluster, and how long it may without renewing.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::records::Lease;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::NoQuery;
use crate::api::Api;
use crate::api::extract::Params;
use crate::api::openapi::Operation;
use crate::api::problem::Problem;

/// All named leases.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Leases {
    applied_index: u64,
    items: Vec<Named>,
}

/// A duty that one node performs at a time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Named {
    /// The incarnation that took it.
    epoch: u64,
    /// Milliseconds of fleet time until the holder loses it unless it renews; null where nothing expires, as on a node
    /// alone, and where nobody holds it.
    expires_in_ms: Option<u64>,
    /// Grows with every holder.
    fence: u64,
    /// Whether the holder is alive in the incarnation that took it.
    held: bool,
    name: Arc<str>,
    node_id: u64,
}

pub(super) fn operation() -> Operation {
    Operation::get("/api/v1/cluster/leases", "list_leases", "Named leases")
        .says("Who performs the duties of the cluster, as this node knows it.")
        .query::<NoQuery>()
        .answers::<Leases>(200, "All leases, by name")
}

/// `GET /cluster/leases`; there are at most [`ampora_raft::fleet::limits::LEASES_MAX`].
pub(crate) async fn list(
    State(api): State<Api>,
    Params(NoQuery {}): Params<NoQuery>,
) -> Result<Json<Leases>, Problem> {
    let view = api.backend.view();
    let now_ms = api.backend.now().fleet_ms;
    let leases = view.fleet.leases();
    Ok(Json(Leases {
        applied_index: view.applied_index,
        items: leases
            .map(|lease| named(&view.fleet, lease, now_ms))
            .collect(),
    }))
}

fn named(fleet: &Fleet, lease: &Lease, now_ms: u64) -> Named {
    let held = fleet.is_lease_held(lease);
    let liveness = fleet
        .liveness(lease.node)
        .filter(|liveness| held && liveness.ttl_ms > 0);
    Named {
        epoch: lease.epoch.0,
        expires_in_ms: liveness.map(|liveness| liveness.expires_ms.saturating_sub(now_ms)),
        fence: lease.fence.0,
        held,
        name: lease.name.clone(),
        node_id: lease.node.0,
    }
}
