//! `/health/*` and `/metrics`: what machines ask without a token.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::Api;
use super::backend::{Health, Part, PartState};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// `GET /health/live`: that it answers is the answer.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /health/ready`: whether this node can serve agents; 503 only when a part failed or the start is not over.
pub(crate) async fn ready(State(api): State<Api>) -> Response {
    let health = api.backend.health();
    let is_ready = health.started && worst(&health) != PartState::Failed;
    report(&health, is_ready)
}

/// `GET /health/startup`: whether the start is over.
pub(crate) async fn startup(State(api): State<Api>) -> Response {
    let health = api.backend.health();
    report(&health, health.started)
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    super::gauges::sample(&api);
    (
        [(header::CONTENT_TYPE, METRICS_TYPE)],
        api.backend.metrics(),
    )
        .into_response()
}

fn report(health: &Health, is_good: bool) -> Response {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = match (health.started, worst(health)) {
        (false, _) => "starting",
        (true, state) => state_name(state),
    };
    let body = json!({
        "status": word,
        "parts": {
            "raft": part_json(&health.raft),
            "storage": part_json(&health.storage),
            "history": part_json(&health.history),
            "opamp": part_json(&health.opamp),
        },
    });
    (status, Json(body)).into_response()
}

fn worst(health: &Health) -> PartState {
    [
        &health.raft,
        &health.storage,
        &health.history,
        &health.opamp,
    ]
    .into_iter()
    .map(|part| part.state)
    .max()
    .unwrap_or(PartState::Ok)
}

fn part_json(part: &Part) -> Value {
    json!({"status": state_name(part.state), "reason": part.reason})
}

fn state_name(state: PartState) -> &'static str {
    match state {
        PartState::Ok => "ok",
        PartState::Degraded => "degraded",
        PartState::Failed => "failed",
    }
}
