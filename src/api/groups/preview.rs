//! `GET /groups/{name}/preview`: who belongs to a group and who would change, for the group as it is or as it
//! is proposed to be. Nothing is changed.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::InstanceUid;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Assign, Origin, Proposal, PutGroup};
use ampora_raft::records::{AgentRecord, Group, Pace};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::numbers::{Walk, changes, eventual, falls_short};
use super::shape::VersionShown;
use super::trial;
use crate::api::Api;
use crate::api::agents::parse_selector;
use crate::api::backend::View;
use crate::api::extract::{Params, Segments};
use crate::api::paging::{List, Page};
use crate::api::problem::{Code, Problem};
use crate::api::reject::{checked_name, refused};

/// What is proposed, and the page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewQuery {
    /// A selector that the group does not have yet.
    #[param(format = "ampora-selector", example = "env=prod")]
    selector: Option<String>,
    /// A priority that it does not have yet.
    priority: Option<i32>,
    /// `NAME` or `NAME@VERSION`; empty assigns nothing.
    #[param(
        pattern = "^([a-z0-9][a-z0-9._-]{0,62}(@[1-9][0-9]{0,8})?)?$",
        example = "edge@1"
    )]
    configuration: Option<String>,
    limit: Option<String>,
    r#continue: Option<String>,
}

impl PreviewQuery {
    /// The change that is proposed; `None` for the group as it is.
    fn proposal(&self, name: &Arc<str>, known: bool) -> Result<Option<Proposal>, Problem> {
        let asks =
            self.selector.is_some() || self.priority.is_some() || self.configuration.is_some();
        if !asks {
            return Ok(None);
        }
        let selector = self.selector.as_deref();
        Ok(Some(Proposal::PutGroup(PutGroup {
            name: Arc::clone(name),
            revision: None,
            selector: selector
                .map(|text| parse_selector(text, "/query/selector"))
                .transpose()?,
            priority: self.priority,
            assign: self
                .configuration
                .as_deref()
                .map_or(Ok(Assign::Keep), assign)?,
            pace: (!known).then_some(Pace::SlowStart),
        })))
    }
}

fn assign(text: &str) -> Result<Assign, Problem> {
    if text.is_empty() {
        return Ok(Assign::Nothing);
    }
    let (name, version) = match text.split_once('@') {
        None => (text, None),
        Some((name, version)) => {
            let number = version.parse::<u32>().map_err(|_| {
                Problem::at(
                    Code::InvalidParameter,
                    "/query/configuration",
                    "configuration is NAME or NAME@VERSION",
                )
            })?;
            (name, Some(number))
        }
    };
    Ok(Assign::Version {
        configuration: Arc::from(name),
        version,
    })
}

/// Who belongs to a group and who would change, a page in uid order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupPreview)]
pub(crate) struct Preview {
    applied_index: u64,
    r#continue: Option<String>,
    items: Vec<Previewed>,
    /// Who belongs.
    matched: usize,
    name: Arc<str>,
    /// Who would change.
    would_change: usize,
}

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Previewed {
    changes: bool,
    /// What it should run now.
    from: Option<VersionShown>,
    /// The group that it belongs to now.
    group: Option<Arc<str>>,
    #[schema(value_type = String, format = "uuid")]
    instance_uid: InstanceUid,
    /// Whether it belongs to the group.
    matches: bool,
    name: Arc<str>,
    /// What it would run.
    to: Option<VersionShown>,
}

/// Two copies of the fleet: as it is, and as it would be.
struct Both {
    before: Fleet,
    after: Fleet,
    name: Arc<str>,
    /// Whether anything is proposed.
    is_change: bool,
}

impl Both {
    /// Whether the agent belongs to the group, and whether it changes.
    fn judge(&self, record: &AgentRecord) -> (bool, bool) {
        let desired = self.after.desired(record);
        let group = desired.group.as_deref();
        let belongs = group.is_some_and(|group| group.name == self.name);
        let changes = if self.is_change {
            changes(&self.before, &self.after, record)
        } else {
            belongs && falls_short(&self.after, &desired, record)
        };
        (belongs, changes)
    }

    fn item(&self, record: &AgentRecord, (belongs, changes): (bool, bool)) -> Previewed {
        let (was, is) = (self.before.desired(record), self.after.desired(record));
        let version = |fleet: &Fleet, group: Option<&Group>| {
            group
                .and_then(|group| eventual(fleet, group))
                .map(VersionShown::of)
        };
        Previewed {
            changes,
            from: version(&self.before, was.group.as_deref()),
            group: was.group.as_ref().map(|group| group.name.clone()),
            instance_uid: record.uid,
            matches: belongs,
            name: record.description.name.clone(),
            to: version(&self.after, is.group.as_deref()),
        }
    }
}

/// `GET /groups/{name}/preview`.
pub(crate) async fn preview(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<PreviewQuery>,
) -> Result<Json<Preview>, Problem> {
    let name = checked_name(&name)?;
    let priority = query.priority.map(|priority| priority.to_string());
    let page = Page::new(
        List::Preview,
        query.limit.as_deref(),
        &[
            Some(&name),
            query.selector.as_deref(),
            priority.as_deref(),
            query.configuration.as_deref(),
        ],
    )?;
    let after = page
        .after(query.r#continue.as_deref())?
        .map(|key| InstanceUid::from_slice(&key).map_err(|_| page.foreign()))
        .transpose()?;
    let view = api.backend.view();
    let both = both(&api, &view, &query, &name).await?;
    let (mut matched, mut count) = (0, 0);
    let mut items = Vec::new();
    let (mut last, mut more) = (None, false);
    let mut walk = Walk::default();
    while let Some(agents) = walk.next(&both.after).await {
        for record in agents {
            let judged = both.judge(&record);
            matched += usize::from(judged.0);
            count += usize::from(judged.1);
            let is_listed = (judged.0 || judged.1) && after.is_none_or(|after| record.uid > after);
            if !is_listed {
                continue;
            }
            if items.len() < page.limit {
                items.push(both.item(&record, judged));
                last = Some(record.uid);
            } else {
                more = true;
            }
        }
    }
    Ok(Json(Preview {
        applied_index: view.applied_index,
        r#continue: last.filter(|_| more).map(|uid| page.token(uid.as_bytes())),
        items,
        matched,
        name,
        would_change: count,
    }))
}

async fn both(
    api: &Api,
    view: &View,
    query: &PreviewQuery,
    name: &Arc<str>,
) -> Result<Both, Problem> {
    let known = view.fleet.group(name).is_some();
    let Some(proposal) = query.proposal(name, known)? else {
        if !known {
            let detail = format_args!("there is no group {name:?}: name a selector to preview it");
            return Err(Problem::new(Code::GroupNotFound, detail));
        }
        return Ok(Both {
            before: view.fleet.clone(),
            after: view.fleet.clone(),
            name: Arc::clone(name),
            is_change: false,
        });
    };
    let origin = Origin {
        actor: Arc::from("preview"),
        request_id: Arc::from(""),
        idempotency: None,
    };
    let trial = trial::run(api, view, origin, &proposal).await?;
    if !matches!(trial.outcome, Outcome::Group { .. }) {
        return Err(refused(trial.outcome));
    }
    Ok(Both {
        before: view.fleet.clone(),
        after: trial.view.fleet,
        name: Arc::clone(name),
        is_change: true,
    })
}
