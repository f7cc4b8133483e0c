//! `GET /agents/{uid}/history`: what happened to one agent, newest first.

use ampora_raft::ids::InstanceUid;
use ampora_storage::history::event::{EventKind, StreamId};
use ampora_storage::history::query::{Item, Position, Query};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::parse_uid;
use crate::api::Api;
use crate::api::backend::HistoryError;
use crate::api::extract::{Params, Segments};
use crate::api::paging::{List, Page};
use crate::api::problem::{Code, Problem};
use crate::api::timestamp::{self, rfc3339};

/// A place in a token: time, stream and number.
const POSITION_BYTES: usize = 8 + 16 + 8;

/// The query of `GET /agents/{uid}/history`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// From this time on, RFC 3339.
    #[param(format = DateTime, example = "2026-11-24T17:00:00Z")]
    since: Option<String>,
    /// Before this time, RFC 3339.
    #[param(format = DateTime, example = "2026-11-25T17:00:00Z")]
    until: Option<String>,
    /// One or several of `connected`, `disconnected`, `health`, `description`, `config_status`, `effective_config`,
    /// `packages`, with commas between.
    #[param(
        pattern = "^(connected|disconnected|health|description|config_status|effective_config|packages)(,(connected|disconnected|health|description|config_status|effective_config|packages))*$",
        example = "health"
    )]
    kind: Option<String>,
    limit: Option<String>,
    r#continue: Option<String>,
}

/// A page of history, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryList {
    items: Vec<HistoryItem>,
    r#continue: Option<String>,
    applied_index: u64,
    /// Whether everybody who keeps some of it was heard.
    complete: bool,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem {
    at: String,
    /// The node that the agent spoke to.
    node: u64,
    /// Grows with each thing that one run of that node noted.
    seq: u64,
    /// That run.
    stream: String,
    kind: &'static str,
    /// What it came to; its form goes with `kind`.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    body: Value,
}

impl HistoryItem {
    fn of(item: Item) -> Self {
        Self {
            at: rfc3339(item.position.at_ms),
            node: item.node.0,
            seq: item.position.seq,
            stream: item.position.stream.to_string(),
            kind: item.kind.word(),
            // what cannot be read back is shown as it stands rather than not at all
            body: serde_json::from_str(&item.body)
                .unwrap_or_else(|_| json!({"unreadable": item.body})),
        }
    }
}

/// `GET /agents/{uid}/history`.
pub(crate) async fn history(
    State(api): State<Api>,
    Segments(uid): Segments<String>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<HistoryList>, Problem> {
    let agent = parse_uid(&uid)?;
    let page = Page::new(
        List::History,
        query.limit.as_deref(),
        &[
            Some(&uid),
            query.since.as_deref(),
            query.until.as_deref(),
            query.kind.as_deref(),
        ],
    )?;
    let (since_ms, until_ms) = range(&query)?;
    let below = page.after(query.r#continue.as_deref())?;
    let below = below.map(|key| position(&page, &key)).transpose()?;
    let asked = Query {
        agent,
        since_ms,
        until_ms,
        kinds: kinds(query.kind.as_deref())?,
        below,
        limit: u16::try_from(page.limit).unwrap_or(u16::MAX),
    };
    let view = api.backend.view();
    let found = api.backend.history(asked).await.map_err(refused)?;
    let items = found.page.items;
    let is_nothing = items.is_empty() && found.page.next.is_none() && below.is_none();
    // who does not tell might know of it
    let is_told = is_nothing && found.complete;
    if is_told && view.fleet.agent(agent).is_none() && !is_known(&api, agent).await? {
        let text = format_args!("there is no agent {agent}, and nothing is known of one");
        return Err(Problem::new(Code::AgentNotFound, text));
    }
    Ok(Json(HistoryList {
        r#continue: found.page.next.map(|next| page.token(&key(next))),
        items: items.into_iter().map(HistoryItem::of).collect(),
        applied_index: view.applied_index,
        complete: found.complete,
    }))
}

/// Whether anything at all is known of an agent that has left the fleet.
async fn is_known(api: &Api, agent: InstanceUid) -> Result<bool, Problem> {
    let any = Query {
        agent,
        since_ms: None,
        until_ms: None,
        kinds: Vec::new(),
        below: None,
        limit: 1,
    };
    let found = api.backend.history(any).await.map_err(refused)?;
    Ok(!found.page.items.is_empty())
}

/// The times of a query, in order.
fn range(query: &HistoryQuery) -> Result<(Option<u64>, Option<u64>), Problem> {
    let time = |text: &Option<String>, pointer| {
        let text = text.as_deref();
        text.map(|text| timestamp::asked(text, pointer)).transpose()
    };
    let since = time(&query.since, "/query/since")?;
    let until = time(&query.until, "/query/until")?;
    if since
        .zip(until)
        .is_some_and(|(since, until)| since >= until)
    {
        let text = "since has to be before until";
        return Err(Problem::at(Code::InvalidParameter, "/query/since", text));
    }
    Ok((since, until))
}

fn kinds(words: Option<&str>) -> Result<Vec<EventKind>, Problem> {
    let Some(words) = words else {
        return Ok(Vec::new());
    };
    let mut kinds = Vec::new();
    for word in words.split(',') {
        let Some(kind) = EventKind::from_word(word.trim()) else {
            let all = EventKind::ALL.map(EventKind::word).join(", ");
            let text = format_args!("a kind is one of {all}");
            return Err(Problem::at(Code::InvalidParameter, "/query/kind", text));
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn key(position: Position) -> [u8; POSITION_BYTES] {
    let mut key = [0; POSITION_BYTES];
    key[..8].copy_from_slice(&position.at_ms.to_be_bytes());
    key[8..24].copy_from_slice(&position.stream.0.to_be_bytes());
    key[24..].copy_from_slice(&position.seq.to_be_bytes());
    key
}

fn position(page: &Page, key: &[u8]) -> Result<Position, Problem> {
    let (at, rest) = key.split_first_chunk().ok_or_else(|| page.foreign())?;
    let (stream, seq) = rest.split_first_chunk().ok_or_else(|| page.foreign())?;
    let seq = seq.try_into().map_err(|_| page.foreign())?;
    Ok(Position {
        at_ms: u64::from_be_bytes(*at),
        stream: StreamId(u128::from_be_bytes(*stream)),
        seq: u64::from_be_bytes(seq),
    })
}

/// The answer to a question that history could not answer.
pub(super) fn refused(error: HistoryError) -> Problem {
    match error {
        HistoryError::Away(reason) => Problem::new(Code::HistoryUnavailable, reason),
        HistoryError::Unsupported(reason) => Problem::new(Code::HistoryUnsupported, reason),
    }
}

#[cfg(test)]
mod tests;
