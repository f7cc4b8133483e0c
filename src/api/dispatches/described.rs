//! What `/dispatches` takes and answers, for the document.

use http::Method;
use serde_json::json;

use super::shape::{List, Whole};
use super::{Form, ListQuery};
use crate::api::openapi::Operation;
use crate::api::problem::Code;

const ALL: &str = "/api/v1/dispatches";
const ONE: &str = "/api/v1/dispatches/{id}";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(ALL, "list_dispatches", "Dispatches, newest first")
            .says("Without their deliveries.")
            .query::<ListQuery>()
            .answers::<List>(200, "A page"),
        Operation::write(Method::POST, ALL, "create_dispatch", "Instruct agents")
            .says(
                "A restart or a message reaches an agent at most once; a pushed configuration at least once. Where the \
                 agent lacks the capability: 409 for one agent, `failed` for selected ones. Nobody matches: `done`.",
            )
            .takes::<Form>(&json!({
                "action": {"restart": {}},
                "target": {"selector": "env=staging"},
                "expires_in_seconds": 600,
            }))
            .answers::<Whole>(202, "The dispatch with the first page of its deliveries")
            .with("Location", "The path of the dispatch.")
            .fails(&[Code::AgentNotFound, Code::InvalidSelector, Code::LacksCapability]),
        Operation::get(ONE, "show_dispatch", "A dispatch with a page of its deliveries")
            .query::<ListQuery>()
            .answers::<Whole>(200, "The dispatch")
            .fails(&[Code::DispatchNotFound]),
        Operation::write(Method::DELETE, ONE, "cancel_dispatch", "Withdraw what is still queued")
            .says("What was sent goes on.")
            .answers::<Whole>(200, "The dispatch with the first page of its deliveries")
            .fails(&[Code::DispatchNotFound, Code::InvalidParameter]),
    ]
}
