//! `GET /agents` and what hangs below one agent.

mod described;
mod forget;
mod history;
mod labels;
#[cfg(test)]
mod manage_tests;
mod past;
mod raw;
pub(crate) mod shape;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ampora_raft::ids::{BodyHash, InstanceUid};
use ampora_raft::proposal::{NoteRead, RawBody};
use ampora_raft::records::AgentRecord;
use ampora_raft::selector::Selector;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

pub(crate) use described::operations;
pub(crate) use forget::forget;
pub(crate) use history::history;
pub(crate) use labels::{delete_labels, put_labels};
pub(crate) use shape::Lens;

use self::past::PastAgentList;
use self::raw::{BodyQuery, Components, EffectiveConfig, HealthTree, Raw};
use self::shape::Agent;
use self::state::AgentState;
use super::Api;
use super::backend::{Reported, ReportedKind, View};
use super::extract::{Params, Reader, Segments};
use super::paging::{List, Page};
use super::problem::{Code, Detail, Problem};
use super::reject::unreadable;

/// Records looked at before other tasks of the runtime get their turn: some hundred microseconds.
pub(crate) const STRIDE: usize = 1024;

/// The query of `GET /agents`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `env in (prod,staging), !legacy, team=core`, with `&&`, `||`, `!`, parentheses and `=~ glob`; `*` is everyone.
    #[param(
        format = "ampora-selector",
        min_length = 1,
        max_length = 4096,
        example = "env=prod"
    )]
    selector: Option<String>,
    /// A part of name, uid, type or version, whatever the case.
    #[param(example = "edge")]
    q: Option<String>,
    /// `connected`, `stale` or `disconnected`.
    #[param(pattern = "^(connected|stale|disconnected)$", example = "connected")]
    state: Option<String>,
    /// The name of a group, exactly.
    #[param(example = "edge")]
    group: Option<String>,
    /// As they were at this time, RFC 3339, told from history; goes with `limit` and `continue` alone.
    #[param(format = DateTime, example = "2026-11-24T17:00:00Z")]
    at: Option<String>,
    limit: Option<String>,
    r#continue: Option<String>,
}

/// Agents as they are, or as they were.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Listed {
    /// Without `at`.
    Now(AgentList),
    /// With `at`.
    Then(PastAgentList),
}

/// A page of agents, in uid order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentList {
    items: Vec<Agent>,
    r#continue: Option<String>,
    applied_index: u64,
    /// All of them; given where nothing is filtered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    total: Option<usize>,
}

/// What a list was asked for.
struct Filter {
    selector: Option<Selector>,
    /// In lower case.
    needle: Option<String>,
    state: Option<AgentState>,
    group: Option<String>,
}

impl Filter {
    fn parse(query: &ListQuery) -> Result<Filter, Problem> {
        let selector = query
            .selector
            .as_deref()
            .map(|text| parse_selector(text, "/query/selector"))
            .transpose()?;
        let state = match query.state.as_deref() {
            None => None,
            Some(word) => Some(AgentState::parse(word).ok_or_else(|| {
                Problem::at(
                    Code::InvalidParameter,
                    "/query/state",
                    "state is connected, stale or disconnected",
                )
            })?),
        };
        Ok(Filter {
            selector,
            needle: query
                .q
                .as_deref()
                .filter(|q| !q.is_empty())
                .map(str::to_lowercase),
            state,
            group: query.group.clone(),
        })
    }

    fn is_open(&self) -> bool {
        self.selector.is_none()
            && self.needle.is_none()
            && self.state.is_none()
            && self.group.is_none()
    }

    /// The selector to search by: the one that was given, else that of the group.
    fn chooses<'a>(&'a self, view: &'a View) -> Option<&'a Selector> {
        let group = self.group.as_deref();
        let group = group.and_then(|name| view.fleet.group(name));
        self.selector
            .as_ref()
            .or(group.map(|group| &group.selector))
    }

