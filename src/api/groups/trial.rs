//! What a proposal would do, tried on a copy of the fleet: the log does not hear of it. Every call that can
//! change what agents run takes `dry_run` and `max_affected` through here.

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Entry, Origin, Proposal};
use serde::Deserialize;
use utoipa::IntoParams;

use super::numbers::{self, Change};
use crate::api::Api;
use crate::api::backend::View;
use crate::api::extract::Write;
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;

/// The query of a change.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeQuery {
    /// Changes nothing and answers who would change.
    dry_run: Option<bool>,
    /// Refuses the change with 409 `too_many_affected` when more agents would change.
    max_affected: Option<usize>,
}

impl ChangeQuery {
    /// Nothing is to be changed.
    pub(crate) fn is_dry(self) -> bool {
        self.dry_run == Some(true)
    }

    /// The same with the bound of the body, where the query gives none.
    pub(crate) fn or_max(self, max_affected: Option<usize>) -> ChangeQuery {
        ChangeQuery {
            max_affected: self.max_affected.or(max_affected),
            ..self
        }
    }
}

/// What a proposal would make of the fleet.
pub(crate) struct Trial {
    /// The fleet after it.
    pub(crate) view: View,
    /// What `apply` would answer.
    pub(crate) outcome: Outcome,
    /// Who would change.
    pub(crate) change: Change,
}

/// Tries a proposal when the query asks for it, and refuses it when it would change too many agents; `None`
/// when nothing was asked.
///
/// `max_affected` is judged by the fleet as it was before the proposal: an agent that enters in the same
/// moment is not counted.
///
/// # Errors
/// What the fleet would refuse, and 409 `too_many_affected`.
pub(crate) async fn asked(
    api: &Api,
    query: ChangeQuery,
    write: &Write,
    proposal: &Proposal,
) -> Result<Option<Trial>, Problem> {
    if !query.is_dry() && query.max_affected.is_none() {
        return Ok(None);
    }
    let origin = write.step_origin();
    let trial = run(api, &api.backend.view(), origin, proposal).await?;
    match query.max_affected {
        Some(max) if trial.change.agents > max => Err(Problem::at(
            Code::TooManyAffected,
            "/max_affected",
            format_args!(
                "{} agents would change, {max} are allowed",
                trial.change.agents
            ),
        )),
        Some(_) | None => Ok(Some(trial)),
    }
}

/// Applies a proposal to a copy of `view`, and compares.
///
/// # Errors
/// What the fleet would refuse.
pub(super) async fn run(
    api: &Api,
    view: &View,
    origin: Origin,
    proposal: &Proposal,
) -> Result<Trial, Problem> {
    let (after, outcome) = tried(api, view, origin, proposal)?;
    let change = numbers::change(&view.fleet, &after.fleet).await;
    Ok(Trial {
        view: after,
        outcome,
        change,
    })
}

/// The view after a proposal, and what `apply` would answer.
///
/// # Errors
/// What the fleet would refuse.
pub(crate) fn tried(
    api: &Api,
    view: &View,
    origin: Origin,
    proposal: &Proposal,
) -> Result<(View, Outcome), Problem> {
    let mut copy = view.clone();
    let now = api.backend.now();
    let entry = Entry {
        time_ms: now.fleet_ms,
        wall_ms: now.wall_ms,
        origin,
        proposal: proposal.clone(),
    };
    let applied = copy
        .fleet
        .apply(view.applied_index.saturating_add(1), &entry);
    if matches!(applied.outcome, Outcome::Rejected(_)) {
        return Err(refused(applied.outcome));
    }
    Ok((copy, applied.outcome))
}
