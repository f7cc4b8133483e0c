//! The outermost layer: gives a request its id, bounds address and concurrency, writes problems, and logs one
//! line.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Api;
use super::auth::Caller;
use super::extract::{ClientAddr, RequestId};
use super::problem::{Code, Problem, code_of_status};

/// The header of request ids.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a foreign request id: it is kept in the log with each entry.
const REQUEST_ID_MAX: usize = 64;

/// Wraps a whole call.
pub(crate) async fn answer(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = api.backend.now();
    let id = request_id(request.headers(), &api);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let client = request.extensions().get::<ClientAddr>().copied();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = admit(&api, request, next).await;
    let actor = response.extensions_mut().remove::<Caller>();
    let mut response = written(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let duration_ms = api.backend.now().boot_ms.saturating_sub(began.boot_ms);
    let status = response.status();
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                http.method = %method,
                http.path = %path,
                http.status = status.as_u16(),
                duration_ms,
                request.id = %id,
                client.address = client.map(|client| client.0.to_string()),
                actor = actor.as_ref().map(|caller| &*caller.actor),
                "request answered"
            )
        };
    }
    // reads are many and change nothing
    if method.is_safe() && !status.is_server_error() {
        say!(debug);
    } else {
        say!(info);
    }
    response
}

/// Lets a call in: the address within its limit, and calls of the API under their bound. Probes and metrics
/// are never queued behind calls.
async fn admit(api: &Api, request: Request, next: Next) -> Response {
    let length = request
        .uri()
        .path_and_query()
        .map_or(0, |part| part.as_str().len());
    if length > api.settings.limits.uri_bytes {
        return Problem::new(
            Code::UriTooLong,
            format_args!(
                "path and query may have {} bytes",
                api.settings.limits.uri_bytes
            ),
        )
        .into_response();
    }
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let Ok(_permit) = api.calls.try_acquire() else {
        return Problem::new(
            Code::Overloaded,
            format_args!(
                "{} calls are under way, as many as may be",
                api.settings.limits.concurrent_calls
            ),
        )
        .into_response();
    };
    next.run(request).await
}

/// Writes a problem that a handler left, or makes one of a bare error status.
fn written(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return keep_allow(&response, problem.into_answer(id));
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        // Probes answer 503 with a body of their own.
        let has_body = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value == "application/json");
        if !has_body {
            let problem = Problem::new(code_of_status(status), status);
            return keep_allow(&response, problem.into_answer(id));
        }
    }
    response
}

/// Keeps the `Allow` header that the router wrote for a method that a path does not know.
fn keep_allow(from: &Response, mut to: Response) -> Response {
    if let Some(allow) = from.headers().get(header::ALLOW) {
        to.headers_mut().insert(header::ALLOW, allow.clone());
    }
    to
}

/// The caller's id when it is sane, else one made here.
fn request_id(headers: &HeaderMap, api: &Api) -> Arc<str> {
    let sane = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(sane)
        .map_or_else(|| Arc::from(hex::encode(api.backend.random())), Arc::from)
}

/// Whether a path is a route that anybody may ask; used where no route was matched.
pub(crate) fn matched(request: &Request) -> Option<&str> {
    request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str)
}
