//! How far each stream has got: moved in the transaction that writes what it counts, so that this happens once.

use tokio_postgres::types::Type;

use super::refused::bigint;
use super::rows::{Parameter, get};
use super::{Connection, Error, Purpose, Transaction};
use crate::history::event::StreamId;
use crate::history::export::Batch;

/// Whether a cursor that stands there leaves nothing of a batch to write: it has all of it, or was set back and lacks
/// what stood before it.
pub(super) fn leaves_nothing(done: u64, batch: &Batch<'_>) -> bool {
    done < batch.from || done >= batch.upto
}

/// The key of the events of a stream.
pub fn events_key(stream: StreamId) -> String {
    format!("events:{stream}")
}

/// The key of what `agent_latest` has of a stream.
pub fn latest_key(stream: StreamId) -> String {
    format!("latest:{stream}")
}

/// The key of the audit records of a lineage.
pub fn audit_key(lineage: u128) -> String {
    format!("audit:{lineage:032x}")
}

/// The key of the finished deliveries of a lineage.
pub fn dispatch_key(lineage: u128) -> String {
    format!("dispatch:{lineage:032x}")
}

/// The last number that was written; 0 before the first.
///
/// # Errors
/// Those of Postgres.
pub async fn read(tx: &Transaction<'_>, key: &str) -> Result<u64, Error> {
    let sql = "SELECT seq FROM history_cursor WHERE stream = $1";
    standing(tx, sql, key).await.map(Option::unwrap_or_default)
}

/// The last number that was written, in a transaction of its own.
///
/// # Errors
/// Those of Postgres.
pub async fn standing_at(connection: &mut Connection, key: &str) -> Result<u64, Error> {
    let tx = connection.begin(Purpose::Read).await?;
    read(&tx, key).await
}

async fn standing(tx: &Transaction<'_>, sql: &str, key: &str) -> Result<Option<u64>, Error> {
    let rows = tx.query("cursor", sql, &[(&key, Type::TEXT)]).await?;
    let seq = rows.first().map(|row| get::<i64>(row, 0)).transpose()?;
    Ok(seq.map(i64::cast_unsigned))
}

/// Locks the cursor until the transaction ends, making it when it is missing, and says where it stands.
pub(super) async fn lock(tx: &Transaction<'_>, key: &str) -> Result<u64, Error> {
    let select = "SELECT seq FROM history_cursor WHERE stream = $1 FOR UPDATE";
    if let Some(seq) = standing(tx, select, key).await? {
        return Ok(seq);
    }
    let insert = "INSERT INTO history_cursor (stream, seq, updated_at) VALUES ($1, 0, now()) \
                  ON CONFLICT (stream) DO UPDATE SET updated_at = now() RETURNING seq";
    standing(tx, insert, key)
        .await
        .map(Option::unwrap_or_default)
}

/// Moves a locked cursor. It never goes back. A stream of events says the number of its cluster.
pub(super) async fn advance(
    tx: &Transaction<'_>,
    key: &str,
    seq: u64,
    lineage: Option<u64>,
) -> Result<(), Error> {
    let sql = "UPDATE history_cursor SET seq = greatest(seq, $2), updated_at = now(), \
               lineage = coalesce(lineage, $3) WHERE stream = $1";
    let seq = bigint(seq)?;
    let lineage = lineage.map(bigint).transpose()?;
    let parameters: [Parameter<'_>; 3] = [
        (&key, Type::TEXT),
        (&seq, Type::INT8),
        (&lineage, Type::INT8),
    ];
    tx.execute("advance", sql, &parameters).await?;
    Ok(())
}
