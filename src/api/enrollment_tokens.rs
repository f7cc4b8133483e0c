//! `/enrollment-tokens`: with what agents may come. Like the tokens of operators they are shown once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::limits::{
    SERVER_LABEL_KEY_BYTES_MAX, SERVER_LABEL_VALUE_BYTES_MAX, SERVER_LABELS_BYTES_MAX,
    SERVER_LABELS_MAX, TOKEN_USES_MAX,
};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::EnrollmentToken;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::backend::{Now, View};
use super::extract::{Params, Segments, Write};
use super::openapi::Operation;
use super::paging::{List, Page, take};
use super::problem::{Code, Problem};
use super::reject::refused;
use super::timestamp::rfc3339;
use super::tokens::{Life, ListQuery, after, checked_label, fresh};
use crate::secrets;

/// Labels as the fleet keeps them.
type Labels = Vec<(Arc<str>, Arc<str>)>;

/// An enrollment token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEnrollmentToken)]
struct Form {
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9 ._@+-]{0,61}[A-Za-z0-9._@+-])?$")]
    name: String,
    /// Distinct agents that may come; without it any number.
    #[schema(minimum = 1)]
    uses: Option<u32>,
    /// After it no new agent may come; without it it does not expire.
    #[schema(minimum = 1, maximum = 315_360_000)]
    ttl_seconds: Option<u64>,
    /// Server labels of agents that come with it.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// A page of enrollment tokens, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnrollmentTokenList {
    applied_index: u64,
    r#continue: Option<String>,
    items: Vec<TokenShown>,
}

/// An enrollment token without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EnrollmentToken)]
pub(crate) struct TokenShown {
    created_at: String,
    /// The name of a token.
    created_by: Arc<str>,
    expires_at: Option<String>,
    id: Arc<str>,
    labels: BTreeMap<Arc<str>, Arc<str>>,
    name: Arc<str>,
    /// `active`, `spent` or `expired`.
    state: &'static str,
    /// Shown once, when it is made; not when the call is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
    /// Agents that came with it.
    used: u32,
    uses: Option<u32>,
}

const ALL: &str = "/api/v1/enrollment-tokens";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(ALL, "list_enrollment_tokens", "Enrollment tokens, by id")
            .query::<ListQuery>()
            .answers::<EnrollmentTokenList>(200, "A page"),
        Operation::write(Method::POST, ALL, "create_enrollment_token", "Make an enrollment token")
            .says(
                "Its text is shown in this answer and never again. Uses count distinct agents; expiry stops new agents \
                 only.",
            )
            .takes::<Form>(&json!({
                "name": "factory",
                "uses": 100,
                "ttl_seconds": 86400,
                "labels": {"env": "prod"},
            }))
            .answers::<TokenShown>(201, "The token"),
        Operation::write(
            Method::DELETE,
            "/api/v1/enrollment-tokens/{id}",
            "delete_enrollment_token",
            "Revoke an enrollment token",
        )
        .says("Ends every agent that came with it, at once.")
        .answers_nothing(204, "It is revoked")
        .fails(&[Code::TokenNotFound]),
    ]
}

/// `GET /enrollment-tokens`, by id.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<EnrollmentTokenList>, Problem> {
    let page = Page::new(List::EnrollmentTokens, query.limit.as_deref(), &[])?;
    let after = after(&page, query.r#continue.as_deref())?;
    let view = api.backend.view();
    let now = api.backend.now();
    let tokens = view.fleet.enrollment_tokens(after.as_deref());
    let (items, next) = take(tokens, &page, |token| token.id.as_bytes());
    let items = items
        .into_iter()
        .map(|token| shown(&view, now, token))
        .collect();
    Ok(Json(EnrollmentTokenList {
        applied_index: view.applied_index,
        r#continue: next,
        items,
    }))
}

/// `POST /enrollment-tokens`.
pub(crate) async fn create(State(api): State<Api>, write: Write) -> Result<Response, Problem> {
    let form: Form = write.json()?;
    let now = api.backend.now();
    let life = Life::of(form.ttl_seconds, &api.backend.view(), now)?;
    if form
        .uses
        .is_some_and(|uses| !(1..=TOKEN_USES_MAX).contains(&uses))
    {
        return Err(Problem::at(
            Code::ValidationFailed,
            "/uses",
            format_args!(
                "a token has 1 to {TOKEN_USES_MAX} uses; without the field any number of agents may come"
            ),
        ));
    }
    let (text, id) = fresh(&api);
    let token = EnrollmentToken {
        id: id.clone(),
        name: checked_label(&form.name)?,
        hash: secrets::hash(&text),
        uses: form.uses,
        expires_at_ms: life.at_ms,
        expires_wall_ms: life.wall_ms,
        labels: labels(form.labels.unwrap_or_default())?,
        created_ms: now.wall_ms,
        created_by: write.origin.actor.clone(),
    };
    let proposal = Proposal::CreateEnrollmentToken { token };
    let committed = write.ask(&api, proposal).await?;
    let Outcome::EnrollmentToken(made) = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    let mut body = shown(&api.backend.view(), now, &made);
    // a repeated call made none: what the first one made was shown then
    if made.id == id {
        body.token = Some(text);
    }
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `DELETE /enrollment-tokens/{id}`: ends every agent that came with it.
pub(crate) async fn delete(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let proposal = Proposal::DeleteEnrollmentToken { id: id.into() };
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Server labels, as selectors can name them; sorted by key.
fn labels(given: BTreeMap<String, String>) -> Result<Labels, Problem> {
    let bytes: usize = given
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if given.len() > SERVER_LABELS_MAX || bytes > SERVER_LABELS_BYTES_MAX {
        return Err(Problem::at(
            Code::ValidationFailed,
            "/labels",
            format_args!(
                "a token gives {SERVER_LABELS_MAX} labels at most, of {SERVER_LABELS_BYTES_MAX} bytes together"
            ),
        ));
    }
    let fine = |text: &str, max: usize| text.len() <= max && !text.chars().any(char::is_control);
    let is_bad = |(key, value): &(&String, &String)| {
        key.is_empty()
            || !fine(key, SERVER_LABEL_KEY_BYTES_MAX)
            || !fine(value, SERVER_LABEL_VALUE_BYTES_MAX)
    };
    if given.iter().any(|label| is_bad(&label)) {
        return Err(Problem::at(
            Code::ValidationFailed,
            "/labels",
            format_args!(
                "a label has a key of 1 to {SERVER_LABEL_KEY_BYTES_MAX} bytes and a value of up to \
                 {SERVER_LABEL_VALUE_BYTES_MAX}, without control characters"
            ),
        ));
    }
    Ok(given
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect())
}

fn shown(view: &View, now: Now, token: &EnrollmentToken) -> TokenShown {
    let used = view.fleet.enrolled_len(&token.id);
    let state = if token
        .expires_at_ms
        .is_some_and(|at| at <= view.fleet.deadline_ms(now.fleet_ms))
    {
        "expired"
    } else if token.uses.is_some_and(|uses| used >= uses) {
        "spent"
    } else {
        "active"
    };
    TokenShown {
        created_at: rfc3339(token.created_ms),
        created_by: token.created_by.clone(),
        expires_at: token.expires_wall_ms.map(rfc3339),
        id: token.id.clone(),
        labels: token.labels.iter().cloned().collect(),
        name: token.name.clone(),
        state,
        token: None,
        used,
        uses: token.uses,
    }
}
