//! The fence of a duty, checked in the transaction that writes: two holders never write together, whatever clocks do.

use tokio_postgres::types::Type;

use super::refused::bigint;
use super::rows::Parameter;
use super::{Error, Transaction};

/// Under which ownership of a named lease something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lineage whose lease it is: fences of two say nothing of each other.
    pub lineage: u128,
    /// The lease's name.
    pub name: &'static str,
    /// Its fence.
    pub fence: u64,
}

/// Shows the fence. The row stays locked until the transaction ends, so a newer holder waits for it.
///
/// # Errors
/// [`Error::StaleFence`] when a newer one was shown before.
pub(super) async fn show(tx: &Transaction<'_>, held: Held) -> Result<(), Error> {
    let sql = "INSERT INTO history_lease AS was (lineage, name, fence) VALUES ($1, $2, $3) \
               ON CONFLICT (lineage, name) DO UPDATE SET fence = excluded.fence \
               WHERE was.fence <= excluded.fence";
    let fence = bigint(held.fence)?;
    let lineage = uuid::Uuid::from_u128(held.lineage);
    let parameters: [Parameter<'_>; 3] = [
        (&lineage, Type::UUID),
        (&held.name, Type::TEXT),
        (&fence, Type::INT8),
    ];
    let shown = tx.execute("fence", sql, &parameters).await?;
    if shown == 0 {
        return Err(Error::StaleFence {
            name: held.name,
            fence: held.fence,
        });
    }
    Ok(())
}
