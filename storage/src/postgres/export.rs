//! Events of a stream into `agent_status_history`: one transaction for a batch, exactly once.
//!
//! ```text
//! lock the cursor ─▶ skip what it has ─▶ binary COPY ─▶ move the cursor ─▶ commit
//! ```
//! A transaction whose end is not known is found out by the cursor, which the caller reads before it goes on.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::SystemTime;

use ampora_raft::ids::InstanceUid;
use tokio_postgres::types::{ToSql, Type};

use super::days::{self, Day};
use super::jsonb::Jsonb;
use super::partitions::{self, AHEAD_DAYS, PLAIN, Spans};
use super::pool::CopyRow;
use super::refused::bigint;
use super::repair::Bodies;
use super::{Connection, Error, Purpose, Transaction, cursor, documents};
use crate::history::event::Spooled;
use crate::history::export::Batch;
use crate::history::spool::Stream;

/// Partitions neither come nor go until the end of the transaction that has looked at them.
const LOCKED: &str = "LOCK TABLE agent_status_history IN ROW EXCLUSIVE MODE";

const COPY: &str = "COPY agent_status_history (at, stream, seq, node_id, instance_uid, kind, \
                    fence, document, body) FROM STDIN (FORMAT binary)";

const TYPES: [Type; 9] = [
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::INT8,
    Type::BYTEA,
    Type::JSONB,
];

/// What became of one transaction.
enum Attempt {
    Written(u64),
    /// Nothing yet: these days have no partition and may have one.
    Lacks(BTreeSet<Day>),
}

/// Writes the events of a batch that are above the cursor, with the documents that they name. Answers where the cursor
/// stands afterwards.
///
/// Events of the days that are kept, of which there are so many, get partitions where there is none; those of other days
/// stand in the nearest, with their own time in the body; so do those whose partition cannot be made. `lineage` is the
/// number of the cluster: [`super::lineage::number`].
///
/// # Errors
/// Those of Postgres; nothing was written then, or all.
pub async fn write_events(
    connection: &mut Connection,
    batch: &Batch<'_>,
    kept_days: u64,
    lineage: u64,
) -> Result<u64, Error> {
    documents::put(connection, batch.events, batch.documents).await?;
    let mut bodies = Bodies::of(batch.events);
    let mut may_make = Some(kept_days);
    loop {
        match attempt(connection, batch, &bodies, may_make, lineage).await {
            Ok(Attempt::Written(seq)) => return Ok(seq),
            Ok(Attempt::Lacks(days)) => {
                may_make = None;
                if let Err(error) = partitions::ensure(connection, days).await {
                    if error.is_away() {
                        return Err(error);
                    }
                    tracing::warn!(error = error.reason(), "a day has no partition of its own");
                }
            }
            Err(error) => bodies.repair(connection, error).await?,
        }
    }
}

async fn attempt(
    connection: &mut Connection,
    batch: &Batch<'_>,
    bodies: &Bodies<'_>,
    may_make: Option<u64>,
    lineage: u64,
) -> Result<Attempt, Error> {
    let key = cursor::events_key(batch.stream.id);
    let tx = connection.begin(Purpose::Write).await?;
    tx.batch("lock", &format!("{PLAIN}; {LOCKED}")).await?;
    let done = cursor::lock(&tx, &key).await?;
    if cursor::leaves_nothing(done, batch) {
        return Ok(Attempt::Written(done));
    }
    let first = batch.events.partition_point(|spooled| spooled.seq <= done);
    let spans = Spans::read(&tx).await?;
    if let Some(kept_days) = may_make {
        let lacking = lacking(&spans, &batch.events[first..], kept_days);
        if !lacking.is_empty() {
            return Ok(Attempt::Lacks(lacking));
        }
    }
    copy(&tx, batch, first, &spans, bodies).await?;
    cursor::advance(&tx, &key, batch.upto, Some(lineage)).await?;
    tx.commit().await?;
    Ok(Attempt::Written(batch.upto))
}

/// Days without a partition that are within what is kept and what is made ahead, by the server's clock.
fn lacking(spans: &Spans, events: &[Spooled], kept_days: u64) -> BTreeSet<Day> {
    let today = Day::of(spans.now_ms);
    let (oldest, newest) = (today.before(kept_days.max(1)), today.after(AHEAD_DAYS));
    let times = events.iter().map(|spooled| spooled.event.at_ms);
    // where there is none at all, one for those that are of none of these days
    let now_ms = spans.is_empty().then_some(spans.now_ms);
    times
        .chain(now_ms)
        .filter(|at| !spans.has(*at))
        .map(Day::of)
        .filter(|day| (oldest..=newest).contains(day))
        .collect()
}

/// A row, in the order of the columns of the copy.
struct Row<'a> {
    at: SystemTime,
    stream: uuid::Uuid,
    seq: i64,
    node: i64,
    agent: InstanceUid,
    kind: &'static str,
    fence: i64,
    document: Option<&'a [u8]>,
    body: Jsonb<Cow<'a, str>>,
}

impl<'a> Row<'a> {
    fn of(
        stream: Stream,
        spooled: &'a Spooled,
        placed_ms: u64,
        body: Cow<'a, str>,
    ) -> Result<Self, Error> {
        let event = &spooled.event;
        Ok(Self {
            at: days::instant(placed_ms),
            stream: uuid::Uuid::from_u128(stream.id.0),
            seq: bigint(spooled.seq)?,
            node: stream.node.0.cast_signed(),
            agent: event.agent,
            kind: event.kind.word(),
            fence: bigint(event.fence.0)?,
            document: event.document.as_ref().map(|hash| &hash.0[..]),
            body: Jsonb(body),
        })
    }
}

impl CopyRow for Row<'_> {
    fn columns(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.at,
            &self.stream,
            &self.seq,
            &self.node,
            &self.agent,
            &self.kind,
            &self.fence,
            &self.document,
            &self.body,
        ]
    }
}

async fn copy(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    first: usize,
    spans: &Spans,
    bodies: &Bodies<'_>,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(batch.events.len() - first);
    for (at, spooled) in batch.events.iter().enumerate().skip(first) {
        let placed_ms = spans.place(spooled.event.at_ms).ok_or(Error::NoPartition)?;
        let body = bodies.body(at, placed_ms);
        rows.push(Row::of(batch.stream, spooled, placed_ms, body)?);
    }
    tx.copy("events", COPY, &TYPES, &rows).await?;
    Ok(())
}
