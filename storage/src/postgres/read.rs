//! What is asked of history: pages of one agent, documents, and the fleet at a past time.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid, NodeId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::jsonb::Jsonb;
use super::refused::bigint;
use super::rows::{Parameter, get};
use super::storable::restored;
use super::{Connection, Error, Purpose, days};
use crate::history::event::{EventKind, StreamId};
use crate::history::query::{AgentThen, Item, PAGE_MAX, Position, Query};

/// Every condition on the time is one on `at` alone as well, which chooses partitions; the row comparison does not.
const PAGE: &str = "\
SELECT at, stream, seq, node_id, kind, body, fence FROM agent_status_history
WHERE instance_uid = $1 AND at >= $2 AND at < $3 AND (at, stream, seq) < ($4, $5, $6)
ORDER BY at DESC, stream DESC, seq DESC LIMIT $7";

/// The newest of each kind, then the newest of all: each kind is read from its end of the index.
const PAGE_OF_KINDS: &str = "\
SELECT h.* FROM unnest($8) AS k (kind) CROSS JOIN LATERAL (
    SELECT at, stream, seq, node_id, kind, body, fence FROM agent_status_history AS h
    WHERE h.instance_uid = $1 AND h.kind = k.kind AND at >= $2 AND at < $3
      AND (at, stream, seq) < ($4, $5, $6)
    ORDER BY at DESC, stream DESC, seq DESC LIMIT $7) AS h
ORDER BY at DESC, stream DESC, seq DESC LIMIT $7";

/// A page of the history of one agent, newest first.
///
/// # Errors
/// Those of Postgres.
pub async fn history(connection: &mut Connection, query: &Query) -> Result<Vec<Item>, Error> {
    let end = Position {
        at_ms: u64::MAX,
        stream: StreamId(u128::MAX),
        seq: u64::MAX,
    };
    let below = query.below.unwrap_or(end);
    let before_ms = query.until_ms.unwrap_or(u64::MAX);
    let before_ms = before_ms.min(below.at_ms.saturating_add(1));
    let since = days::instant(query.since_ms.unwrap_or_default());
    let (before, at) = (days::instant(before_ms), days::instant(below.at_ms));
    let stream = uuid::Uuid::from_u128(below.stream.0);
    let seq = bigint(below.seq).unwrap_or(i64::MAX);
    // one more than a page tells whether there is more
    let limit = i64::from(query.limit).min(PAGE_MAX as i64 + 1);
    let mut kinds: Vec<_> = query.kinds.iter().map(|kind| kind.word()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&query.agent, Type::UUID),
        (&since, Type::TIMESTAMPTZ),
        (&before, Type::TIMESTAMPTZ),
        (&at, Type::TIMESTAMPTZ),
        (&stream, Type::UUID),
        (&seq, Type::INT8),
        (&limit, Type::INT8),
    ];
    let sql = if kinds.is_empty() {
        PAGE
    } else {
        parameters.push((&kinds, Type::TEXT_ARRAY));
        PAGE_OF_KINDS
    };
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("history_page", sql, &parameters).await?;
    let items = rows.iter().map(item);
    items.filter_map(Result::transpose).collect()
}

/// Nothing for a kind that only a newer binary knows.
fn item(row: &Row) -> Result<Option<Item>, Error> {
    let Some(kind) = EventKind::from_word(get(row, 4)?) else {
        return Ok(None);
    };
    let body: Jsonb<String> = get(row, 5)?;
    Ok(Some(Item {
        position: Position {
            at_ms: days::millis(get(row, 0)?),
            stream: StreamId(get::<uuid::Uuid>(row, 1)?.as_u128()),
            seq: get::<i64>(row, 2)?.cast_unsigned(),
        },
        node: NodeId(get::<i64>(row, 3)?.cast_unsigned()),
        fence: Fence(get::<i64>(row, 6)?.cast_unsigned()),
        kind,
        body: restored(body.0),
    }))
}

