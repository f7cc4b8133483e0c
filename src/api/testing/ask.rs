//! Requests to a node in memory, and its answers.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::Site;
use crate::api::extract::ClientAddr;
use crate::api::openapi::{self, shape};

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The JSON of an answer that must have this status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self.json()
    }

    /// Checks that the answer is a whole problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.ok(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:ampora:problem:{code}"));
        assert_eq!(
            body["request_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        assert!(
            body["retryable"].is_boolean() && body["errors"].is_array(),
            "{body}"
        );
        assert!(
            ["no", "yes", "unknown"].contains(&body["may_have_taken_effect"].as_str().unwrap()),
            "{body}"
        );
        body
    }

    /// Checks that the answer is one that the document tells of.
    fn check(&self, method: &Method, path: &str) {
        let Some(operation) = shape::operation(&DOCUMENT, method.as_str(), path) else {
            return;
        };
        let (status, headers) = (self.status.as_u16(), &self.headers);
        let checked = shape::check_answer(&DOCUMENT, operation, status, headers, &self.body);
        if let Err(why) = checked {
            panic!(
                "{method} {path} answers {status} and {why}: {:?}",
                self.body
            );
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// The document, which every answer of every test has to be true to.
static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// A request under construction.
pub(crate) struct Ask<'a> {
    site: &'a Site,
    request: http::request::Builder,
    body: Body,
}

impl<'a> Ask<'a> {
    pub(super) fn new(site: &'a Site, method: Method, path: &str) -> Self {
        Self {
            site,
            request: Request::builder().method(method).uri(path),
            body: Body::empty(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Asks with the token of a role.
    pub(crate) fn role(self, role: &str) -> Self {
        self.header("authorization", &format!("Bearer amp_{role}"))
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Body::from(body.to_string());
        self.header("content-type", "application/json")
    }

    pub(crate) fn raw(mut self, media: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header("content-type", media)
    }

    pub(crate) async fn send(self) -> Answer {
        self.send_whole().await.unwrap()
    }

    /// The answer, unless it breaks off.
    pub(crate) async fn send_whole(self) -> Result<Answer, axum::Error> {
        let request = self.request.extension(ClientAddr::LOCAL);
        let request: Request<Body> = request.body(self.body).unwrap();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response: Response = self.site.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
        };
        answer.check(&method, &path);
        Ok(answer)
    }
}
