//! What handlers take: the caller, a body within its limit and time, parameters of path and query. Every
//! failure is a [`Problem`] that points at its place.

use std::net::IpAddr;
use std::sync::Arc;

use ampora_raft::proposal::{Idempotency, Origin, Proposal};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::Api;
use super::auth::Caller;
use super::backend::Committed;
use super::idempotency::{self, idempotency};
use super::problem::{Code, Detail, Problem};

/// The id of a request, put there by the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// The address of the client of a request, put there by the listener. It is what limits, logs and audit go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

#[cfg(test)]
impl ClientAddr {
    /// Where requests of tests come from.
    pub(crate) const LOCAL: ClientAddr = ClientAddr(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
}

impl FromRequestParts<Api> for ClientAddr {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<ClientAddr, Problem> {
        extension::<ClientAddr>(parts)
    }
}

/// A request that changes something: its head, its whole body, and the key that makes it safe to repeat.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
    /// Who asks; with the key.
    pub(crate) origin: Origin,
    /// From where.
    pub(crate) client: ClientAddr,
}

impl Write {
    /// The media type of the body in lower case without parameters; empty when there is none.
    pub(crate) fn media_type(&self) -> String {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 415 for another content type, 400 for broken JSON, 422 for JSON of another shape; both with the line.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media = self.media_type();
        if media != "application/json" && !media.ends_with("+json") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the body as application/json",
            ));
        }
        parse(&self.body)
    }

    /// Proposes what the request asks, so that what it changes leaves an audit record.
    ///
    /// # Errors
    /// The log has no answer.
    pub(crate) async fn ask(&self, api: &Api, proposal: Proposal) -> Result<Committed, Problem> {
        let asked = proposal.asked(self.client.0.to_string().into());
        let committed = api.backend.propose(self.origin.clone(), asked).await?;
        Ok(committed)
    }

    /// The origin of a step that is safe to repeat by its nature and needs no key.
    pub(crate) fn step_origin(&self) -> Origin {
        Origin {
            idempotency: None,
            ..self.origin.clone()
        }
    }
}

/// Parses a body, always an object; `serde_json` limits depth to 128.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A struct would be read from an array too, field by field: nobody means that.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(
            Code::ValidationFailed,
            "the body is a JSON object",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let code = match error.classify() {
            serde_json::error::Category::Data => Code::ValidationFailed,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => Code::InvalidJson,
        };
        Problem::new(code, &error).with(Detail {
            pointer: None,
            line: Some(error.line() as u64),
            column: Some(error.column() as u64),
            detail: error.to_string(),
        })
    })
}

impl FromRequest<Api> for Write {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Write, Problem> {
        let (parts, body) = request.into_parts();
        let caller = extension::<Caller>(&parts)?;
        let request_id = extension::<RequestId>(&parts)?.0;
        let client = extension::<ClientAddr>(&parts)?;
        not_encoded(&parts.headers)?;
        let body = read(&parts.headers, body, api).await?;
        let key: Idempotency = idempotency(
            &parts.headers,
            idempotency::Request {
                method: parts.method.as_str(),
                path: parts.uri.path(),
                query: parts.uri.query().unwrap_or_default(),
                actor: &caller.actor,
                body: &body,
            },
            api.backend.random(),
        )?;
        Ok(Write {
            headers: parts.headers,
            body,
            origin: Origin {
                actor: caller.actor,
                request_id,
                idempotency: Some(key),
            },
            client,
        })
    }
}

/// A request that reads what not everybody may, or what must be noted.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// Who asks.
    pub(crate) caller: Caller,
    request_id: Arc<str>,
    client: ClientAddr,
}

impl Reader {
    /// Proposes what only leaves an audit record.
    ///
    /// # Errors
    /// The log has no answer.
    pub(crate) async fn note(&self, api: &Api, proposal: Proposal) -> Result<Committed, Problem> {
        let origin = Origin {
            actor: self.caller.actor.clone(),
            request_id: self.request_id.clone(),
            idempotency: None,
        };
        let asked = proposal.asked(self.client.0.to_string().into());
        Ok(api.backend.propose(origin, asked).await?)
    }
}

impl FromRequestParts<Api> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Reader, Problem> {
        Ok(Reader {
            caller: extension::<Caller>(parts)?,
            request_id: extension::<RequestId>(parts)?.0,
            client: extension::<ClientAddr>(parts)?,
        })
    }
}

/// What a layer left on the request.
fn extension<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<T, Problem> {
    parts
        .extensions
        .get::<T>()
        .cloned()
        .ok_or_else(|| Problem::new(Code::Internal, "the route lacks its layers"))
}

/// Bodies are taken as they are: one that says it is compressed would be kept as something else than was meant.
fn not_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let problem = Problem::at(
        Code::UnsupportedMediaType,
        "/headers/content-encoding",
        "send the body without a content encoding",
    );
    Err(problem.header(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    ))
}

/// Reads a body within its limit and time; a declared length over the limit is refused unread.
async fn read(headers: &HeaderMap, body: Body, api: &Api) -> Result<Bytes, Problem> {
    let limits = &api.settings.limits;
    let too_large = || {
        Problem::new(
            Code::PayloadTooLarge,
            format_args!("a body may have {} bytes", limits.body_bytes),
        )
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let whole = Limited::new(body, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_timeout, whole).await {
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format_args!(
                "the body did not arrive within {} s",
                limits.body_timeout.as_secs()
            ),
        )),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(
            Code::InvalidParameter,
            format_args!("the body could not be read: {error}"),
        )),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Parameters of the query. Unknown ones are refused by the types, so that a misspelt filter never means
/// "everything".
#[derive(Clone, Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Params<T>, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(rejection) => Err(Problem::at(
                Code::InvalidParameter,
                "/query",
                rejection.body_text(),
            )),
        }
    }
}

/// A parameter of the path.
#[derive(Clone, Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Segments<T>, Problem> {
        match Path::<T>::from_request_parts(parts, api).await {
            Ok(Path(segments)) => Ok(Segments(segments)),
            Err(rejection) => Err(Problem::at(
                Code::InvalidParameter,
                "/path",
                rejection.body_text(),
            )),
        }
    }
}
