//! What `/agents` takes and answers, for the document.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;

use super::history::{HistoryList, HistoryQuery};
use super::labels::LabelsQuery;
use super::raw::{BodyQuery, Components, EffectiveConfig, HealthTree};
use super::shape::Agent;
use super::{ListQuery, Listed};
use crate::api::openapi::Operation;
use crate::api::problem::Code;

const RAW: &str = "\
Secrets are redacted unless an admin asks for `raw`, which is noted in the audit first and so needs the log. 503 \
`body_unavailable` while no reachable node holds the body.";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/v1/agents",
            "list_agents",
            "Agents of the whole cluster, in uid order",
        )
        .query::<ListQuery>()
        .says("With `at` they are told as they were, from the history in Postgres.")
        .answers::<Listed>(200, "A page")
        .fails(&[
            Code::HistoryUnavailable,
            Code::HistoryUnsupported,
            Code::InvalidSelector,
        ]),
        Operation::get("/api/v1/agents/{uid}", "show_agent", "One agent")
            .answers::<Agent>(200, "The agent")
            .fails(&[Code::AgentNotFound, Code::InvalidParameter]),
        body(
            "/api/v1/agents/{uid}/effective-config",
            "show_effective_config",
            "What an agent says that it runs",
        )
        .answers::<EffectiveConfig>(200, "Its files"),
        body(
            "/api/v1/agents/{uid}/health",
            "show_agent_health",
            "The health of an agent and of its components",
        )
        .answers::<HealthTree>(200, "The tree"),
        body(
            "/api/v1/agents/{uid}/components",
            "show_components",
            "What an agent is built of",
        )
        .answers::<Components>(200, "Its components"),
        Operation::get(
            "/api/v1/agents/{uid}/history",
            "list_agent_history",
            "What happened to an agent, newest first",
        )
        .says(
            "Redacted. Agents that were forgotten keep their history for `history.retention_days`. `complete` is false \
             while a node that keeps some of it is not heard.",
        )
        .query::<HistoryQuery>()
        .answers::<HistoryList>(200, "A page")
        .fails(&[
            Code::AgentNotFound,
            Code::HistoryUnavailable,
            Code::HistoryUnsupported,
            Code::InvalidParameter,
        ]),
        Operation::write(Method::DELETE, "/api/v1/agents/{uid}", "forget_agent", "Forget an agent")
            .says("One that is disconnected; what history holds of it stays.")
            .answers_nothing(204, "It is forgotten")
            .fails(&[
                Code::AgentConnected,
                Code::AgentNotFound,
                Code::InvalidParameter,
            ]),
        labels(Method::PUT, "put_labels", "Replace the server labels of an agent")
            .says(
                "They hide reported labels of the same key. 32 at most; a key has letters, digits, `.`, `_`, `/` and \
                 `-`, a value no control characters.",
            )
            .takes::<BTreeMap<String, String>>(&json!({"team": "core"})),
        labels(Method::DELETE, "delete_labels", "Take all server labels of an agent away"),
    ]
}

/// A change of server labels.
fn labels(method: Method, id: &'static str, summary: &'static str) -> Operation {
    Operation::write(method, "/api/v1/agents/{uid}/labels", id, summary)
        .query::<LabelsQuery>()
        .answers::<Agent>(200, "The agent; with `dry_run` what it would become")
        .fails(&[Code::AgentNotFound, Code::TooManyAffected])
}

/// A body that an agent reported.
fn body(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::get(path, id, summary)
        .says(RAW)
        .query::<BodyQuery>()
        .fails(&[
            Code::AgentNotFound,
            Code::BodyUnavailable,
            Code::InvalidParameter,
            Code::NotReported,
        ])
        .asks_the_log()
}