    /// What the search leaves to ask.
    fn takes(&self, record: &AgentRecord, view: &View, lens: &Lens<'_>) -> bool {
        self.needle
            .as_ref()
            .is_none_or(|needle| contains(record, needle))
            && self.group.as_ref().is_none_or(|group| {
                let member = view.fleet.desired(record).group;
                member.is_some_and(|member| &*member.name == group)
            })
            && self.state.is_none_or(|state| lens.state(record) == state)
    }
}

/// Whether name, uid, type or version contain `needle`, whatever the case.
fn contains(record: &AgentRecord, needle: &str) -> bool {
    let description = &record.description;
    [
        &*description.name,
        &*description.agent_type,
        &*description.agent_version,
    ]
    .into_iter()
    .any(|text| text.to_lowercase().contains(needle))
        || record.uid.to_string().contains(needle)
}

/// Parses a selector of a request.
///
/// # Errors
/// 422 that says where.
pub(crate) fn parse_selector(text: &str, pointer: &str) -> Result<Selector, Problem> {
    Selector::parse(text).map_err(|error| {
        Problem::new(Code::InvalidSelector, &error.message).with(Detail {
            pointer: Some(pointer.to_owned()),
            line: Some(1),
            column: Some(error.offset as u64 + 1),
            detail: error.message,
        })
    })
}

/// `GET /agents`.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed>, Problem> {
    if let Some(at) = query.at.as_deref() {
        let then = past::list(&api, &query, at).await?;
        return Ok(Json(Listed::Then(then)));
    }
    now(&api, &query).await.map(|list| Json(Listed::Now(list)))
}

/// Agents as they are.
async fn now(api: &Api, query: &ListQuery) -> Result<AgentList, Problem> {
    let filter = Filter::parse(query)?;
    let page = Page::new(
        List::Agents,
        query.limit.as_deref(),
        &[
            query.selector.as_deref(),
            query.q.as_deref(),
            query.state.as_deref(),
            query.group.as_deref(),
        ],
    )?;
    let mut after = page
        .after(query.r#continue.as_deref())?
        .map(|key| InstanceUid::from_slice(&key).map_err(|_| page.foreign()))
        .transpose()?;
    let view = api.backend.view();
    let mut lens = Lens::new(api, &view);
    let search = view.fleet.search(filter.chooses(&view));
    let mut found: Vec<Arc<AgentRecord>> = Vec::new();
    let mut more = false;
    'scan: loop {
        // what follows postings finds nearly only what it looks for
        let most = if search.is_indexed() {
            page.limit + 1 - found.len()
        } else {
            STRIDE
        };
        let stride = search.stride(after, most);
        for record in stride.agents {
            if !filter.takes(record, &view, &lens) {
                continue;
            }
            if found.len() == page.limit {
                more = true;
                break 'scan;
            }
            found.push(Arc::clone(record));
        }
        match stride.next {
            Some(next) => after = Some(next),
            None => break,
        }
        tokio::task::yield_now().await;
    }
    lens.ask_owners(&found).await;
    let last = found.last().map(|record| record.uid);
    Ok(AgentList {
        items: found.iter().map(|record| lens.agent(record)).collect(),
        r#continue: last.filter(|_| more).map(|uid| page.token(uid.as_bytes())),
        applied_index: view.applied_index,
        total: filter.is_open().then(|| view.fleet.agents_len()),
    })
}

/// Parses the uid of a path.
fn parse_uid(text: &str) -> Result<InstanceUid, Problem> {
    InstanceUid::parse_str(text).map_err(|_| {
        Problem::at(
            Code::InvalidParameter,
            "/path/uid",
            "the uid of an agent is a UUID",
        )
    })
}

fn find(view: &View, uid: &str) -> Result<Arc<AgentRecord>, Problem> {
    let uid = parse_uid(uid)?;
    view.fleet
        .agent(uid)
        .cloned()
        .ok_or_else(|| Problem::new(Code::AgentNotFound, format_args!("there is no agent {uid}")))
}

/// `GET /agents/{uid}`.
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
) -> Result<Json<Agent>, Problem> {
    let view = api.backend.view();
    let record = find(&view, &uid)?;
    let mut lens = Lens::new(&api, &view);
    lens.ask_owners(std::slice::from_ref(&record)).await;
    Ok(Json(lens.agent(&record)))
}

