//! The description of REST: `/api/v1/openapi.json`, made of the table of routes, of what stands beside each handler,
//! and of the types that are read and answered; and `/api/docs`, one page that shows it to people without asking
//! anything of another host.

mod assemble;
mod operation;
mod page;
mod parameters;
mod reference;
#[cfg(test)]
pub(super) mod shape;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;

pub(crate) use assemble::document;
pub(crate) use operation::Operation;
pub(crate) use page::page;
pub use reference::reference;

use super::{
    agents, audit, cluster, configurations, dispatches, enrollment_tokens, groups, probes, tokens,
};

/// What stands beside the handlers, room by room.
fn operations() -> Vec<Operation> {
    [
        agents::operations(),
        configurations::operations(),
        groups::operations(),
        dispatches::operations(),
        cluster::operations(),
        cluster::snapshots::operations(),
        audit::operations(),
        tokens::operations(),
        enrollment_tokens::operations(),
        probes::operations(),
        own_operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn own_operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/openapi.json", "openapi", "This document")
            .tag("about")
            .answers_as::<serde_json::Value>(200, "application/json", "OpenAPI 3.1"),
        Operation::get("/api/docs", "docs", "This document for people")
            .tag("about")
            .answers_as::<String>(
                200,
                "text/html",
                "One page that asks nothing of another host",
            ),
    ]
}

/// The document in bytes: it depends on the code alone.
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| document().to_string().into_bytes());

/// `GET /api/v1/openapi.json`.
pub(crate) async fn json() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        DOCUMENT.as_slice(),
    )
        .into_response()
}
