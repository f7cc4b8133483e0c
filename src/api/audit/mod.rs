//! `/audit`: what operators changed, newest first, and whether the chain of records is whole.

mod described;
mod record;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use ampora_raft::records::AuditRecord;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::described::operations;
pub(crate) use self::verify::verify;

use self::record::Item;
use super::Api;
use super::extract::Params;
use super::paging::{List, Page};
use super::problem::Problem;
use super::timestamp;

/// Records read from the store at once: some milliseconds of a thread beside the runtime.
const STRIDE: u64 = 256;

/// Records that one page looks at; a filter that nothing matches goes on with the next page.
const LOOKED_AT_MAX: u64 = 10_000;

/// The query of `GET /audit`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// The name of a token, exactly.
    #[param(example = "admin")]
    actor: Option<String>,
    /// What was done, exactly.
    #[param(example = "group.put")]
    action: Option<String>,
    /// What it was done to, exactly.
    #[param(example = "edge")]
    target: Option<String>,
    /// From this time on, RFC 3339.
    #[param(format = DateTime, example = "2026-11-24T17:00:00Z")]
    since: Option<String>,
    /// Before this time, RFC 3339.
    #[param(format = DateTime, example = "2026-11-25T17:00:00Z")]
    until: Option<String>,
    limit: Option<String>,
    r#continue: Option<String>,
}

/// A page of the audit, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditList)]
pub(crate) struct Records {
    applied_index: u64,
    r#continue: Option<String>,
    items: Vec<Item>,
}

/// What a list was asked for.
struct Filter {
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
}

impl Filter {
    fn parse(query: &ListQuery) -> Result<Filter, Problem> {
        let time = |text: &Option<String>, pointer| {
            let text = text.as_deref();
            text.map(|text| timestamp::asked(text, pointer)).transpose()
        };
        Ok(Filter {
            actor: query.actor.clone(),
            action: query.action.clone(),
            target: query.target.clone(),
            since_ms: time(&query.since, "/query/since")?,
            until_ms: time(&query.until, "/query/until")?,
        })
    }

    fn takes(&self, record: &AuditRecord) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
        is(&self.actor, &record.actor)
            && is(&self.action, &record.action)
            && is(&self.target, &record.target)
            && self.since_ms.is_none_or(|since| record.at_ms >= since)
            && self.until_ms.is_none_or(|until| record.at_ms < until)
    }
}

/// Reads the records of these numbers, each with what the store says of it.
async fn read(api: &Api, first: u64, last: u64) -> Vec<Read> {
    let numbers = first..=last;
    let read = api.backend.read_audit(numbers.clone()).await;
    numbers
        .zip(read)
        .map(|(seq, row)| Read { seq, row })
        .collect()
}

/// One number of the chain and its row.
struct Read {
    seq: u64,
    row: std::io::Result<Option<Arc<AuditRecord>>>,
}

/// `GET /audit`, newest first.
///
/// A record that cannot be read is shown as damaged whatever the filter: nobody knows what it said.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Records>, Problem> {
    let filter = Filter::parse(&query)?;
    let filters = [
        &query.actor,
        &query.action,
        &query.target,
        &query.since,
        &query.until,
    ];
    let page = Page::new(
        List::Audit,
        query.limit.as_deref(),
        &filters.map(|filter| filter.as_deref()),
    )?;
    let view = api.backend.view();
    let head = view.fleet.audit();
    let mut next = match page.after(query.r#continue.as_deref())? {
        None => head.last,
        Some(key) => number(&page, key)?.saturating_sub(1).min(head.last),
    };
    let first = head.first.max(1);
    let mut items = Vec::new();
    let mut looked_at = 0;
    while next >= first && looked_at < LOOKED_AT_MAX && items.len() < page.limit {
        let from = next.saturating_sub(STRIDE - 1).max(first);
        for Read { seq, row } in read(&api, from, next).await.into_iter().rev() {
            if items.len() == page.limit {
                break;
            }
            (next, looked_at) = (seq - 1, looked_at + 1);
            match row {
                Ok(Some(record)) if filter.takes(&record) => items.push(Item::of(&record)),
                Ok(Some(_)) => {}
                // it left while the page was read
                Ok(None) if seq < api.backend.view().fleet.audit().first => {}
                Ok(None) => items.push(Item::damaged(seq, "it is missing")),
                Err(error) => items.push(Item::damaged(seq, &error.to_string())),
            }
        }
    }
    let more = next >= first;
    Ok(Json(Records {
        applied_index: view.applied_index,
        r#continue: more.then(|| page.token(&(next + 1).to_be_bytes())),
        items,
    }))
}

fn number(page: &Page, key: Vec<u8>) -> Result<u64, Problem> {
    let bytes = key.try_into().map_err(|_| page.foreign())?;
    Ok(u64::from_be_bytes(bytes))
}
