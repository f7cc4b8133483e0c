//! The whole document: every route of the table with its role, joined with what stands beside its handler.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::operation::{Answer, Header, Operation, Schemas};
use super::parameters;
use crate::api::auth::{Access, role_name};
use crate::api::problem::{Body, Code, MEDIA_TYPE};
use crate::api::router::{Route, routes};

const ABOUT: &str = "\
Control plane of agents that speak OpAMP. Every call but the open ones needs a bearer token (`amp_…`) of at least the \
role that `x-role` names: `viewer` reads, `operator` changes, `admin` does the rest.

Lists come in pages: `limit` (1 to 1000), and `continue`, an opaque token of the page before. Answers say with \
`applied_index` how far this node has applied the log. Writes take an `Idempotency-Key`; resources with an `ETag` take \
`If-Match`. Times are RFC 3339 in UTC with milliseconds. Answers may get more fields with later versions.

Every error is `application/problem+json`: `code` is stable, `retryable` says whether the same call may succeed later, \
`may_have_taken_effect` whether something may have changed. A method that a path does not know is 405 with `Allow`, \
whatever the path.";

const HEADINGS: [(&str, &str); 10] = [
    (
        "agents",
        "What runs where, and how it stands to what it should run.",
    ),
    ("configurations", "Named containers of immutable versions."),
    ("groups", "Which agents should run which version."),
    (
        "dispatches",
        "Instructions to agents, and what became of each.",
    ),
    ("cluster", "Nodes, leader, indexes."),
    ("audit", "Who changed what: a chain of hashes."),
    ("tokens", "Who may use this interface."),
    ("enrollment-tokens", "With what agents may come."),
    ("health", "What machines ask."),
    ("about", "This document."),
];

/// The document.
pub(crate) fn document() -> Value {
    let mut described = super::operations();
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = BTreeMap::new();
    collect(&mut schemas, problem_schemas(), false);
    for route in routes() {
        let position = described
            .iter()
            .position(|one| one.path == route.path && one.method == route.method);
        let operation = position.map(|at| described.swap_remove(at));
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        let method = route.method.as_str().to_ascii_lowercase();
        item[method] = operation
            .as_ref()
            .map_or_else(|| bare(&route), |operation| whole(&route, operation));
        if let Some(operation) = operation {
            collect(&mut schemas, operation.taken, false);
            collect(&mut schemas, operation.shown, true);
        }
    }
    let tags = HEADINGS.map(|(name, text)| json!({"name": name, "description": text}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ampora",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The node that this was asked of; any node serves any call."}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "amp_…",
                    "description": "A token of the fleet. The first one is in `admin.token` of the data directory.",
                },
            },
        },
    })
}

fn problem_schemas() -> Schemas {
    let mut schemas = Vec::new();
    Body::schemas(&mut schemas);
    schemas.push((Body::name().into_owned(), Body::schema()));
    schemas
}

/// Adds named schemas. What an answer may leave out is never null: where null is possible the field is always there.
fn collect(into: &mut BTreeMap<String, Value>, schemas: Schemas, shown: bool) {
    for (name, schema) in schemas {
        let mut schema = json!(schema);
        if shown {
            require_nullable(&mut schema);
        }
        into.insert(name, schema);
    }
}

fn require_nullable(schema: &mut Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let nullable = properties.iter().filter(|(_, property)| {
        let types = property["type"].as_array();
        let typed = types.is_some_and(|types| types.contains(&json!("null")));
        let either = property["oneOf"].as_array();
        typed || either.is_some_and(|either| either.contains(&json!({"type": "null"})))
    });
    let mut required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    required.extend(nullable.map(|(name, _)| json!(name)));
    schema["required"] = Value::from(required);
}

/// What every operation has by its route alone.
fn bare(route: &Route) -> Value {
    match route.access {
        Access::Open => json!({"security": [], "x-open": true}),
        Access::Needs(role) => json!({"security": [{"bearer": []}], "x-role": role_name(role)}),
    }
}

