//! `GET /cluster/sessions`: which node serves which agent, and under which fence.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{AgentRecord, Session};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::Api;
use crate::api::agents::STRIDE;
use crate::api::agents::shape::transport_name;
use crate::api::extract::Params;
use crate::api::openapi::Operation;
use crate::api::paging::{List, Page};
use crate::api::problem::{Code, Problem};

/// What may be asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    /// Sessions of one node.
    #[param(pattern = "^[0-9]{1,19}$", example = "1")]
    node: Option<String>,
    /// Items of a page, 1 to 1000.
    limit: Option<String>,
    /// Where the page begins, from the page before.
    r#continue: Option<String>,
}

/// A page of sessions, in uid order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    applied_index: u64,
    r#continue: Option<String>,
    items: Vec<Owned>,
}

/// Who serves an agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Owned {
    /// The instance uid.
    agent: String,
    /// The incarnation of the node that claimed it.
    epoch: u64,
    /// Grows with every claim.
    fence: u64,
    node_id: u64,
    node_name: Option<Arc<str>>,
    /// `websocket` or `http`.
    transport: &'static str,
    /// Whether that incarnation is alive; else the agent is nobody's until it connects again.
    valid: bool,
}

pub(super) fn operation() -> Operation {
    Operation::get(
        "/api/v1/cluster/sessions",
        "list_sessions",
        "Owners of agents",
    )
    .says("Which node serves which agent, as this node knows it.")
    .query::<Query>()
    .answers::<Sessions>(200, "A page of sessions, in uid order")
}

/// `GET /cluster/sessions`.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<Query>,
) -> Result<Json<Sessions>, Problem> {
    let page = Page::new(
        List::Sessions,
        query.limit.as_deref(),
        &[query.node.as_deref()],
    )?;
    let node = query.node.as_deref().map(node_id).transpose()?;
    let mut after = match page.after(query.r#continue.as_deref())? {
        None => None,
        Some(key) => {
            let uid: [u8; 16] = key.try_into().map_err(|_| page.foreign())?;
            Some(InstanceUid::from_bytes(uid))
        }
    };
    let view = api.backend.view();
    let mut items: Vec<Owned> = Vec::new();
    let mut last = None;
    let mut more = false;
    loop {
        let mut seen = 0;
        for record in view.fleet.agents(after).take(STRIDE) {
            seen += 1;
            let session = record
                .session
                .filter(|session| node.is_none_or(|node| session.node.0 == node));
            let Some(session) = session else {
                after = Some(record.uid);
                continue;
            };
            if items.len() == page.limit {
                more = true;
                break;
            }
            after = Some(record.uid);
            last = after;
            items.push(owned(&view.fleet, record, session));
        }
        if more || seen < STRIDE {
            break;
        }
        tokio::task::yield_now().await;
    }
    let last = last.filter(|_| more);
    Ok(Json(Sessions {
        applied_index: view.applied_index,
        r#continue: last.map(|uid| page.token(uid.as_bytes())),
        items,
    }))
}

fn owned(fleet: &Fleet, record: &AgentRecord, session: Session) -> Owned {
    Owned {
        agent: record.uid.to_string(),
        epoch: session.epoch.0,
        fence: session.fence.0,
        node_id: session.node.0,
        node_name: fleet.node(session.node).map(|node| node.name.clone()),
        transport: transport_name(session.transport),
        valid: fleet.session_valid(record),
    }
}

fn node_id(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        Problem::at(
            Code::InvalidParameter,
            "/query/node",
            "the id of a node is a number",
        )
    })
}
