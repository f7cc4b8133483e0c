//! Who calls: a bearer token, looked up by its SHA-256 among the tokens of the fleet.

use std::sync::Arc;

use ampora_raft::records::Role;
use http::{HeaderMap, HeaderValue, header};

use super::Api;
use super::backend::{Now, View};
use super::extract::ClientAddr;
use super::problem::{Code, Problem};
use crate::secrets;

/// Bytes of a token's text at most: `amp_` and 256 bits are 47 characters in base64.
const TOKEN_BYTES_MAX: usize = 256;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: probes and metrics.
    Open,
    /// A token of this role or a higher one.
    Needs(Role),
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name: the actor in what is recorded.
    pub actor: Arc<str>,
    /// What it allows.
    pub role: Role,
}

/// Finds the caller of a request. Clients that show too many tokens which do not work are told to wait; one that
/// works is taken at any time, so that nobody behind the same address is locked out by others.
///
/// # Errors
/// 401 without a token, or with one that is unknown or over; 429 after too many of the latter.
pub(crate) fn identify<B>(api: &Api, request: &http::Request<B>) -> Result<Caller, Problem> {
    let headers = request.headers();
    let now = api.backend.now();
    let found = authenticate(headers, &api.backend.view(), now);
    // who shows nothing guesses nothing
    let guessed = found.is_err() && headers.contains_key(header::AUTHORIZATION);
    let client = request.extensions().get::<ClientAddr>();
    if let Some(client) = client.filter(|_| guessed) {
        api.attempts
            .failed(client.0, now.boot_ms)
            .map_err(|too_many| {
                Problem::new(
                    Code::TooManyAttempts,
                    "too many tokens that do not work came from this address",
                )
                .header(
                    header::RETRY_AFTER,
                    HeaderValue::from(too_many.retry_after_seconds),
                )
            })?;
    }
    found
}

/// Finds the caller by its headers.
fn authenticate(headers: &HeaderMap, view: &View, now: Now) -> Result<Caller, Problem> {
    let text = bearer(headers).ok_or_else(|| {
        refuse(
            "send the header \"Authorization: Bearer amp_…\"",
            "Bearer realm=\"ampora\"",
        )
    })?;
    let hash = secrets::hash(text);
    let now_ms = view.fleet.deadline_ms(now.fleet_ms);
    view.fleet
        .token(&hash)
        .filter(|token| secrets::equal(&token.hash, &hash))
        .filter(|token| token.expires_at_ms.is_none_or(|at| now_ms < at))
        .map(|token| Caller {
            actor: token.name.clone(),
            role: token.role,
        })
        .ok_or_else(|| {
            refuse(
                "the token is unknown, revoked or expired",
                "Bearer realm=\"ampora\", error=\"invalid_token\"",
            )
        })
}

/// Checks that a caller may use a route.
///
/// # Errors
/// 403 when the role is too low.
pub fn authorise(caller: &Caller, needs: Role) -> Result<(), Problem> {
    if caller.role >= needs {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        format_args!(
            "this needs the role {}, the token {:?} has {}",
            role_name(needs),
            caller.actor,
            role_name(caller.role)
        ),
    ))
}

/// The word for a role.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// The credentials of an `Authorization: Bearer` header; the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer")
        && token.starts_with(secrets::PREFIX)
        && token.len() <= TOKEN_BYTES_MAX)
        .then_some(token)
}

fn refuse(detail: &str, challenge: &'static str) -> Problem {
    Problem::new(Code::Unauthenticated, detail).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}
