//! `DELETE /agents/{uid}`: forgets an agent that is disconnected.

use ampora_raft::ids::InstanceUid;
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::Proposal;
use axum::extract::State;
use http::StatusCode;

use super::parse_uid;
use super::shape::Lens;
use super::state::AgentState;
use crate::api::Api;
use crate::api::extract::{Segments, Write};
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;

/// Entries of one call: one delivery of each dispatch that there may be, some 250 at a time.
const STEPS_MAX: usize = 64;

/// `DELETE /agents/{uid}`.
pub(crate) async fn forget(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let uid = parse_uid(&uid)?;
    let mut committed = write.ask(&api, proposal(&api, uid)?).await?;
    for _ in 0..STEPS_MAX {
        let Outcome::Removed { more, .. } = committed.outcome else {
            return Err(refused(committed.outcome));
        };
        if !more {
            return Ok(StatusCode::NO_CONTENT);
        }
        // the rest of what the first entry recorded
        let step = proposal(&api, uid)?;
        committed = api.backend.propose(write.step_origin(), step).await?;
        if committed.outcome == Outcome::Rejected(Rejection::UnknownAgent(uid)) {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(Rejection::AgentConnected(uid).into())
}

/// The proposal, judged by the state that people see. A stale agent is expected back. One that was silent for
/// too long is disconnected although its socket may be open: its session is named, and ends with it. Whether
/// there is such an agent and whether it is connected is answered by the log, which knows repeated keys.
fn proposal(api: &Api, uid: InstanceUid) -> Result<Proposal, Problem> {
    let view = api.backend.view();
    let lens = Lens::new(api, &view);
    let record = view.fleet.agent(uid);
    let fence = match record.map(|record| (record, lens.state(record))) {
        Some((_, AgentState::Stale)) => {
            return Err(Problem::new(
                Code::AgentConnected,
                format_args!("agent {uid} is stale: it is expected back until it is disconnected"),
            ));
        }
        Some((record, AgentState::Disconnected)) => view
            .fleet
            .valid_session(record)
            .map(|session| session.fence),
        Some((_, AgentState::Connected)) | None => None,
    };
    Ok(Proposal::ForgetAgent { agent: uid, fence })
}