fn whole(route: &Route, operation: &Operation) -> Value {
    let mut described = bare(route);
    let who = match route.access {
        Access::Open => "Open: needs no token.".to_owned(),
        Access::Needs(role) => format!("Needs the role `{}`.", role_name(role)),
    };
    let text = match operation.text {
        "" => who,
        text => format!("{text}\n\n{who}"),
    };
    described["operationId"] = json!(operation.id);
    described["tags"] = json!([operation.tag]);
    described["summary"] = json!(operation.summary);
    described["description"] = json!(text);
    let mut all = parameters(operation);
    if is_read(route) {
        all.push(parameters::consistent());
    }
    described["parameters"] = Value::from(all);
    if !operation.body.is_empty() {
        let content: Map<String, Value> = operation
            .body
            .iter()
            .map(|(media, content)| ((*media).to_owned(), content.clone()))
            .collect();
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described["responses"] = responses(route, operation);
    described
}

/// A read of the fleet: it says how fresh it is.
fn is_read(route: &Route) -> bool {
    route.method == Method::GET && matches!(route.access, Access::Needs(_))
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let of_path = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .filter_map(|name| parameters::of_path(operation.path, name));
    let of_query = operation.query.iter().cloned().map(|mut parameter| {
        parameters::of_lists(&mut parameter);
        parameter
    });
    let of_headers = operation
        .headers
        .iter()
        .filter_map(|name| parameters::of_header(name));
    of_path.chain(of_query).chain(of_headers).collect()
}

fn responses(route: &Route, operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, answer) in &operation.answers {
        let mut answer = good(answer);
        if is_read(route) {
            for (name, text) in FRESHNESS {
                answer["headers"][name] = parameters::of_answer(sometimes(text));
            }
        }
        responses.insert(status.to_string(), answer);
    }
    let mut failures = operation.failures();
    let mut add = |code: Code| {
        let codes = failures.entry(code.status()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
            codes.sort_unstable();
        }
    };
    for code in everywhere(route) {
        add(*code);
    }
    if is_read(route) {
        for code in [
            Code::InvalidParameter,
            Code::NodeStopping,
            Code::NotLeader,
            Code::Unavailable,
        ] {
            add(code);
        }
    }
    for (status, codes) in failures {
        responses
            .entry(status.as_str())
            .or_insert_with(|| bad(status, &codes));
    }
    Value::from(responses)
}

/// What the layers around every handler can answer.
fn everywhere(route: &Route) -> &'static [Code] {
    if route.access != Access::Open {
        &[
            Code::Unauthenticated,
            Code::Forbidden,
            Code::Internal,
            Code::Overloaded,
            Code::TooManyAttempts,
            Code::UriTooLong,
        ]
    } else if route.path.starts_with("/api/") {
        &[Code::Internal, Code::Overloaded, Code::UriTooLong]
    } else {
        &[Code::Internal, Code::UriTooLong]
    }
}

fn good(answer: &Answer) -> Value {
    let mut headers = headers();
    for (name, header) in &answer.headers {
        headers.insert((*name).to_owned(), parameters::of_answer(*header));
    }
    let mut response = json!({"description": answer.text, "headers": headers});
    if let Some((media, schema)) = &answer.content {
        response["content"] = json!({*media: {"schema": schema}});
    }
    response
}

fn bad(status: StatusCode, codes: &[Code]) -> Value {
    let mut headers = headers();
    if status == StatusCode::UNAUTHORIZED {
        let text = "How to authenticate.";
        headers.insert(
            "WWW-Authenticate".to_owned(),
            parameters::of_answer(always(text)),
        );
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        let text = "Seconds to wait before the call is repeated.";
        headers.insert(
            "Retry-After".to_owned(),
            parameters::of_answer(always(text)),
        );
    }
    let lines: Vec<String> = codes
        .iter()
        .map(|code| format!("- `{}`: {}", code.as_str(), code.title()))
        .collect();
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    json!({
        "description": lines.join("\n"),
        "x-codes": words,
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": {"$ref": format!("#/components/schemas/{}", Body::name())}}},
    })
}

fn always(text: &'static str) -> Header {
    let required = true;
    Header { text, required }
}

fn sometimes(text: &'static str) -> Header {
    let required = false;
    Header { text, required }
}

/// What answers of reads have beside their bodies.
const FRESHNESS: [(&str, &str); 3] = [
    (
        "Ampora-Applied-Index",
        "The last entry of the log that the answer has.",
    ),
    (
        "Ampora-Leader-Contact-Ms",
        "Milliseconds since this node heard of a leader with a quorum; absent when it never did.",
    ),
    (
        "Ampora-Stale",
        "`true` when this node knows no leader with a quorum: others may know more.",
    ),
];

/// What every answer has.
fn headers() -> Map<String, Value> {
    let text = "The id of the request: the one that was sent, when it is sane, else a new one. It stands in the log.";
    Map::from_iter([(
        "X-Request-Id".to_owned(),
        parameters::of_answer(always(text)),
    )])
}
