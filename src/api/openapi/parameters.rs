//! Parameters that mean the same wherever they stand, and headers.

use serde_json::{Value, json};

use super::operation::Header;
use crate::api::freshness::CONSISTENT;
use crate::api::idempotency::KEY_BYTES_MAX;
use crate::api::paging::{LIMIT_DEFAULT, LIMIT_MAX};

/// Names in paths.
const NAME: &str = "^[a-z0-9][a-z0-9._-]{0,62}$";

/// A parameter of a path by its place; `None` for one that nobody has described.
pub(super) fn of_path(path: &str, name: &str) -> Option<Value> {
    let (text, schema, example) = match name {
        "uid" => (
            "The instance uid of an agent.",
            json!({"type": "string", "format": "uuid"}),
            "018f6b1c-7a5d-7c3e-9b2a-4d5e6f708192",
        ),
        "name" => (
            "A name: 1 to 63 characters of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit.",
            json!({"type": "string", "pattern": NAME}),
            "edge",
        ),
        "version" => (
            "The number of a version, from 1 on, or the word `newest`.",
            json!({"type": "string", "pattern": "^([1-9][0-9]{0,8}|newest)$"}),
            "newest",
        ),
        "id" if path.contains("tokens/") => (
            "The id of a token; it says nothing of its secret.",
            json!({"type": "string", "minLength": 1}),
            "0123456789abcdef",
        ),
        "id" if path.contains("snapshots/") => (
            "The id of a snapshot.",
            json!({"type": "string", "minLength": 1}),
            "61837aca579a60801368d3910a08c60e",
        ),
        "id" => (
            "The number of a dispatch.",
            json!({"type": "string", "pattern": "^[0-9]{1,19}$"}),
            "1",
        ),
        _ => return None,
    };
    Some(json!({
        "name": name, "in": "path", "required": true, "description": text, "schema": schema, "example": example,
    }))
}

/// What all reads share.
pub(super) fn consistent() -> Value {
    json!({
        "name": CONSISTENT,
        "in": "query",
        "required": false,
        "description": "Waits until this node has everything that was acknowledged anywhere before the call; 503 when no \
                        leader has a quorum. Without it the answer is what this node knows, and headers say how fresh that is.",
        "schema": {"type": "boolean", "default": false},
    })
}

/// What all lists share: the bounds of `limit` and the token.
pub(super) fn of_lists(parameter: &mut Value) {
    let (text, schema) = match parameter["name"].as_str() {
        Some("limit") => (
            "Items of a page.",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
        ),
        Some("continue") => (
            "The `continue` of the page before, asked with the same filters. Opaque; `null` in an answer means that \
             nothing follows.",
            json!({"type": "string", "format": "ampora-continue"}),
        ),
        _ => return,
    };
    parameter["description"] = json!(text);
    parameter["schema"] = schema;
}

/// A header of a request by its name.
pub(super) fn of_header(name: &str) -> Option<Value> {
    let (text, schema, example) = match name {
        "Idempotency-Key" => (
            "Makes a repetition safe: the same key with the same request answers what the first answered, with \
             another request 409 `idempotency_key_reused`. Kept for 24 hours. Without it the server makes one.",
            json!({"type": "string", "pattern": format!("^[!-~]([ -~]{{0,{}}}[!-~])?$", KEY_BYTES_MAX - 2)}),
            "deploy-2026-11-26",
        ),
        "If-Match" => (
            "The `ETag` that the resource must still have, or `*` for any that is there; else 412.",
            json!({"anyOf": [{"const": "*"}, {"type": "string", "pattern": "^\"[1-9][0-9]{0,18}\"$"}]}),
            "\"1\"",
        ),
        "If-None-Match" => (
            "`*`: the resource must not be there yet; else 412.",
            json!({"type": "string", "const": "*"}),
            "*",
        ),
        _ => return None,
    };
    Some(json!({
        "name": name, "in": "header", "required": false, "description": text, "schema": schema, "example": example,
    }))
}

/// A header of an answer.
pub(super) fn of_answer(header: Header) -> Value {
    json!({"description": header.text, "required": header.required, "schema": {"type": "string"}})
}
