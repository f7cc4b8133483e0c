//! Errors as RFC 9457 problems with stable codes. A handler chooses a [`Code`] and says what happened; the
//! outermost layer writes the body, because it alone knows the request id.

use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// Media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Details of one answer are never more than this many: what a person reads at once.
pub(crate) const DETAILS_MAX: usize = 32;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $status:ident, $retry:literal, $title:literal;)*) => {
        /// Stable codes of REST errors, in alphabetical order. `docs/errors.md` lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The text in `code`; never changes.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)* }
            }

            /// Whether the same request may succeed when it is sent again unchanged.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                match self { $(Code::$name => $retry,)* }
            }

            /// When it is answered.
            fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// A short summary that is the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }
        }
    };
}

/// Every code as a table: the made part of `docs/errors.md`.
#[must_use]
pub fn reference() -> String {
    let mut table =
        "\n| code | status | the same again may succeed | answered when |\n|---|---|---|---|\n"
            .to_owned();
    for code in Code::ALL {
        let retry = if code.is_retryable() { "yes" } else { "no" };
        let (name, status, meaning) = (code.as_str(), code.status().as_u16(), code.meaning());
        table.push_str(&format!("| `{name}` | {status} | {retry} | {meaning} |\n"));
    }
    table.push('\n');
    table
}

