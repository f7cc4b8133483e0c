//! `/cluster/leader` and `/cluster/feature-level`: who leads, and what all nodes can apply.

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use axum::Json;
use axum::extract::State;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::members::{answered, known, notes_roles, voters};
use crate::api::Api;
use crate::api::backend::{MemberStep, RaftStatus, View};
use crate::api::extract::Write;
use crate::api::openapi::Operation;
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;

/// Who is to lead.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLeader)]
struct LeaderForm {
    /// Any other voter when absent.
    node_id: Option<u64>,
}

/// What all nodes can apply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFeatureLevel)]
struct LevelForm {
    /// The highest that every node knows when absent.
    #[schema(minimum = 1)]
    level: Option<u16>,
}

/// Who leads.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Leader {
    leader_id: Option<u64>,
}

/// What all nodes can apply.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Level {
    feature_level: u16,
}

/// The operations of this room.
pub(super) fn operations() -> Vec<Operation> {
    let quorum = [Code::NodeNotFound, Code::QuorumWouldBeLost];
    vec![
        Operation::write(
            Method::POST,
            "/api/v1/cluster/leader",
            "transfer_leader",
            "Let another node lead",
        )
        .takes::<LeaderForm>(&json!({"node_id": 2}))
        .answers::<Leader>(200, "The new leader")
        .fails(&quorum),
        Operation::write(
            Method::POST,
            "/api/v1/cluster/feature-level",
            "set_feature_level",
            "Use what the newest version can do, once every node runs it",
        )
        .says("There is no way back: a node of an older version cannot join afterwards.")
        .takes::<LevelForm>(&json!({}))
        .answers::<Level>(200, "The level")
        .fails(&[Code::LevelRefused]),
    ]
}

/// `POST /cluster/leader`.
pub(crate) async fn lead(State(api): State<Api>, write: Write) -> Result<Json<Leader>, Problem> {
    let form: LeaderForm = write.json()?;
    let (view, status) = (api.backend.view(), api.backend.status());
    let to = form.node_id.map(NodeId);
    let before = answered(&view, &write);
    if before.is_none() {
        may_lead(&view, &status, to)?;
    }
    let mut is_asked = to.is_none() || to != status.leader;
    if notes_roles(&view) {
        let proposal = Proposal::TransferLeader {
            before: status.leader,
            to,
            term: status.term,
        };
        let committed = write.ask(&api, proposal).await?;
        let Outcome::LeaderAsked { term } = committed.outcome else {
            return Err(refused(committed.outcome));
        };
        // a call that is repeated is carried out if it was not: nobody has led since
        is_asked &= before.is_none() || api.backend.status().term == term;
    }
    if is_asked {
        api.backend.step(MemberStep::Lead(to)).await?;
    }
    let leader = to.filter(|_| is_asked).or(api.backend.status().leader);
    Ok(Json(Leader {
        leader_id: leader.map(|leader| leader.0),
    }))
}

/// Only a live voter leads, and only while enough of them live to elect it.
fn may_lead(view: &View, status: &RaftStatus, to: Option<NodeId>) -> Result<(), Problem> {
    if let Some(node) = to {
        known(view, status, node)?;
    }
    let judged = voters(view, status).may_lead(to, status.leader);
    judged.map_err(|error| Problem::new(Code::QuorumWouldBeLost, error))
}

/// `POST /cluster/feature-level`.
pub(crate) async fn finalize(State(api): State<Api>, write: Write) -> Result<Json<Level>, Problem> {
    let form: LevelForm = write.json()?;
    let view = api.backend.view();
    let lowest = view.fleet.peers().map(|peer| peer.level).min();
    let highest = lowest.unwrap_or(FEATURE_LEVEL).min(FEATURE_LEVEL);
    let level = form.level.unwrap_or(highest);
    let proposal = Proposal::SetFeatureLevel { level };
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    let feature_level = api.backend.view().fleet.meta().feature_level;
    Ok(Json(Level { feature_level }))
}
