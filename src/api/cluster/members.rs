//! `/cluster/members`: who votes and who belongs. What would lose the quorum is refused with the calculation.

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::fleet::MEMBERS_LEVEL;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::MemberRole;
use ampora_raft::rows::{IdempotencyRow, Row, RowKey};
use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
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

/// Who belongs to the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Membership {
    leader_id: Option<u64>,
    learners: Vec<u64>,
    voters: Vec<u64>,
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
        .says("It stays so whoever leads. A member that cannot vote yet votes once it has caught up and the number of voters stays odd.")
        .takes::<RoleForm>(&json!({"node_id": 3, "role": "learner"}))
        .answers::<Membership>(200, "The membership")
        .answers::<Membership>(202, "The membership before the change, which follows")
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
    ]
}

/// `POST /cluster/members`: the log says what the member is to be, and the leader's duty sees to it.
pub(crate) async fn set_role(
    State(api): State<Api>,
    write: Write,
) -> Result<(StatusCode, Json<Membership>), Problem> {
    let form: RoleForm = write.json()?;
    let node = NodeId(form.node_id);
    let role = match form.role.as_str() {
        "voter" => MemberRole::Voter,
        "learner" => MemberRole::Learner,
        _ => {
            return Err(Problem::at(
                Code::ValidationFailed,
                "/role",
                "a member is a voter or a learner",
            ));
        }
    };
    let (view, status) = (api.backend.view(), api.backend.status());
    let mut is_soon = true;
    if !is_repeated(&view, &write) {
        known(&view, &status, node)?;
        is_soon = may_have(&api, &view, &status, node, role)?;
    }
    if !notes_roles(&view) {
        set_role_unnoted(&api, &status, node, role).await?;
        return Ok((StatusCode::OK, Json(membership(&api.backend.status()))));
    }
    let before = role_of(&status, node);
    let proposal = Proposal::SetMemberRole { node, before, role };
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    // a call that is repeated changes nothing that was asked for since
    let is_wanted = api.backend.view().fleet.is_held_back(node) == (role == MemberRole::Learner);
    let is_done = !is_wanted || is_soon && api.backend.settled(node, role).await;
    let membership = membership(&api.backend.status());
    let code = if is_done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((code, Json(membership)))
}

/// Whether a member may be that, and whether it will be at once: a learner that is held back may be let go although it
/// cannot vote yet.
fn may_have(
    api: &Api,
    view: &View,
    status: &RaftStatus,
    node: NodeId,
    role: MemberRole,
) -> Result<bool, Problem> {
    if role_of(status, node) == role {
        return Ok(true);
    }
    let voters = voters(view, status);
    if role == MemberRole::Learner {
        lost(voters.may_lose(node, &format!("demoting node {node}")))?;
        return Ok(true);
    }
    let mut after = voters.voters.clone();
    after.insert(node);
    if let Err(problem) = may_vote(&voters, &after, api.settings.voters_max) {
        return if view.fleet.is_held_back(node) {
            Ok(false)
        } else {
            Err(problem)
        };
    }
    lost(voters.may_become(&after, &format!("promoting node {node}")))?;
    Ok(voters.live.contains(&node))
}

/// A fleet whose level does not let it say who is to vote goes on as it did, without a record, until the upgrade is
/// finalized.
async fn set_role_unnoted(
    api: &Api,
    status: &RaftStatus,
    node: NodeId,
    role: MemberRole,
) -> Result<(), Problem> {
    if role_of(status, node) == role {
        return Ok(());
    }
    let mut after: BTreeSet<NodeId> = status.voters.iter().copied().collect();
    match role {
        MemberRole::Voter => after.insert(node),
        MemberRole::Learner => after.remove(&node),
    };
    stop_voting_or_begin(api, status, node, after).await
}

/// `DELETE /cluster/members/{id}`: first it stops voting, then it is forgotten, which it hears, and follows no more.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments(id): Segments<u64>,
    write: Write,
) -> Result<Json<Membership>, Problem> {
    let node = NodeId(id);
    let (view, status) = (api.backend.view(), api.backend.status());
    if !is_repeated(&view, &write) {
        known(&view, &status, node)?;
        let voters = voters(&view, &status);
        lost(voters.may_lose(node, &format!("removing node {node}")))?;
        if voters.voters.contains(&node) {
            stop_voting(&api, &write, node).await?;
        }
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

/// A voter that is to go stops voting: a change of its own with its own record, which stays if nothing follows.
async fn stop_voting(api: &Api, write: &Write, node: NodeId) -> Result<(), Problem> {
    let (view, status) = (api.backend.view(), api.backend.status());
    let role = MemberRole::Learner;
    if !notes_roles(&view) {
        return set_role_unnoted(api, &status, node, role).await;
    }
    let before = role_of(&status, node);
    let proposal = Proposal::SetMemberRole { node, before, role };
    let asked = proposal.asked(write.client.0.to_string().into());
    let committed = api.backend.propose(write.step_origin(), asked).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    if api.backend.settled(node, role).await {
        return Ok(());
    }
    let says = format_args!("node {node} has not stopped voting yet: ask once more");
    Err(Problem::new(Code::OutcomeUnknown, says))
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

/// Whether the log can say what operators want of members.
pub(super) fn notes_roles(view: &View) -> bool {
    view.fleet.meta().feature_level >= MEMBERS_LEVEL
}

/// Whether the key of a call was answered before: then the log answers the same, and nothing is judged again.
fn is_repeated(view: &View, write: &Write) -> bool {
    answered(view, write).is_some()
}

/// What the key of a call was answered before.
pub(super) fn answered(view: &View, write: &Write) -> Option<Arc<IdempotencyRow>> {
    let key = write.origin.idempotency.as_ref()?.key.clone();
    if let Row::Idempotency(row) = view.fleet.row(&RowKey::Idempotency(key))? {
        return Some(row);
    }
    None
}

fn role_of(status: &RaftStatus, node: NodeId) -> MemberRole {
    if status.voters.contains(&node) {
        MemberRole::Voter
    } else {
        MemberRole::Learner
    }
}

pub(super) fn known(view: &View, status: &RaftStatus, node: NodeId) -> Result<(), Problem> {
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

pub(super) fn voters(view: &View, status: &RaftStatus) -> Voters {
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
