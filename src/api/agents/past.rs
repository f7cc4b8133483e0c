//! `GET /agents?at=TIME`: agents as they were, told from history.

use std::collections::BTreeMap;

use ampora_raft::ids::InstanceUid;
use ampora_storage::history::event::EventKind;
use ampora_storage::history::query::{AgentThen, Item};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::ListQuery;
use super::history::refused;
use crate::api::Api;
use crate::api::paging::{List, Page};
use crate::api::problem::{Code, Problem};
use crate::api::timestamp::{self, rfc3339};

/// A page of agents as they were, in uid order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PastAgentList {
    items: Vec<PastAgent>,
    r#continue: Option<String>,
    applied_index: u64,
    /// Whether whoever answered had all that was there a moment ago: false from a replica whose primary is away.
    complete: bool,
    /// The time of which it tells.
    at: String,
}

/// An agent as it was: what history has of it up to then.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct PastAgent {
    #[schema(value_type = String, format = "uuid")]
    instance_uid: InstanceUid,
    name: Option<String>,
    agent_type: Option<String>,
    agent_version: Option<String>,
    /// `connected` or `disconnected`, by the last word of a node that owned it.
    state: &'static str,
    transport: Option<String>,
    owner_node: Option<u64>,
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    labels: Value,
    /// What it said of itself last; its form is that of the history.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    health: Option<Value>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    config_status: Option<Value>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    effective_config: Option<Value>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    packages: Option<Value>,
    /// When the last of all this was said.
    last_change: String,
}

impl PastAgent {
    fn of(then: AgentThen) -> Self {
        let last = then.items.iter().map(|item| item.position.at_ms).max();
        // in the order in which they happened: the later one of the two is how it was
        let mut ends = then.items.iter().rev().map(|item| item.kind);
        let last_end =
            ends.find(|kind| [EventKind::Connected, EventKind::Disconnected].contains(kind));
        let is_here = last_end == Some(EventKind::Connected);
        let mut by_kind: BTreeMap<EventKind, Item> = BTreeMap::new();
        for item in then.items {
            by_kind.insert(item.kind, item);
        }
        let came = by_kind.remove(&EventKind::Connected).filter(|_| is_here);
        let owner_node = came.as_ref().map(|came| came.node.0);
        let mut body = |kind| by_kind.remove(&kind).map(read);
        let mut description = body(EventKind::Description).unwrap_or_default();
        let mut word = |field: &str| Some(description.get_mut(field)?.take().as_str()?.to_owned());
        Self {
            instance_uid: then.agent,
            name: word("name"),
            agent_type: word("agent_type"),
            agent_version: word("agent_version"),
            state: if is_here { "connected" } else { "disconnected" },
            transport: came
                .map(read)
                .and_then(|came| Some(came["transport"].as_str()?.to_owned())),
            owner_node,
            labels: match description.get_mut("labels").map(Value::take) {
                Some(labels @ Value::Object(_)) => labels,
                Some(_) | None => Value::Object(serde_json::Map::new()),
            },
            health: body(EventKind::Health),
            config_status: body(EventKind::ConfigStatus),
            effective_config: body(EventKind::EffectiveConfig),
            packages: body(EventKind::Packages),
            last_change: rfc3339(last.unwrap_or(0)),
        }
    }
}

fn read(item: Item) -> Value {
    serde_json::from_str(&item.body).unwrap_or_else(|_| json!({"unreadable": item.body}))
}

/// Agents as they were.
pub(super) async fn list(api: &Api, query: &ListQuery, at: &str) -> Result<PastAgentList, Problem> {
    let at_ms = timestamp::asked(at, "/query/at")?;
    for (given, place) in [
        (&query.selector, "/query/selector"),
        (&query.q, "/query/q"),
        (&query.state, "/query/state"),
        (&query.group, "/query/group"),
    ] {
        if given.is_some() {
            let text = "the past is listed whole: it cannot be asked together with `at`";
            return Err(Problem::at(Code::HistoryUnsupported, place, text));
        }
    }
    let page = Page::new(List::PastAgents, query.limit.as_deref(), &[Some(at)])?;
    let after = page.after(query.r#continue.as_deref())?;
    let uid = |key: Vec<u8>| InstanceUid::from_slice(&key).map_err(|_| page.foreign());
    let after = after.map(uid).transpose()?;
    let view = api.backend.view();
    let limit = u16::try_from(page.limit).unwrap_or(u16::MAX);
    let asked = api.backend.fleet_at(at_ms, after, limit);
    let found = asked.await.map_err(refused)?;
    Ok(PastAgentList {
        r#continue: found.next.map(|uid| page.token(uid.as_bytes())),
        items: found.agents.into_iter().map(PastAgent::of).collect(),
        applied_index: view.applied_index,
        complete: found.complete,
        at: rfc3339(at_ms),
    })
}

#[cfg(test)]
mod tests;
