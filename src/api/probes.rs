//! `/health/*` and `/metrics`: what machines ask without a token.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::backend::{Health, Part, PartState};
use super::openapi::Operation;

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// That the process works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// `ok`.
    status: &'static str,
}

/// How a node is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Report {
    parts: Parts,
    /// `starting`, or the worst of its parts.
    #[schema(example = "ok")]
    status: &'static str,
}

/// What a node consists of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Parts {
    history: PartReport,
    opamp: PartReport,
    raft: PartReport,
    storage: PartReport,
}

/// One part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartReport {
    /// Why it is not ok; empty when it is.
    reason: String,
    /// `ok`, `degraded` or `failed`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/health/live", "live", "Whether the process works")
            .answers::<Live>(200, "It does"),
        Operation::get("/health/ready", "ready", "Whether this node can serve agents")
            .says("503 only when a part failed or the start is not over; trouble of Postgres is `degraded`.")
            .answers::<Report>(200, "It can")
            .answers::<Report>(503, "It cannot"),
        Operation::get("/health/startup", "startup", "Whether the start is over")
            .answers::<Report>(200, "It is")
            .answers::<Report>(503, "It is not"),
        Operation::get("/metrics", "metrics", "Metrics for Prometheus")
            .answers_as::<String>(200, "text/plain", "Prometheus' text format 0.0.4"),
    ]
}

/// `GET /health/live`: that it answers is the answer.
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "ok" })
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
    let body = Report {
        parts: Parts {
            history: part(&health.history),
            opamp: part(&health.opamp),
            raft: part(&health.raft),
            storage: part(&health.storage),
        },
        status: word,
    };
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

fn part(part: &Part) -> PartReport {
    PartReport {
        reason: part.reason.clone(),
        status: state_name(part.state),
    }
}

fn state_name(state: PartState) -> &'static str {
    match state {
        PartState::Ok => "ok",
        PartState::Degraded => "degraded",
        PartState::Failed => "failed",
    }
}
