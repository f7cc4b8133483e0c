//! Events of a stream into `agent_status_history`: one transaction for a batch, exactly once.
//!
//! ```text
//! lock the cursor ─▶ skip what it has ─▶ binary COPY ─▶ move the cursor ─▶ commit
//! ```
//! A transaction whose end is not known is found out by the cursor, which the caller reads before it goes on.

use std::collections::BTreeSet;
use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::days::{self, Day};
use super::error::{StoreError, bigint};
use super::jsonb::Jsonb;
use super::partitions::{self, AHEAD_DAYS, PLAIN, Spans};
use super::repair::Bodies;
use super::{cursor, documents};
use crate::history::event::{Document, Spooled, StreamId};
use ampora_raft::ids::NodeId;

/// `DEALLOCATE`: the copy is prepared under a name that an earlier client of a pooled connection may have left behind.
const LOCKED: &str = "LOCK TABLE agent_status_history IN ROW EXCLUSIVE MODE; DEALLOCATE ALL";

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

/// Writes the events above the cursor, in the order of their numbers, with the documents that they name. Answers
/// where the cursor stands afterwards.
///
/// # Errors
/// Those of Postgres; nothing was written then, or all.
pub async fn write_events(
    client: &mut Client,
    source: Source,
    events: &[Spooled],
    documents: &[Document],
) -> Result<u64, StoreError> {
    documents::put(client, events, documents).await?;
    let mut bodies = Bodies::of(events);
    let mut may_make = true;
    loop {
        match attempt(client, source, events, &bodies, may_make).await {
            Ok(Attempt::Written(seq)) => return Ok(seq),
            Ok(Attempt::Lacks(days)) => {
                may_make = false;
                partitions::ensure(client, days).await?;
            }
            Err(error) => bodies.repair(client, error).await?,
        }
    }
}

async fn attempt(
    client: &mut Client,
    source: Source,
    events: &[Spooled],
    bodies: &Bodies<'_>,
    may_make: bool,
) -> Result<Attempt, StoreError> {
    let key = cursor::events_key(source.stream);
    let tx = partitions::begin(client).await?;
    tx.batch_execute(&format!("{PLAIN}; {LOCKED}")).await?;
    let done = cursor::lock(&tx, &key).await?;
    let first = events.partition_point(|spooled| spooled.seq <= done);
    let Some(last) = events[first..].last() else {
        return Ok(Attempt::Written(done));
    };
    let spans = Spans::read(&tx).await?;
    if may_make {
        let lacking = lacking(&spans, &events[first..], source.kept_days);
        if !lacking.is_empty() {
            return Ok(Attempt::Lacks(lacking));
        }
    }
    copy(&tx, source, &spans, (events, first), bodies).await?;
    cursor::advance(&tx, &key, last.seq).await?;
    tx.commit().await?;
    Ok(Attempt::Written(last.seq))
}

/// Days without a partition that are within what is kept and what is made ahead, by the server's clock.
fn lacking(spans: &Spans, events: &[Spooled], kept_days: u64) -> BTreeSet<Day> {
    let today = Day::of(spans.now_ms);
    let (oldest, newest) = (today.before(kept_days.max(1)), today.after(AHEAD_DAYS));
    let times = events.iter().map(|spooled| spooled.event.at_ms);
    times
        .filter(|at| !spans.has(*at))
        .map(Day::of)
        .filter(|day| (oldest..=newest).contains(day))
        .collect()
}

async fn copy(
    tx: &Transaction<'_>,
    source: Source,
    spans: &Spans,
    (events, first): (&[Spooled], usize),
    bodies: &Bodies<'_>,
) -> Result<(), StoreError> {
    let stream = uuid::Uuid::from_u128(source.stream.0);
    let node = source.node.0.cast_signed();
    let mut writer = pin!(BinaryCopyInWriter::new(tx.copy_in(COPY).await?, &TYPES));
    for (at, spooled) in events.iter().enumerate().skip(first) {
        let event = &spooled.event;
        let placed_ms = spans.place(event.at_ms).ok_or(StoreError::NoPartition)?;
        let document = event.document.as_ref().map(|hash| &hash.0[..]);
        let writer = writer.as_mut();
        writer
            .write(&[
                &days::instant(placed_ms),
                &stream,
                &bigint(spooled.seq)?,
                &node,
                &event.agent,
                &event.kind.word(),
                &bigint(event.fence.0)?,
                &document,
                &Jsonb(bodies.body(at, placed_ms)),
            ])
            .await?;
    }
    writer.finish().await?;
    Ok(())
}
