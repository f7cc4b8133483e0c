//! The shapes of this door's HTTP replies. Refusals are short texts: a large or packed error body harms some
//! clients (C-307).

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, UPGRADE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::exchange::Denied;

/// The content type of both directions; some clients compare it exactly.
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// A short text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// A short text after which the connection ends: the rest of the request is not read.
pub(super) fn last(status: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(status, message);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// The door is too crowded; the peer may come back after so many seconds.
pub(super) fn later(seconds: u64) -> Response<Full<Bytes>> {
    let mut response = last(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many connections, come back later",
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The node that serves the agent does not answer; the same message may be sent again after so many seconds.
pub(super) fn unanswered(seconds: u64) -> Response<Full<Bytes>> {
    let mut response = text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the node that serves this agent does not answer, come back later",
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The peer shows no credential that works (C-283, C-284), or has done so too often (C-290).
pub(super) fn denied(denied: Denied) -> Response<Full<Bytes>> {
    let (status, text) = match denied {
        Denied::Unknown => (
            StatusCode::UNAUTHORIZED,
            "agents need an enrollment token: Authorization: Bearer amp_...",
        ),
        Denied::TooMany(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests without a valid enrollment token, come back later",
        ),
    };
    let mut response = last(status, text);
    let (name, value) = match denied {
        Denied::Unknown => (
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"ampora agents\""),
        ),
        Denied::TooMany(seconds) => (RETRY_AFTER, HeaderValue::from(seconds)),
    };
    response.headers_mut().insert(name, value);
    response
}

/// A method that the path does not have.
pub(super) fn wrong_method() -> Response<Full<Bytes>> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "use POST, or GET with an upgrade",
    );
    let allowed = HeaderValue::from_static("GET, POST");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// A GET that opens no WebSocket.
pub(super) fn upgrade_required() -> Response<Full<Bytes>> {
    let mut response = text(
        StatusCode::UPGRADE_REQUIRED,
        "agents connect here by WebSocket, or by POST of application/x-protobuf",
    );
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}

/// The reply of an exchange.
pub(super) fn protobuf(body: Bytes, packed: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