codes! {
    /// An agent is forgotten only when it is disconnected.
    AgentConnected = "agent_connected", CONFLICT, false, "the agent is not disconnected";
    /// No agent with this uid is known.
    AgentNotFound = "agent_not_found", NOT_FOUND, false, "no such agent";
    /// The node runs in a cluster of several already.
    AlreadyMember = "already_member", CONFLICT, false, "the node is a member already";
    /// Parts of a body vanished between upload and use.
    BodyIncomplete = "body_incomplete", CONFLICT, true, "the uploaded body is not whole";
    /// The node that holds a reported body is away, or its file was swept.
    BodyUnavailable = "body_unavailable", SERVICE_UNAVAILABLE, true, "the reported body cannot be had";
    /// No configuration of this name.
    ConfigurationNotFound = "configuration_not_found", NOT_FOUND, false, "no such configuration";
    /// The token of a list is mangled or belongs to another list.
    ContinueInvalid = "continue_invalid", BAD_REQUEST, false, "the continue token is not valid here";
    /// No dispatch with this id.
    DispatchNotFound = "dispatch_not_found", NOT_FOUND, false, "no such dispatch";
    /// A configuration without bytes stops a collector, so it must be asked for.
    EmptyConfiguration = "empty_configuration", UNPROCESSABLE_ENTITY, false, "the configuration is empty";
    /// The token's role does not allow this.
    Forbidden = "forbidden", FORBIDDEN, false, "the role of this token does not allow it";
    /// No group of this name.
    GroupNotFound = "group_not_found", NOT_FOUND, false, "no such group";
    /// What keeps the past is away, or did not answer in time.
    HistoryUnavailable = "history_unavailable", SERVICE_UNAVAILABLE, true, "the past cannot be told at this moment";
    /// The past is not kept in a form that answers this: it needs `postgres.url`, or the fleet of a past time was to be filtered.
    HistoryUnsupported = "history_unsupported", CONFLICT, false, "the past is not kept in a form that answers this";
    /// What the node holds would be lost to it by joining another cluster.
    HoldsData = "holds_data", CONFLICT, false, "the node is not empty";
    /// The key is empty, too long, or not printable ASCII.
    IdempotencyKeyInvalid = "idempotency_key_invalid", BAD_REQUEST, false, "the idempotency key is not valid";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", CONFLICT, false, "the idempotency key stands for another request";
    /// A fault of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, false, "the server failed";
    /// The body is not JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, false, "the body is not valid JSON";
    /// A part of the address or a header is malformed.
    InvalidParameter = "invalid_parameter", BAD_REQUEST, false, "a parameter is not valid";
    /// The selector cannot be read.
    InvalidSelector = "invalid_selector", UNPROCESSABLE_ENTITY, false, "the selector is not valid";
    /// A YAML file has a syntax error.
    InvalidYaml = "invalid_yaml", UNPROCESSABLE_ENTITY, false, "the file is not valid YAML";
    /// The other cluster does not let this node in, for a reason that it gives.
    JoinRefused = "join_refused", CONFLICT, false, "the cluster does not let this node in";
    /// The agent does not announce what the action needs.
    LacksCapability = "lacks_capability", CONFLICT, false, "the agent cannot do this";
    /// Nobody could make another token.
    LastAdminToken = "last_admin_token", CONFLICT, false, "the last token of an administrator stays";
    /// Not every node can apply what the level allows, or it is lower than the one in use.
    LevelRefused = "level_refused", CONFLICT, false, "the feature level cannot be set";
    /// A collection is full.
    LimitReached = "limit_reached", CONFLICT, false, "a limit of the fleet is reached";
    /// The path knows other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, false, "the method is not allowed here";
    /// No node with this id belongs to the cluster.
    NodeNotFound = "node_not_found", NOT_FOUND, false, "no such node";
    /// The node is ending.
    NodeStopping = "node_stopping", SERVICE_UNAVAILABLE, true, "the node is stopping";
    /// Nothing lives at this path.
    NotFound = "not_found", NOT_FOUND, false, "no such path";
    /// No leader could be reached.
    NotLeader = "not_leader", SERVICE_UNAVAILABLE, true, "no leader could be reached";
    /// The agent never sent such a body.
    NotReported = "not_reported", NOT_FOUND, false, "the agent has not reported it";
    /// No version is quarantined in the group.
    NothingQuarantined = "nothing_quarantined", CONFLICT, false, "nothing is quarantined";
    /// The group has no version to go back to.
    NothingToRevert = "nothing_to_revert", CONFLICT, false, "there is nothing to go back to";
    /// The log was asked and did not answer in time.
    OutcomeUnknown = "outcome_unknown", GATEWAY_TIMEOUT, true, "the outcome is not known";
    /// More work waits than may.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, true, "the node has too much to do";
    /// The body is larger than it may be.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, false, "the body is too large";
    /// The door for other nodes cannot be opened, or nobody could be told where it is.
    PeerDoorClosed = "peer_door_closed", CONFLICT, false, "other nodes cannot reach this one";
    /// No member of the other cluster answers.
    PeerUnreachable = "peer_unreachable", BAD_GATEWAY, true, "the other cluster cannot be reached";
    /// The resource changed since it was read.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, false, "the resource is not as expected";
    /// Too few voters would be live: the detail has the calculation.
    QuorumWouldBeLost = "quorum_would_be_lost", CONFLICT, false, "the change would lose the quorum";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, true, "the request did not arrive in time";
    /// Not taken on this node, or held no longer.
    SnapshotNotFound = "snapshot_not_found", NOT_FOUND, false, "no such snapshot";
    /// No token with this id.
    TokenNotFound = "token_not_found", NOT_FOUND, false, "no such token";
    /// More agents would change than the caller allows.
    TooManyAffected = "too_many_affected", CONFLICT, false, "more agents would change than allowed";
    /// The client has shown too many tokens that do not work.
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, true, "too many failed attempts";
    /// No token, or one that is unknown or over.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, false, "a valid token is needed";
    /// The log takes no entries.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, true, "changes cannot be made at this time";
    /// The content type is not one of those taken here.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, false, "the content type is not taken here";
    /// The address is longer than it may be.
    UriTooLong = "uri_too_long", URI_TOO_LONG, false, "the address is too long";
    /// The body is JSON and says something that cannot be.
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, false, "the request is not valid";
    /// The configuration has no such version.
    VersionNotFound = "version_not_found", NOT_FOUND, false, "no such version";
    /// There may be no more voters, or their number would be even.
    VotersLimit = "voters_limit", CONFLICT, false, "the number of voters cannot be that";
}

impl Code {
    /// Whether a request answered so may have changed something: `no` or `unknown`.
    #[must_use]
    pub fn may_have_taken_effect(self) -> &'static str {
        if self == Code::OutcomeUnknown || self == Code::Internal {
            "unknown"
        } else {
            "no"
        }
    }
}

