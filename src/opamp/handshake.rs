//! The opening of a WebSocket (RFC 6455 §4.2): is the request one, and the answer to it. No extension is ever
//! agreed to: declining compression is legal, and agreeing to it badly breaks the Go client (C-026).

use base64::Engine;
use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::Full;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::reply;

/// The only version there is.
const VERSION: &str = "13";

/// Whether a request wants a WebSocket, rightly or not.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Why a request opens no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not an opening, and the text says why.
    Opening(&'static str),
    /// It speaks another version.
    Version,
    /// It comes from a page of another origin.
    Origin,
}

impl Refused {
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        match self {
            Self::Opening(why) => reply::text(StatusCode::BAD_REQUEST, why),
            Self::Version => {
                let mut response = reply::text(
                    StatusCode::UPGRADE_REQUIRED,
                    "`Sec-WebSocket-Version: 13` is missing",
                );
                let version = HeaderValue::from_static(VERSION);
                response
                    .headers_mut()
                    .insert(SEC_WEBSOCKET_VERSION, version);
                response
            }
            Self::Origin => reply::text(
                StatusCode::FORBIDDEN,
                "pages of another origin do not open agents' sockets",
            ),
        }
    }
}

/// Checks the request; the answer to it is the switch of protocols.
///
/// # Errors
/// When it is not an opening that may be answered.
pub(super) fn accept<B>(request: &http::Request<B>) -> Result<Response<Full<Bytes>>, Refused> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Refused::Opening(
            "a WebSocket is opened by GET over HTTP/1.1",
        ));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Refused::Opening("`Connection: Upgrade` is missing"));
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != VERSION) {
        return Err(Refused::Version);
    }
    if !is_same_origin(headers) {
        return Err(Refused::Origin);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let accepted = key
        .filter(|key| is_key(key))
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key)).ok())
        .ok_or(Refused::Opening(
            "`Sec-WebSocket-Key` is not 16 bytes in base64",
        ))?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(response)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Agents send no `Origin`, browsers always do: a page that a person happens to look at must not speak to a
/// door that trusts its network.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
    matches!((origin, host), (Some((_, from)), Some(host)) if from.eq_ignore_ascii_case(host))
}

fn is_key(key: &[u8]) -> bool {
    base64::prelude::BASE64_STANDARD
        .decode(key)
        .is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut http::Request<()>)) -> http::Request<()> {
        let mut request = http::Request::get("/v1/opamp")
            .header("host", "ampora.example:4320")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .expect("a request");
        change(&mut request);
        request
    }

    fn status(change: impl FnOnce(&mut http::Request<()>)) -> u16 {
        let answered = accept(&request(change));
        let response = answered.unwrap_or_else(Refused::into_response);
        response.status().as_u16()
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let response = accept(&request(|_| {})).expect("accepted");
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        assert_eq!(
            accepted.map(HeaderValue::as_bytes),
            Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..])
        );
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn what_is_no_opening_is_refused_with_the_reason() {
        let set = |name: &'static str, value: &'static str| {
            move |request: &mut http::Request<()>| {
                let value = HeaderValue::from_static(value);
                request.headers_mut().insert(name, value);
            }
        };
        assert_eq!(status(set("sec-websocket-version", "8")), 426);
        assert_eq!(status(set("sec-websocket-key", "short")), 400);
        assert_eq!(status(set("connection", "close")), 400);
        assert_eq!(status(set("origin", "https://evil.example")), 403);
        assert_eq!(status(set("origin", "null")), 403);
        assert_eq!(status(set("origin", "http://ampora.example:4320")), 101);
        assert_eq!(status(|request| *request.method_mut() = Method::POST), 400);
        assert_eq!(
            status(|request| *request.version_mut() = Version::HTTP_10),
            400
        );
    }
}
