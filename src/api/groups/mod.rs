//! `/groups`: who belongs, what they should run, and how far they are.

mod numbers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Assign, Entry, Proposal, PutGroup};
use ampora_raft::records::{Group, Pace, VersionRef};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use self::numbers::{Change, Numbers};
use super::Api;
use super::agents::parse_selector;
use super::backend::View;
use super::extract::{Params, Segments, Write};
use super::paging::{List, Page, take};
use super::precondition;
use super::problem::{Code, Problem};
use super::reject::{checked_name, refused};
use super::timestamp::rfc3339;

/// Uids in the answer of a dry run; the number is exact beyond it.
const WOULD_CHANGE_MAX: usize = 1000;

/// A page of groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    r#continue: Option<String>,
}

/// `GET /groups`, by name.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let page = Page::new(List::Groups, query.limit.as_deref(), &[])?;
    let after = page
        .after(query.r#continue.as_deref())?
        .map(|key| String::from_utf8(key).map_err(|_| page.foreign()))
        .transpose()?;
    let view = api.backend.view();
    let numbers = numbers::of_groups(&view).await;
    let groups = view.fleet.groups(after.as_deref());
    let (items, next) = take(groups, &page, |group| group.name.as_bytes());
    let items: Vec<Value> = items
        .into_iter()
        .map(|group| {
            group_json(
                group,
                &numbers.get(&group.name).copied().unwrap_or_default(),
            )
        })
        .collect();
    Ok(Json(json!({
        "items": items,
        "continue": next,
        "applied_index": view.applied_index,
    })))
}

/// `GET /groups/{name}`.
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    let view = api.backend.view();
    let group = view.fleet.group(&name).cloned().ok_or_else(|| {
        Problem::new(
            Code::GroupNotFound,
            format_args!("there is no group {name:?}"),
        )
    })?;
    Ok(answer(StatusCode::OK, &view, &group).await)
}

/// A group with its live numbers and its entity tag.
async fn answer(status: StatusCode, view: &View, group: &Arc<Group>) -> Response {
    let numbers = numbers::of_groups(view).await;
    let numbers = numbers.get(&group.name).copied().unwrap_or_default();
    let mut body = group_json(group, &numbers);
    body["applied_index"] = json!(view.applied_index);
    let mut response = (status, Json(body)).into_response();
    if let Some(tag) = precondition::tag(group.revision) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The revision of a group, if it is there.
fn current(api: &Api, name: &str) -> Option<u64> {
    let view = api.backend.view();
    view.fleet.group(name).map(|group| group.revision)
}

fn group_json(group: &Group, numbers: &Numbers) -> Value {
    let assignment = group.assignment.as_ref();
    let settled = assignment.and_then(|assignment| assignment.settled.as_ref());
    let next = assignment.and_then(|assignment| assignment.next.as_ref());
    json!({
        "name": group.name,
        "selector": group.selector.source,
        "priority": group.priority,
        "configuration": next.or(settled).map(version_json),
        "pace": pace_name(group.pace),
        "revision": group.revision,
        "settled": settled.map(version_json),
        "next": next.map(version_json),
        "matched": numbers.matched,
        "affected": numbers.affected,
        "confirmed": numbers.confirmed,
        "failed": numbers.failed,
        "quarantined": null,
        "changed_at": rfc3339(group.changed_ms),
        "changed_by": group.changed_by,
    })
}

fn version_json(version: &VersionRef) -> Value {
    json!({
        "name": version.configuration,
        "version": version.version,
        "hash": version.hash.to_string(),
    })
}

/// What is in force: every pace is all-at-once until slow start exists.
fn pace_name(pace: Pace) -> &'static str {
    match pace {
        Pace::SlowStart | Pace::AllAtOnce => "all-at-once",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    selector: Option<String>,
    priority: Option<i32>,
    #[serde(default, deserialize_with = "present")]
    configuration: Option<Option<VersionForm>>,
    pace: Option<String>,
    max_affected: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionForm {
    name: String,
    version: Option<u32>,
}

/// Tells a field that is null from one that is absent.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<VersionForm>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Form {
    fn read(self, name: Arc<str>, revision: Option<u64>) -> Result<PutGroup, Problem> {
        let selector = self
            .selector
            .map(|text| parse_selector(&text, "/selector"))
            .transpose()?;
        let pace = match self.pace.as_deref() {
            None => None,
            Some("all-at-once") => Some(Pace::AllAtOnce),
            Some("slow-start") => {
                return Err(Problem::at(
                    Code::PaceNotAvailable,
                    "/pace",
                    "slow-start comes with a later version; all-at-once is what groups have until then",
                ));
            }
            Some(_) => {
                return Err(Problem::at(
                    Code::ValidationFailed,
                    "/pace",
                    "pace is all-at-once or slow-start",
                ));
            }
        };
        let assign = match self.configuration {
            None => Assign::Keep,
            Some(None) => Assign::Nothing,
            Some(Some(version)) => Assign::Version {
                configuration: Arc::from(version.name),
                version: version.version,
            },
        };
        Ok(PutGroup {
            name,
            revision,
            selector,
            priority: self.priority,
            assign,
            pace,
        })
    }
}

/// The query of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    dry_run: Option<bool>,
}