/// One place of a request and what is wrong there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemPlace)]
pub struct Detail {
    /// From 1.
    #[schema(required)]
    pub column: Option<u64>,
    /// What is wrong.
    pub detail: String,
    /// From 1.
    #[schema(required)]
    pub line: Option<u64>,
    /// A JSON pointer into the body, or `/query/NAME`, `/path/NAME`, `/headers/NAME`.
    #[schema(required)]
    pub pointer: Option<String>,
}

/// The body of every error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// Stable: what a program goes by.
    code: &'a str,
    /// What happened this time.
    detail: &'a str,
    /// Places in the request, 32 at most.
    errors: &'a [Detail],
    /// Whether something may have changed: after `unknown`, look before the call is repeated.
    #[schema(pattern = "^(no|yes|unknown)$")]
    may_have_taken_effect: &'a str,
    /// The id in the log of the node.
    request_id: &'a str,
    /// Whether the same call may succeed later.
    retryable: bool,
    /// The HTTP status.
    status: u16,
    /// The same for every occurrence.
    title: &'a str,
    /// A URN that ends with the code.
    r#type: String,
}

/// A refusal on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<Detail>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem that says what happened this time.
    pub fn new(code: Code, detail: impl fmt::Display) -> Problem {
        let mut headers = Vec::new();
        if code.is_retryable() && code.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        Problem {
            code,
            detail: detail.to_string(),
            errors: Vec::new(),
            headers,
        }
    }

    /// A problem of one place.
    pub fn at(code: Code, pointer: impl Into<String>, detail: impl fmt::Display) -> Problem {
        let detail = detail.to_string();
        Problem::new(code, &detail).with(Detail {
            pointer: Some(pointer.into()),
            detail,
            ..Detail::default()
        })
    }

    /// The same with one more place; silently full at 32.
    #[must_use]
    pub fn with(mut self, detail: Detail) -> Problem {
        if self.errors.len() < DETAILS_MAX {
            self.errors.push(detail);
        }
        self
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body.
    #[must_use]
    pub fn body<'a>(&'a self, request_id: &'a str) -> Body<'a> {
        Body {
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
            may_have_taken_effect: self.code.may_have_taken_effect(),
            request_id,
            retryable: self.code.is_retryable(),
            status: self.code.status().as_u16(),
            title: self.code.title(),
            r#type: format!("urn:ampora:problem:{}", self.code.as_str()),
        }
    }

    /// The whole answer.
    #[must_use]
    pub fn into_answer(self, request_id: &str) -> Response {
        let body = Json(self.body(request_id));
        let mut response = (self.code.status(), body).into_response();
        let media = HeaderValue::from_static(MEDIA_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Carries the problem to the outermost layer, which writes it with the request id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The code for an error status that came without a problem, from a layer below the handlers.
#[must_use]
pub fn code_of_status(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::URI_TOO_LONG => Code::UriTooLong,
        status if status.is_client_error() => Code::InvalidParameter,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_unique_and_in_alphabetical_order() {
        let texts: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        assert_eq!(texts, sorted);
        let unique: BTreeSet<&str> = texts.iter().copied().collect();
        assert_eq!(unique.len(), texts.len());
    }

    #[test]
    fn every_code_is_an_error_status_and_5xx_says_whether_to_retry() {
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            if code.status() == StatusCode::SERVICE_UNAVAILABLE {
                assert!(code.is_retryable(), "{}", code.as_str());
                assert_eq!(code.may_have_taken_effect(), "no", "{}", code.as_str());
            }
        }
    }

    #[test]
    fn a_problem_has_every_field_of_the_contract() {
        let problem = Problem::at(Code::InvalidParameter, "/query/limit", "must be 1 to 1000");
        let body = json!(problem.body("r1"));
        assert_eq!(
            body,
            json!({
                "type": "urn:ampora:problem:invalid_parameter",
                "title": "a parameter is not valid",
                "status": 400,
                "detail": "must be 1 to 1000",
                "code": "invalid_parameter",
                "retryable": false,
                "may_have_taken_effect": "no",
                "request_id": "r1",
                "errors": [{"pointer": "/query/limit", "line": null, "column": null, "detail": "must be 1 to 1000"}],
            })
        );
    }
}
