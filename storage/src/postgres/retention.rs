//! What is older than its days goes, in steps that are short and bounded, each under the fence of the duty.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::days::{self, Day};
use super::lease::{self, Held};
use super::partitions::{self, PLAIN, Spans};
use super::rows::Parameter;
use super::{Connection, Error, Purpose, Transaction};

/// Partitions that one call drops at most.
const PARTITIONS_MAX: usize = 8;

/// Rows of one table that one call deletes at most: some milliseconds of locks and of log.
const ROWS_MAX: u64 = 5_000;

/// Days after which a stream that writes no more is forgotten. A node that was away for longer and comes back with what
/// it had written but not trimmed would write it twice.
const STREAM_DAYS: u64 = 400;

/// How old things may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Wall time in milliseconds since 1970; the server's counts where that is earlier.
    pub now_ms: u64,
    /// Days of status history.
    pub history_days: u64,
    /// Days of audit records and finished deliveries.
    pub audit_days: u64,
}

/// What one call took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Partitions of status history.
    pub partitions: u64,
    /// Partitions that somebody used at the moment; the next call tries again.
    pub busy: u64,
    /// Documents that nothing names.
    pub documents: u64,
    /// Agents that left and have no history any more.
    pub agents: u64,
    /// Audit records.
    pub audit: u64,
    /// Finished deliveries.
    pub deliveries: u64,
    /// Cursors of streams that ended.
    pub cursors: u64,
    /// Whether there is more to take away at once.
    pub more: bool,
}

/// Documents whose newest event is gone and that no agent still runs.
const DOCUMENTS: &str = "\
DELETE FROM history_documents WHERE hash IN (
    SELECT hash FROM history_documents AS d
    WHERE last_at < $1::timestamptz - interval '1 day'
      AND NOT EXISTS (SELECT FROM agent_latest AS a WHERE a.document = d.hash)
    LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// An agent that is still connected is quiet, not gone.
const AGENTS: &str = "\
DELETE FROM agent_latest WHERE instance_uid IN (
    SELECT instance_uid FROM agent_latest WHERE at < $1 AND kind = 'disconnected'
    LIMIT $2 FOR UPDATE SKIP LOCKED)";

const AUDIT: &str = "\
DELETE FROM audit_events WHERE hash IN (
    SELECT hash FROM audit_events WHERE at < $1 ORDER BY at LIMIT $2)";

const DELIVERIES: &str = "\
DELETE FROM dispatch_envelopes WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM dispatch_envelopes WHERE finished_at < $1 ORDER BY finished_at LIMIT $2))";

/// The server's clock wrote the column.
const CURSORS: &str = "\
DELETE FROM history_cursor WHERE stream IN (
    SELECT stream FROM history_cursor
    WHERE updated_at < $1 AND (stream LIKE 'events:%' OR stream LIKE 'latest:%')
    LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Takes away a bounded part of what is too old.
///
/// # Errors
/// [`Error::StaleFence`] when a newer holder has written, and those of Postgres. Steps before it stay done.
pub async fn sweep(connection: &mut Connection, held: Held, kept: Kept) -> Result<Swept, Error> {
    let tx = guarded(connection, held).await?;
    let spans = Spans::read(&tx).await?;
    tx.commit().await?;
    // what is gone does not come back: of two clocks the one counts that takes less
    let now_ms = kept.now_ms.min(spans.now_ms);
    let mut swept = Swept::default();
    let oldest = Day::of(now_ms).before(kept.history_days);
    drop_partitions(connection, held, (&spans, oldest), &mut swept).await?;
    let back = |days: u64| now_ms.saturating_sub(days.saturating_mul(days::DAY_MS));
    let (history_ms, audit_ms) = (back(kept.history_days), back(kept.audit_days));
    let streams_ms = back(kept.history_days.saturating_add(STREAM_DAYS));
    let steps = [
        (AGENTS, history_ms, &mut swept.agents),
        (DOCUMENTS, history_ms, &mut swept.documents),
        (AUDIT, audit_ms, &mut swept.audit),
        (DELIVERIES, audit_ms, &mut swept.deliveries),
        (CURSORS, streams_ms, &mut swept.cursors),
    ];
    for (sql, before_ms, gone) in steps {
        *gone = delete(connection, held, sql, before_ms).await?;
        swept.more |= *gone == ROWS_MAX;
    }
    Ok(swept)
}

async fn delete(
    connection: &mut Connection,
    held: Held,
    sql: &str,
    before_ms: u64,
) -> Result<u64, Error> {
    let (before, rows_max) = (days::instant(before_ms), ROWS_MAX.cast_signed());
    let tx = guarded(connection, held).await?;
    let parameters: [Parameter<'_>; 2] = [(&before, Type::TIMESTAMPTZ), (&rows_max, Type::INT8)];
    let gone = tx.execute("retention", sql, &parameters).await?;
    tx.commit().await?;
    Ok(gone)
}

async fn guarded(connection: &mut Connection, held: Held) -> Result<Transaction<'_>, Error> {
    let tx = connection.begin(Purpose::Upkeep).await?;
    tx.batch("settings", PLAIN).await?;
    lease::show(&tx, held).await?;
    Ok(tx)
}

/// Drops whole days before the oldest that is kept.
async fn drop_partitions(
    connection: &mut Connection,
    held: Held,
    (spans, oldest): (&Spans, Day),
    swept: &mut Swept,
) -> Result<(), Error> {
    let mut old = spans
        .iter()
        .filter_map(|span| span.day())
        .filter(|day| *day < oldest);
    for day in old.by_ref().take(PARTITIONS_MAX) {
        let tx = guarded(connection, held).await?;
        match partitions::drop_day(&tx, day).await {
            Ok(()) => {
                tx.commit().await?;
                swept.partitions += 1;
            }
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => swept.busy += 1,
            // another lineage's holder was there first
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {}
            Err(error) => return Err(error),
        }
    }
    // where all are in use, trying on would make everybody wait who reads or writes
    swept.more |= swept.partitions > 0 && old.next().is_some();
    Ok(())
}
