//! `/groups`: who belongs, what they should run, and how far they are.

mod described;
mod numbers;
mod preview;
mod shape;
#[cfg(test)]
mod tests;
pub(crate) mod trial;
mod ways_back;

use std::sync::Arc;

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Assign, Proposal, PutGroup};
use ampora_raft::records::{Group, Pace};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::described::operations;
pub(crate) use self::numbers::changes;
pub(crate) use self::preview::preview;
pub(crate) use self::shape::WouldChange;
pub(crate) use self::ways_back::{lift, revert};

use self::shape::{DryDelete, GroupList, GroupShown};
use self::trial::{ChangeQuery, Trial};
use super::Api;
use super::agents::parse_selector;
use super::backend::View;
use super::extract::{Params, Segments, Write};
use super::paging::{List, Page, take};
use super::precondition;
use super::problem::{Code, Problem};
use super::reject::{checked_name, refused};

/// A page of groups.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    r#continue: Option<String>,
}

/// `GET /groups`, by name.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<GroupList>, Problem> {
    let page = Page::new(List::Groups, query.limit.as_deref(), &[])?;
    let after = page
        .after(query.r#continue.as_deref())?
        .map(|key| String::from_utf8(key).map_err(|_| page.foreign()))
        .transpose()?;
    let view = api.backend.view();
    let numbers = numbers::of_groups(&view).await;
    let groups = view.fleet.groups(after.as_deref());
    let (items, next) = take(groups, &page, |group| group.name.as_bytes());
    let items = items
        .into_iter()
        .map(|group| {
            GroupShown::of(
                &view.fleet,
                group,
                &numbers.get(&group.name).copied().unwrap_or_default(),
            )
        })
        .collect();
    Ok(Json(GroupList {
        applied_index: view.applied_index,
        r#continue: next,
        items,
    }))
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
    let numbers = numbers::of_group(view, group).await;
    let mut body = GroupShown::of(&view.fleet, group, &numbers);
    body.applied_index = Some(view.applied_index);
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

/// What a group should be; what it does not name stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PutGroup)]
struct Form {
    /// Who belongs; a new group needs it.
    #[schema(format = "ampora-selector")]
    selector: Option<String>,
    /// Higher wins; 0 in a new group.
    priority: Option<i32>,
    /// Null assigns nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<VersionForm>)]
    configuration: Option<Option<VersionForm>>,
    /// `slow-start` or `all-at-once`.
    #[schema(pattern = "^(slow-start|all-at-once)$")]
    pace: Option<String>,
    /// Refuses the change with 409 `too_many_affected` when more agents would change.
    max_affected: Option<usize>,
}

/// A version to assign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Assignment)]
struct VersionForm {
    name: String,
    /// Without it the newest at this moment.
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
            Some("slow-start") => Some(Pace::SlowStart),
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

/// `PUT /groups/{name}`. A new group starts slowly unless it is said otherwise.
pub(crate) async fn put(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<ChangeQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let name = checked_name(&name)?;
    let form: Form = write.json()?;
    let query = query.or_max(form.max_affected);
    let view = api.backend.view();
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let is_new = view.fleet.group(&name).is_none();
    let mut given = form.read(name, revision)?;
    given.pace = given.pace.or(is_new.then_some(Pace::SlowStart));
    change_group(&api, query, write, Proposal::PutGroup(given)).await
}

/// Tries or proposes a change of one group, and answers with the group.
async fn change_group(
    api: &Api,
    query: ChangeQuery,
    write: Write,
    proposal: Proposal,
) -> Result<Response, Problem> {
    let trial = trial::asked(api, query, &write, &proposal).await?;
    if let Some(trial) = trial.filter(|_| query.is_dry()) {
        return dry_answer(trial).await;
    }
    let committed = write.ask(api, proposal).await?;
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

async fn dry_answer(trial: Trial) -> Result<Response, Problem> {
    let Outcome::Group { group, .. } = trial.outcome else {
        return Err(refused(trial.outcome));
    };
    let numbers = numbers::of_group(&trial.view, &group).await;
    let mut body = GroupShown::of(&trial.view.fleet, &group, &numbers);
    body.dry_run = Some(true);
    body.would_change = Some(WouldChange::of(trial.change));
    Ok(Json(body).into_response())
}

/// `DELETE /groups/{name}`: its agents go to the next group that matches them.
pub(crate) async fn delete(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<ChangeQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let revision = precondition::revision(&write.headers, current(&api, &name))?;
    let name: Arc<str> = Arc::from(name);
    let proposal = Proposal::DeleteGroup {
        name: Arc::clone(&name),
        revision,
    };
    let trial = trial::asked(&api, query, &write, &proposal).await?;
    if let Some(trial) = trial.filter(|_| query.is_dry()) {
        let body = DryDelete {
            dry_run: true,
            name,
            would_change: WouldChange::of(trial.change),
        };
        return Ok(Json(body).into_response());
    }
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