fn of(record: &AgentRecord, body: RawBody, hash: Option<BodyHash>) -> NoteRead {
    NoteRead {
        agent: record.uid,
        body,
        hash,
    }
}

fn home(record: &AgentRecord, hash: BodyHash) -> Reported {
    Reported {
        hash,
        home: record.home,
    }
}

fn not_reported(what: &str) -> Problem {
    Problem::new(
        Code::NotReported,
        format_args!("the agent has not reported {what}"),
    )
}

fn unavailable(hash: BodyHash) -> Problem {
    Problem::new(
        Code::BodyUnavailable,
        format_args!(
            "no reachable node holds the body {hash}; the agent sends it again when it reconnects"
        ),
    )
}

/// `GET /agents/{uid}/effective-config`.
pub(crate) async fn effective_config(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<BodyQuery>,
    reader: Reader,
) -> Result<Json<EffectiveConfig>, Problem> {
    let raw = query.wants(&reader)?;
    let record = find(&api.backend.view(), &uid)?;
    let hash = record
        .effective
        .ok_or_else(|| not_reported("an effective configuration"))?;
    let read = of(&record, RawBody::EffectiveConfig, Some(hash));
    raw.note(&api, &reader, read).await?;
    let files = api
        .backend
        .reported_files(home(&record, hash))
        .await
        .map_err(|error| unreadable(&error))?;
    let Some(files) = files else {
        return from_history(&api, raw, hash).await.map(Json);
    };
    Ok(Json(EffectiveConfig {
        files: files.iter().map(|file| raw.file(file)).collect(),
        hash: hash.to_string(),
        redacted: !raw.0,
    }))
}

/// What history has of an effective configuration whose home is dead: never more than its redacted form.
async fn from_history(api: &Api, raw: Raw, hash: BodyHash) -> Result<EffectiveConfig, Problem> {
    if raw.0 {
        return Err(unavailable(hash));
    }
    let kept = api.backend.kept_document(hash).await;
    let read = kept.and_then(|kept| serde_json::from_str(&kept).ok());
    read.ok_or_else(|| unavailable(hash))
}

/// A reported body in JSON, redacted unless it is asked for raw.
async fn reported(
    api: &Api,
    kind: ReportedKind,
    body: Reported,
    raw: Raw,
) -> Result<Value, Problem> {
    let mut value = api
        .backend
        .reported_json(kind, body)
        .await
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| unavailable(body.hash))?;
    raw.json(&mut value);
    Ok(value)
}

/// `GET /agents/{uid}/health`.
pub(crate) async fn health(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<BodyQuery>,
    reader: Reader,
) -> Result<Json<Value>, Problem> {
    let raw = query.wants(&reader)?;
    let record = find(&api.backend.view(), &uid)?;
    let health = record
        .health
        .as_ref()
        .ok_or_else(|| not_reported("its health"))?;
    let read = of(&record, RawBody::Health, health.body);
    raw.note(&api, &reader, read).await?;
    let value = match health.body {
        Some(hash) => reported(&api, ReportedKind::Health, home(&record, hash), raw).await?,
        None => {
            let mut value = json!(HealthTree {
                healthy: health.healthy,
                last_error: health.last_error.clone(),
                status: health.status.clone(),
                ..HealthTree::default()
            });
            raw.json(&mut value);
            value
        }
    };
    Ok(Json(value))
}

/// `GET /agents/{uid}/components`.
pub(crate) async fn components(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<BodyQuery>,
    reader: Reader,
) -> Result<Json<Components>, Problem> {
    let raw = query.wants(&reader)?;
    let record = find(&api.backend.view(), &uid)?;
    if record.components_hash.is_none() && record.components.is_none() {
        return Err(not_reported("its components"));
    }
    let read = of(&record, RawBody::Components, record.components);
    raw.note(&api, &reader, read).await?;
    let components = match record.components {
        Some(hash) => reported(&api, ReportedKind::Components, home(&record, hash), raw).await?,
        None => Value::Null,
    };
    Ok(Json(Components {
        components,
        hash: record.components_hash.as_ref().map(hex::encode),
    }))
}
