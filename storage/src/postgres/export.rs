//! Events of a stream into `agent_status_history`: one transaction for a batch, exactly once.
//!
//! ```text
//! lock the cursor ─▶ skip what it has ─▶ binary COPY ─▶ move the cursor ─▶ commit
//! ```
//! A transaction whose end is not known is found out by the cursor, which the caller reads before it goes on.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::SystemTime;

use ampora_raft::ids::{InstanceUid, NodeId};
use tokio_postgres::types::{ToSql, Type};

use super::cursor::Part;
use super::days::{self, Day};
use super::jsonb::Jsonb;
use super::partitions::{self, AHEAD_DAYS, PLAIN, Spans};
use super::pool::CopyRow;
use super::refused::bigint;
use super::repair::Bodies;
use super::{Connection, Error, Purpose, Transaction, cursor, documents};
use crate::history::event::{Document, Spooled, StreamId};

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

/// Who writes a stream, and how far back its rows may stand.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The node.
    pub node: NodeId,
    /// The stream.
    pub stream: StreamId,
    /// Days of history that are kept: events of these days get partitions of their own, older ones stand in the
    /// oldest that there is.
    pub kept_days: u64,
}

/// What became of one transaction.
enum Attempt {
    Written(u64),
    /// Nothing yet: these days have no partition and may have one.
    Lacks(BTreeSet<Day>),
}

/// Writes the events of a part that are above the cursor, in the order of their numbers, with the documents that they
/// name. Answers where the cursor stands afterwards.
///
/// # Errors
/// Those of Postgres; nothing was written then, or all.
pub async fn write_events(
    connection: &mut Connection,
    source: Source,
    part: Part,
    events: &[Spooled],
    documents: &[Document],
) -> Result<u64, Error> {
    documents::put(connection, events, documents).await?;
    let mut bodies = Bodies::of(events);
    let mut may_make = true;
    loop {
        match attempt(connection, source, part, (events, &bodies), may_make).await {
            Ok(Attempt::Written(seq)) => return Ok(seq),
            Ok(Attempt::Lacks(days)) => {
                may_make = false;
                partitions::ensure(connection, days).await?;
            }
            Err(error) => bodies.repair(connection, error).await?,
        }
    }
}

async fn attempt(
    connection: &mut Connection,
    source: Source,
    part: Part,
    (events, bodies): (&[Spooled], &Bodies<'_>),
    may_make: bool,
) -> Result<Attempt, Error> {
    let key = cursor::events_key(source.stream);
    let tx = connection.begin(Purpose::Write).await?;
    tx.batch("lock", &format!("{PLAIN}; {LOCKED}")).await?;
    let done = cursor::lock(&tx, &key).await?;
    let first = events.partition_point(|spooled| spooled.seq <= done);
    if part.is_nothing(done) {
        return Ok(Attempt::Written(done));
    }
    let spans = Spans::read(&tx).await?;
    if may_make {
        let lacking = lacking(&spans, &events[first..], source.kept_days);
        if !lacking.is_empty() {
            return Ok(Attempt::Lacks(lacking));
        }
    }
    copy(&tx, source, &spans, (events, first), bodies).await?;
    cursor::advance(&tx, &key, part.upto).await?;
    tx.commit().await?;
    Ok(Attempt::Written(part.upto))
}

/// Days without a partition that are within what is kept and what is made ahead, by the server's clock.
fn lacking(spans: &Spans, events: &[Spooled], kept_days: u64) -> BTreeSet<Day> {
    let today = Day::of(spans.now_ms);
    let (oldest, newest) = (today.before(kept_days.max(1)), today.after(AHEAD_DAYS));
    if spans.is_empty() {
        return BTreeSet::from([today]);
    }
    let times = events.iter().map(|spooled| spooled.event.at_ms);
    times
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
        source: Source,
        spooled: &'a Spooled,
        placed_ms: u64,
        body: Cow<'a, str>,
    ) -> Result<Self, Error> {
        let event = &spooled.event;
        Ok(Self {
            at: days::instant(placed_ms),
            stream: uuid::Uuid::from_u128(source.stream.0),
            seq: bigint(spooled.seq)?,
            node: source.node.0.cast_signed(),
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
    source: Source,
    spans: &Spans,
    (events, first): (&[Spooled], usize),
    bodies: &Bodies<'_>,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(events.len() - first);
    for (at, spooled) in events.iter().enumerate().skip(first) {
        let placed_ms = spans.place(spooled.event.at_ms).ok_or(Error::NoPartition)?;
        let body = bodies.body(at, placed_ms);
        rows.push(Row::of(source, spooled, placed_ms, body)?);
    }
    tx.copy("events", COPY, &TYPES, &rows).await?;
    Ok(())
}
