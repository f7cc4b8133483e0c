//! Which of the clusters that have written here one is. Postgres says so, because neither fences nor clocks can.

use tokio_postgres::types::Type;

use super::rows::{Parameter, get};
use super::{Connection, Error, Purpose};

/// The place of a lineage among those that have written here, from 1. One that comes for the first time gets the next.
///
/// # Errors
/// Those of Postgres.
pub async fn number(connection: &mut Connection, lineage: u128) -> Result<u64, Error> {
    let lineage = uuid::Uuid::from_u128(lineage);
    let parameters: [Parameter<'_>; 1] = [(&lineage, Type::UUID)];
    let tx = connection.begin(Purpose::Write).await?;
    let select = "SELECT number FROM history_lineage WHERE lineage = $1";
    let mut rows = tx.query("lineage", select, &parameters).await?;
    if rows.is_empty() {
        let insert = "INSERT INTO history_lineage (lineage) VALUES ($1) ON CONFLICT DO NOTHING";
        tx.execute("lineage", insert, &parameters).await?;
        rows = tx.query("lineage", select, &parameters).await?;
        tx.commit().await?;
    }
    let row = rows.first().ok_or(Error::Empty { name: "lineage" })?;
    Ok(get::<i64>(row, 0)?.cast_unsigned())
}
