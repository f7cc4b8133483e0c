//! `/cluster/members`, `/cluster/leader` and `/cluster/feature-level`: who votes, who belongs, who leads, and what
//! all of them can apply. What would lose the quorum is refused with the calculation.

use std::collections::BTreeSet;

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

use super::ids;
use crate::api::Api;
use crate::api::backend::{MemberStep, RaftStatus, View};
use crate::api::extract::{Segments, Write};
use crate::api::openapi::Operation;
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;
use crate::node::cluster::quorum::Voters;

/// What a member is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MemberRole)]
struct RoleForm {
    node_id: u64,
    /// `voter` or `learner`.
    #[schema(pattern = "^(voter|learner)$")]
    role: String,
}

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

/// Who belongs to the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Membership {
    leader_id: Option<u64>,
    learners: Vec<u64>,
    voters: Vec<u64>,
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
            "/api/v1/cluster/members",
            "set_member_role",
            "Let a member vote, or only listen",
        )
        .takes::<RoleForm>(&json!({"node_id": 3, "role": "learner"}))
        .answers::<Membership>(200, "The membership")
        .fails(&quorum)
        .fails(&[Code::VotersLimit]),
        Operation::write(
            Method::DELETE,
            "/api/v1/cluster/members/{id}",
            "remove_member",
            "Remove a node for good",
        )
        .says("Its id never comes again. A node that still runs stops serving and says why.")
        .answers::<Membership>(200, "The membership")
        .fails(&quorum),
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

/// `POST /cluster/members`.
pub(crate) async fn set_role(
    State(api): State<Api>,
    write: Write,
) -> Result<Json<Membership>, Problem> {
    let form: RoleForm = write.json()?;
    let node = NodeId(form.node_id);
    let (view, status) = (api.backend.view(), api.backend.status());
    known(&view, &status, node)?;
    let votes = match form.role.as_str() {
        "voter" => true,
        "learner" => false,
        _ => {
            return Err(Problem::at(
                Code::ValidationFailed,
                "/role",
                "a member is a voter or a learner",
            ));
        }
    };
    if status.voters.contains(&node) == votes {
        return Ok(Json(membership(&status)));
    }
    let voters = voters(&view, &status);
    let mut after = voters.voters.clone();
    if votes {
        after.insert(node);
        may_vote(&voters, &after, api.settings.voters_max)?;
        let doing = format!("promoting node {node}");
        lost(voters.may_become(&after, &doing))?;
    } else {
        after.remove(&node);
        lost(voters.may_lose(node, &format!("demoting node {node}")))?;
    }
    stop_voting_or_begin(&api, &status, node, after).await?;
    Ok(Json(membership(&api.backend.status())))
}

/// `DELETE /cluster/members/{id}`: first it stops voting, then it is forgotten, which it hears, and follows no more.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments(id): Segments<u64>,
    write: Write,
) -> Result<Json<Membership>, Problem> {
    let node = NodeId(id);
    let (view, status) = (api.backend.view(), api.backend.status());
    known(&view, &status, node)?;
    let voters = voters(&view, &status);
    lost(voters.may_lose(node, &format!("removing node {node}")))?;
    if voters.voters.contains(&node) {
        let mut after = voters.voters.clone();
        after.remove(&node);
        stop_voting_or_begin(&api, &status, node, after).await?;
    }
    let committed = write.ask(&api, Proposal::RemoveNode { node }).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    let mut membership = membership(&api.backend.status());
    // it follows for a moment, so that it hears of it
    membership.learners.retain(|learner| *learner != id);
    Ok(Json(membership))
}

/// Changes who votes; a leader that is to stop hands over first.
async fn stop_voting_or_begin(
    api: &Api,
    status: &RaftStatus,
    node: NodeId,
    after: BTreeSet<NodeId>,
) -> Result<(), Problem> {
    if status.leader == Some(node) && !after.contains(&node) {
        api.backend.step(MemberStep::Lead(None)).await?;
    }
    Ok(api.backend.step(MemberStep::Vote(after)).await?)
}

/// `POST /cluster/leader`.
pub(crate) async fn lead(State(api): State<Api>, write: Write) -> Result<Json<Leader>, Problem> {
    let form: LeaderForm = write.json()?;
    let (view, status) = (api.backend.view(), api.backend.status());
    let to = form.node_id.map(NodeId);
    if let Some(node) = to {
        known(&view, &status, node)?;
        let is_live = view.fleet.node(node).is_some_and(|node| node.live);
        if !status.voters.contains(&node) || !is_live {
            return Err(Problem::at(
                Code::QuorumWouldBeLost,
                "/node_id",
                format_args!("node {node} cannot lead: it has to vote and to be live"),
            ));
        }
    }
    let could_lead = |node: &NodeId| {
        Some(*node) != status.leader && view.fleet.node(*node).is_some_and(|node| node.live)
    };
    if to.is_none() && !status.voters.iter().any(could_lead) {
        return Err(Problem::new(
            Code::QuorumWouldBeLost,
            "no other node could lead: it has to vote and to be live",
        ));
    }
    if to.is_none() || to != status.leader {
        api.backend.step(MemberStep::Lead(to)).await?;
    }
    let leader = to.or(api.backend.status().leader);
    Ok(Json(Leader {
        leader_id: leader.map(|leader| leader.0),
    }))
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

fn known(view: &View, status: &RaftStatus, node: NodeId) -> Result<(), Problem> {
    if ids(view, status).contains(&node) {
        return Ok(());
    }
    let says = format_args!("no node {node} belongs to this cluster");
    Err(Problem::new(Code::NodeNotFound, says))
}

fn lost(judged: Result<(), crate::node::cluster::quorum::QuorumError>) -> Result<(), Problem> {
    judged.map_err(|error| Problem::new(Code::QuorumWouldBeLost, error))
}

/// An even number survives no more than the odd one below it, and costs more.
fn may_vote(now: &Voters, after: &BTreeSet<NodeId>, most: u32) -> Result<(), Problem> {
    let (before, after) = (now.voters.len(), after.len());
    if u32::try_from(after).is_ok_and(|after| after > most) {
        let says = format_args!("`cluster.voters` is {most}, and there are {before} voters");
        return Err(Problem::new(Code::VotersLimit, says));
    }
    if after.is_multiple_of(2) {
        let survives = (before.max(1) - 1) / 2;
        return Err(Problem::new(
            Code::VotersLimit,
            format_args!(
                "{after} voters survive the loss of {survives}, as {before} do: the node votes by itself once there \
                 is one more"
            ),
        ));
    }
    Ok(())
}

fn voters(view: &View, status: &RaftStatus) -> Voters {
    let live = view.fleet.nodes().filter(|node| node.live);
    Voters {
        voters: status.voters.iter().copied().collect(),
        live: live.map(|node| node.id).collect(),
    }
}

fn membership(status: &RaftStatus) -> Membership {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    Membership {
        leader_id: status.leader.map(|leader| leader.0),
        learners: ids(&status.learners),
        voters: ids(&status.voters),
    }
}
