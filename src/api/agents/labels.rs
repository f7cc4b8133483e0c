//! `/agents/{uid}/labels`: the labels that operators give to an agent, beside those that it reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::limits::{
    SERVER_LABEL_KEY_BYTES_MAX, SERVER_LABEL_VALUE_BYTES_MAX, SERVER_LABELS_BYTES_MAX,
    SERVER_LABELS_MAX,
};
use ampora_raft::ids::InstanceUid;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Proposal, SetLabels};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::parse_uid;
use super::shape::{Agent, Lens};
use crate::api::Api;
use crate::api::backend::View;
use crate::api::extract::{Params, Segments, Write};
use crate::api::groups::trial::tried;
use crate::api::groups::{WouldChange, changes};
use crate::api::problem::{Code, Detail, Problem};
use crate::api::reject::refused;

/// The query of a change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelsQuery {
    /// Changes nothing and answers who would change.
    dry_run: Option<bool>,
    /// Refuses the change with 409 `too_many_affected` when more agents would change.
    max_affected: Option<usize>,
}

/// `PUT /agents/{uid}/labels`: the body is all labels from here on.
pub(crate) async fn put_labels(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<LabelsQuery>,
    write: Write,
) -> Result<Json<Agent>, Problem> {
    let labels = checked(write.json()?)?;
    change(&api, &uid, query, &write, labels).await
}

/// `DELETE /agents/{uid}/labels`: takes all of them away.
pub(crate) async fn delete_labels(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<LabelsQuery>,
    write: Write,
) -> Result<Json<Agent>, Problem> {
    change(&api, &uid, query, &write, BTreeMap::new()).await
}

/// Proposes the labels and answers the agent; `dry_run` answers what would be.
async fn change(
    api: &Api,
    uid: &str,
    query: LabelsQuery,
    write: &Write,
    labels: BTreeMap<Arc<str>, Arc<str>>,
) -> Result<Json<Agent>, Problem> {
    let uid = parse_uid(uid)?;
    let proposal = Proposal::SetLabels(SetLabels {
        agent: uid,
        labels: labels.into_iter().collect(),
    });
    let dry_run = query.dry_run == Some(true);
    if dry_run || query.max_affected.is_some() {
        let before = api.backend.view();
        let (after, _) = tried(api, &before, write.step_origin(), &proposal)?;
        let record = after.fleet.agent(uid);
        let changes = record.is_some_and(|record| changes(&before.fleet, &after.fleet, record));
        if changes && query.max_affected == Some(0) {
            return Err(Problem::at(
                Code::TooManyAffected,
                "/query/max_affected",
                "this agent would change, 0 are allowed",
            ));
        }
        if dry_run {
            let mut answer = shown(api, &after, uid)?;
            let agents: Vec<InstanceUid> = changes.then_some(uid).into_iter().collect();
            answer.dry_run = Some(true);
            answer.would_change = Some(WouldChange {
                count: agents.len(),
                agents,
            });
            return Ok(Json(answer));
        }
    }
    let committed = write.ask(api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    shown(api, &api.backend.view(), uid).map(Json)
}

fn shown(api: &Api, view: &View, uid: InstanceUid) -> Result<Agent, Problem> {
    let record = super::find(view, &uid.to_string())?;
    Ok(Lens::new(api, view).agent(&record))
}

/// Labels that selectors can name and a record can hold; every one that is wrong is said.
fn checked(given: BTreeMap<String, String>) -> Result<BTreeMap<Arc<str>, Arc<str>>, Problem> {
    let mut wrong = Vec::new();
    if given.len() > SERVER_LABELS_MAX {
        wrong.push((
            String::new(),
            format!("an agent has {SERVER_LABELS_MAX} labels at most"),
        ));
    }
    let bytes: usize = given
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > SERVER_LABELS_BYTES_MAX {
        wrong.push((
            String::new(),
            format!("keys and values have {SERVER_LABELS_BYTES_MAX} bytes together at most"),
        ));
    }
    for (key, value) in &given {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        let pointer = format!("/{escaped}");
        wrong.extend(wrong_key(key).map(|why| (pointer.clone(), why)));
        wrong.extend(wrong_value(value).map(|why| (pointer, why)));
    }
    if wrong.is_empty() {
        let pair = |(key, value): (String, String)| (key.into(), value.into());
        return Ok(given.into_iter().map(pair).collect());
    }
    let problem = Problem::new(Code::ValidationFailed, "the labels are not valid");
    Err(wrong
        .into_iter()
        .fold(problem, |problem, (pointer, detail)| {
            problem.with(Detail {
                pointer: Some(pointer),
                detail,
                ..Detail::default()
            })
        }))
}

/// What is wrong with a key: a selector must be able to name it, and to mean this label by it.
fn wrong_key(key: &str) -> Option<String> {
    let is_fine =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-');
    let begins = key
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !begins || key.len() > SERVER_LABEL_KEY_BYTES_MAX || !key.bytes().all(is_fine) {
        return Some(format!(
            "a key has 1 to {SERVER_LABEL_KEY_BYTES_MAX} letters, digits, '.', '_', '/' and '-', and begins \
             with a letter or digit"
        ));
    }
    let prefixed = key.starts_with("reported.") || key.starts_with("server.");
    let is_field = matches!(key, "name" | "agent_type" | "agent_version");
    (prefixed || is_field).then(|| "selectors mean something else by this key".to_owned())
}

fn wrong_value(value: &str) -> Option<String> {
    let is_wrong =
        value.len() > SERVER_LABEL_VALUE_BYTES_MAX || value.chars().any(char::is_control);
    is_wrong.then(|| {
        format!(
            "a value has {SERVER_LABEL_VALUE_BYTES_MAX} bytes at most and no control characters"
        )
    })
}