/// `PUT /groups/{name}`.
///
/// `max_affected` is judged by the fleet as it was before the proposal: an agent that enters in the same
/// moment is not counted.
pub(crate) async fn put(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<PutQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let name = checked_name(&name)?;
    let form: Form = write.json()?;
    let max_affected = form.max_affected;
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let proposal = Proposal::PutGroup(form.read(name, revision)?);
    let dry_run = query.dry_run == Some(true);
    if dry_run || max_affected.is_some() {
        let before = api.backend.view();
        let trial = try_out(&api, &before, &write, &proposal)?;
        let change = numbers::change(&before.fleet, &trial.view.fleet).await;
        refuse_if_too_many(&change, max_affected)?;
        if dry_run {
            return Ok(dry_answer(&trial, &change).await);
        }
    }
    let committed = write.ask(&api, proposal).await?;
    let Outcome::Group { group, created } = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(answer(status, &api.backend.view(), &group).await)
}

fn refuse_if_too_many(change: &Change, max: Option<usize>) -> Result<(), Problem> {
    match max {
        Some(max) if change.agents > max => Err(Problem::at(
            Code::TooManyAffected,
            "/max_affected",
            format_args!("{} agents would change, {max} are allowed", change.agents),
        )),
        Some(_) | None => Ok(()),
    }
}

/// What a proposal would make of the fleet.
struct Trial {
    view: View,
    group: Arc<Group>,
}

/// Applies a proposal to a copy of the fleet: the log does not hear of it.
fn try_out(api: &Api, view: &View, write: &Write, proposal: &Proposal) -> Result<Trial, Problem> {
    let mut copy = view.clone();
    let now = api.backend.now();
    let entry = Entry {
        time_ms: now.fleet_ms,
        wall_ms: now.wall_ms,
        origin: write.step_origin(),
        proposal: proposal.clone(),
    };
    let applied = copy
        .fleet
        .apply(view.applied_index.saturating_add(1), &entry);
    let Outcome::Group { group, .. } = applied.outcome else {
        return Err(refused(applied.outcome));
    };
    Ok(Trial { view: copy, group })
}

async fn dry_answer(trial: &Trial, change: &Change) -> Response {
    let numbers = numbers::of_groups(&trial.view).await;
    let numbers = numbers.get(&trial.group.name).copied().unwrap_or_default();
    let mut body = group_json(&trial.group, &numbers);
    body["dry_run"] = json!(true);
    body["would_change"] = json!({"count": change.agents, "agents": change.first});
    Json(body).into_response()
}

/// `DELETE /groups/{name}`.
pub(crate) async fn delete(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let proposal = Proposal::DeleteGroup {
        name: Arc::from(name),
        revision,
    };
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    Ok(StatusCode::NO_CONTENT)
}
