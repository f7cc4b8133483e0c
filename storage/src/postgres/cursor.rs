//! How far each stream has got: moved in the transaction that writes what it counts, so that this happens once.

use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Transaction};

use super::error::{StoreError, bigint};
use crate::history::event::StreamId;

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
pub async fn read(client: &impl GenericClient, key: &str) -> Result<u64, StoreError> {
    let sql = "SELECT seq FROM history_cursor WHERE stream = $1";
    let row = client.query_typed_opt(sql, &[(&key, Type::TEXT)]).await?;
    let seq: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(seq.map_or(0, i64::cast_unsigned))
}

/// Locks the cursor until the transaction ends, making it when it is missing, and says where it stands.
pub(super) async fn lock(tx: &Transaction<'_>, key: &str) -> Result<u64, StoreError> {
    let select = "SELECT seq FROM history_cursor WHERE stream = $1 FOR UPDATE";
    let key = [(
        &key as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::TEXT,
    )];
    if let Some(row) = tx.query_typed_opt(select, &key).await? {
        return Ok(row.try_get::<_, i64>(0)?.cast_unsigned());
    }
    let insert = "INSERT INTO history_cursor (stream, seq, updated_at) VALUES ($1, 0, now()) \
                  ON CONFLICT (stream) DO UPDATE SET updated_at = now() RETURNING seq";
    let row = tx.query_typed_one(insert, &key).await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

/// Moves a locked cursor. It never goes back.
pub(super) async fn advance(tx: &Transaction<'_>, key: &str, seq: u64) -> Result<(), StoreError> {
    let sql = "UPDATE history_cursor SET seq = greatest(seq, $2), updated_at = now() \
               WHERE stream = $1";
    let seq = bigint(seq)?;
    tx.execute_typed(sql, &[(&key, Type::TEXT), (&seq, Type::INT8)])
        .await?;
    Ok(())
}
