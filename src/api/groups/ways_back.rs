//! `POST /groups/{name}/quarantine/lift` and `/revert`: an operator decides about a change that went wrong.

use std::sync::Arc;

use ampora_raft::proposal::Proposal;
use axum::extract::State;
use axum::response::Response;

use super::trial::ChangeQuery;
use super::{change_group, current};
use crate::api::extract::{Params, Segments, Write};
use crate::api::problem::Problem;
use crate::api::{Api, precondition};

/// Offers what is quarantined in the group again, to ten agents first.
pub(crate) async fn lift(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<ChangeQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let name = Arc::from(name);
    let proposal = Proposal::LiftQuarantine { name, revision };
    change_group(&api, query, write, proposal).await
}

/// Back to what was settled before, for every agent at once.
pub(crate) async fn revert(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<ChangeQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let name = Arc::from(name);
    let proposal = Proposal::RevertGroup { name, revision };
    change_group(&api, query, write, proposal).await
}