/// A redacted body that events name, as JSON.
///
/// # Errors
/// Those of Postgres.
pub async fn document(
    connection: &mut Connection,
    hash: &BodyHash,
) -> Result<Option<String>, Error> {
    let sql = "SELECT body FROM history_documents WHERE hash = $1";
    let tx = connection.begin(Purpose::Read).await?;
    let asked: [Parameter<'_>; 1] = [(&&hash.0[..], Type::BYTEA)];
    let rows = tx.query("document", sql, &asked).await?;
    let body: Option<Jsonb<String>> = rows.first().map(|row| get(row, 0)).transpose()?;
    Ok(body.map(|body| restored(body.0)))
}

/// The times of the oldest and of the newest event; nothing while there is none.
///
/// # Errors
/// Those of Postgres.
pub async fn extent(connection: &mut Connection) -> Result<Option<(u64, u64)>, Error> {
    // partitions are in the order of time and each is short: the first that has a row answers
    let sql = "SELECT (SELECT at FROM agent_status_history ORDER BY at LIMIT 1),
                      (SELECT at FROM agent_status_history ORDER BY at DESC LIMIT 1)";
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("history_extent", sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (oldest, newest): (Option<SystemTime>, Option<SystemTime>) = (get(row, 0)?, get(row, 1)?);
    Ok(oldest
        .zip(newest)
        .map(|(a, b)| (days::millis(a), days::millis(b))))
}

/// Agents of a page, and for each kind that one has ever had the newest event by then. Where history has none left, the
/// newest of all stands in, if it is that old.
const FLEET: &str = "\
SELECT coalesce(h.at, n.at), coalesce(h.stream, n.stream), coalesce(h.seq, n.seq), coalesce(h.node_id, n.node_id),
       k.kind, coalesce(h.body, n.body), coalesce(h.fence, n.fence), a.instance_uid, coalesce(c.lineage, n.lineage, 0)
FROM (SELECT instance_uid, state FROM agent_latest WHERE instance_uid > $1 ORDER BY 1 LIMIT $2) AS a
CROSS JOIN LATERAL jsonb_each(a.state) AS k (kind, newest)
LEFT JOIN LATERAL (
    SELECT at, stream, seq, node_id, body, fence FROM agent_status_history AS h
    WHERE h.instance_uid = a.instance_uid AND h.kind = k.kind AND h.at <= $3
    ORDER BY at DESC, stream DESC, seq DESC LIMIT 1) AS h ON true
LEFT JOIN LATERAL (
    SELECT (newest ->> 'at')::timestamptz AS at, (newest #>> '{order,4}')::uuid AS stream,
           (newest #>> '{order,3}')::bigint AS seq, (newest ->> 'node')::bigint AS node_id,
           newest -> 'body' AS body, (newest #>> '{order,1}')::bigint AS fence,
           (newest #>> '{order,0}')::bigint AS lineage) AS n ON h.seq IS NULL AND n.at <= $3
LEFT JOIN history_cursor AS c ON c.stream = 'events:' || replace(h.stream::text, '-', '')
ORDER BY a.instance_uid, k.kind";

/// A page of the fleet at a past time, and the agent after which the next one begins: nothing when this was the last.
///
/// Agents that were not known by then are left out, so a page may be shorter than the limit, or empty, although there
/// is a next one.
///
/// # Errors
/// Those of Postgres.
pub async fn fleet_at(
    connection: &mut Connection,
    time_ms: u64,
    after: Option<InstanceUid>,
    limit: u16,
) -> Result<(Vec<AgentThen>, Option<InstanceUid>), Error> {
    let limit = usize::from(limit).min(PAGE_MAX + 1);
    let after = after.unwrap_or(InstanceUid::nil());
    let (time, rows_max) = (days::instant(time_ms), limit as i64);
    let parameters: [Parameter<'_>; 3] = [
        (&after, Type::UUID),
        (&rows_max, Type::INT8),
        (&time, Type::TIMESTAMPTZ),
    ];
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("fleet_at", FLEET, &parameters).await?;
    let mut fleet = BTreeMap::<InstanceUid, Vec<(i64, Item)>>::new();
    for row in &rows {
        let events = fleet.entry(get(row, 7)?).or_default();
        if get::<Option<i64>>(row, 2)?.is_some() {
            let lineage = get(row, 8)?;
            events.extend(item(row)?.map(|item| (lineage, item)));
        }
    }
    let is_last = fleet.len() < limit;
    let next = fleet.last_key_value().map(|(agent, _)| *agent);
    let known = fleet.into_iter().filter(|(_, events)| !events.is_empty());
    let past = known.map(|(agent, mut items)| {
        items.sort_by_key(|(lineage, item)| (*lineage, item.fence, item.position));
        let items = items.into_iter().map(|(_, item)| item).collect();
        AgentThen { agent, items }
    });
    Ok((past.collect(), next.filter(|_| !is_last)))
}
