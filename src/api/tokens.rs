//! `/tokens`: who may use this interface. A token is shown when it is made and never again; the fleet keeps its hash.

use std::sync::Arc;

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::{Role, Token};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::role_name;
use super::backend::{Now, View};
use super::extract::{Params, Segments, Write};
use super::openapi::Operation;
use super::paging::{List, Page, take};
use super::problem::{Code, Problem};
use super::reject::refused;
use super::timestamp::rfc3339;
use crate::secrets;

/// The longest time that a token may have: ten years.
pub(super) const TTL_SECONDS_MAX: u64 = 315_360_000;

/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 63;

/// A page of tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    pub(super) limit: Option<String>,
    pub(super) r#continue: Option<String>,
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct Form {
    /// Who acts by it, for logs and audit.
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9 ._@+-]{0,61}[A-Za-z0-9._@+-])?$")]
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(pattern = "^(viewer|operator|admin)$")]
    role: String,
    /// Without it the token does not expire.
    #[schema(minimum = 1, maximum = 315_360_000)]
    ttl_seconds: Option<u64>,
}

/// A page of tokens, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    applied_index: u64,
    r#continue: Option<String>,
    items: Vec<TokenShown>,
}

/// A token without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenShown {
    created_at: String,
    /// The name of a token; null for the first one.
    created_by: Option<Arc<str>>,
    expired: bool,
    expires_at: Option<String>,
    id: Arc<str>,
    name: Arc<str>,
    /// `viewer`, `operator` or `admin`.
    role: &'static str,
    /// Shown once, when it is made; not when the call is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

const ALL: &str = "/api/v1/tokens";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(ALL, "list_tokens", "Tokens, by id")
            .query::<ListQuery>()
            .answers::<TokenList>(200, "A page"),
        Operation::write(Method::POST, ALL, "create_token", "Make a token")
            .says("Its text is shown in this answer and never again.")
            .takes::<Form>(&json!({"name": "deploy", "role": "operator", "ttl_seconds": 86400}))
            .answers::<TokenShown>(201, "The token"),
        Operation::write(
            Method::DELETE,
            "/api/v1/tokens/{id}",
            "delete_token",
            "Revoke a token, at once",
        )
        .answers_nothing(204, "It is revoked")
        .fails(&[Code::LastAdminToken, Code::TokenNotFound]),
    ]
}

/// `GET /tokens`, by id.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<TokenList>, Problem> {
    let page = Page::new(List::Tokens, query.limit.as_deref(), &[])?;
    let after = after(&page, query.r#continue.as_deref())?;
    let view = api.backend.view();
    let now = api.backend.now();
    let tokens = view.fleet.tokens_after(after.as_deref());
    let (items, next) = take(tokens, &page, |token| token.id.as_bytes());
    let items = items
        .into_iter()
        .map(|token| shown(&view, now, token))
        .collect();
    Ok(Json(TokenList {
        applied_index: view.applied_index,
        r#continue: next,
        items,
    }))
}

/// The id after which a page begins.
pub(super) fn after(page: &Page, token: Option<&str>) -> Result<Option<String>, Problem> {
    page.after(token)?
        .map(|key| String::from_utf8(key).map_err(|_| page.foreign()))
        .transpose()
}

/// `POST /tokens`.
pub(crate) async fn create(State(api): State<Api>, write: Write) -> Result<Response, Problem> {
    let form: Form = write.json()?;
    let now = api.backend.now();
    let life = Life::of(form.ttl_seconds, &api.backend.view(), now)?;
    let (text, id) = fresh(&api);
    let token = Token {
        id: id.clone(),
        name: checked_label(&form.name)?,
        role: role(&form.role)?,
        hash: secrets::hash(&text),
        created_ms: now.wall_ms,
        expires_at_ms: life.at_ms,
    };
    let proposal = Proposal::CreateToken {
        token,
        expires_wall_ms: life.wall_ms,
    };
    let committed = write.ask(&api, proposal).await?;
    let Outcome::Token(made) = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    let mut body = shown(&api.backend.view(), now, &made);
    // a repeated call made none: what the first one made was shown then
    if made.id == id {
        body.token = Some(text);
    }
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `DELETE /tokens/{id}`.
pub(crate) async fn delete(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let proposal = Proposal::DeleteToken { id: id.into() };
    let committed = write.ask(&api, proposal).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A fresh secret of 256 random bits, and an id that says nothing of it.
pub(super) fn fresh(api: &Api) -> (String, Arc<str>) {
    let mut random = [0; 32];
    random[..16].copy_from_slice(&api.backend.random());
    random[16..].copy_from_slice(&api.backend.random());
    let id = hex::encode(api.backend.random());
    (secrets::text(random), id[..16].into())
}

/// When something ends: in deadline time, which decides, and in wall time, for people.
pub(super) struct Life {
    pub(super) at_ms: Option<u64>,
    pub(super) wall_ms: Option<u64>,
}

impl Life {
    /// # Errors
    /// `ttl_seconds` is out of range.
    pub(super) fn of(ttl_seconds: Option<u64>, view: &View, now: Now) -> Result<Life, Problem> {
        let Some(seconds) = ttl_seconds else {
            return Ok(Life {
                at_ms: None,
                wall_ms: None,
            });
        };
        if !(1..=TTL_SECONDS_MAX).contains(&seconds) {
            return Err(Problem::at(
                Code::ValidationFailed,
                "/ttl_seconds",
                format_args!("a token lives 1 to {TTL_SECONDS_MAX} seconds"),
            ));
        }
        Ok(Life {
            at_ms: Some(view.fleet.deadline_ms(now.fleet_ms) + seconds * 1_000),
            wall_ms: Some(now.wall_ms + seconds * 1_000),
        })
    }
}

/// Checks the name of a token: it stands in logs and in the audit as who did something.
pub(super) fn checked_label(name: &str) -> Result<Arc<str>, Problem> {
    let bytes = name.as_bytes();
    let starts = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
    let ends = bytes.last().is_some_and(|byte| *byte != b' ');
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b" ._-@+".contains(byte);
    if starts && ends && bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(fine) {
        return Ok(Arc::from(name));
    }
    Err(Problem::at(
        Code::ValidationFailed,
        "/name",
        "the name of a token has 1 to 63 characters of A-Z, a-z, 0-9, space, '.', '_', '-', '@' and '+', and begins \
         with a letter or digit",
    ))
}

fn role(text: &str) -> Result<Role, Problem> {
    [Role::Viewer, Role::Operator, Role::Admin]
        .into_iter()
        .find(|role| role_name(*role) == text)
        .ok_or_else(|| {
            Problem::at(
                Code::ValidationFailed,
                "/role",
                "a role is viewer, operator or admin",
            )
        })
}

fn shown(view: &View, now: Now, token: &Token) -> TokenShown {
    let note = view.fleet.token_note(&token.id);
    let expired = token
        .expires_at_ms
        .is_some_and(|at| at <= view.fleet.deadline_ms(now.fleet_ms));
    TokenShown {
        created_at: rfc3339(token.created_ms),
        created_by: note.map(|note| note.created_by.clone()),
        expired,
        expires_at: note.and_then(|note| note.expires_wall_ms).map(rfc3339),
        id: token.id.clone(),
        name: token.name.clone(),
        role: role_name(token.role),
        token: None,
    }
}

#[cfg(test)]
mod tests;
