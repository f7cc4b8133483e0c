//! What may leave the fleet because Postgres has it. Without Postgres everything may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::ids::DispatchId;
use ampora_storage::postgres::{Error, cursor};

use tokio_util::sync::CancellationToken;

use super::External;
use crate::agents::room::Room;

/// Between two looks: what may leave has been there for days.
const LOOK: Duration = Duration::from_secs(60);

/// How far the fleet has been exported, as this node knows it; clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Exported(Option<Arc<Marks>>);

/// Nothing before somebody has asked.
#[derive(Debug, Default)]
struct Marks {
    audit: AtomicU64,
    dispatches: AtomicU64,
}

impl Exported {
    /// Where Postgres is asked for, and only there, things wait for it: also while what is configured cannot work.
    pub fn new(is_asked_for: bool) -> Self {
        Self(is_asked_for.then(Arc::default))
    }

    /// Whether an audit record may go.
    pub fn has_audit(&self, seq: u64) -> bool {
        self.0
            .as_ref()
            .is_none_or(|marks| seq <= marks.audit.load(Ordering::Relaxed))
    }

    /// Whether the deliveries of a finished dispatch may go.
    pub fn has_dispatch(&self, id: DispatchId) -> bool {
        self.0
            .as_ref()
            .is_none_or(|marks| id.0 <= marks.dispatches.load(Ordering::Relaxed))
    }

    /// Keeps up with what Postgres has until `stop`: any node may come to let go of rows.
    pub async fn follow(self, room: Arc<Room>, external: External, stop: CancellationToken) {
        let following = async {
            loop {
                let lineage = room.consensus.view().fleet.meta().lineage;
                if let Err(error) = self.refresh(&external, lineage).await {
                    tracing::debug!(%error, "what Postgres has of the fleet is not known anew");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = stop.cancelled() => {}
        }
    }

    /// Asks Postgres anew for a lineage. What it does not answer stays as it was known.
    async fn refresh(&self, external: &External, lineage: u128) -> Result<(), Error> {
        let Some(marks) = &self.0 else {
            return Ok(());
        };
        let mut connection = external.servers.primary().await?;
        for (mark, key) in [
            (&marks.audit, cursor::audit_key(lineage)),
            (&marks.dispatches, cursor::dispatch_key(lineage)),
        ] {
            let seq = cursor::standing_at(&mut connection, &key).await?;
            mark.store(seq, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postgres_nothing_waits_and_with_it_all_that_it_has_not() {
        let embedded = Exported::default();
        assert!(embedded.has_audit(9) && embedded.has_dispatch(DispatchId(9)));
        let marks = Arc::new(Marks::default());
        let exported = Exported(Some(marks.clone()));
        assert!(!exported.has_audit(1) && !exported.has_dispatch(DispatchId(1)));
        marks.audit.store(4, Ordering::Relaxed);
        marks.dispatches.store(2, Ordering::Relaxed);
        assert!(exported.has_audit(4) && !exported.has_audit(5));
        assert!(exported.has_dispatch(DispatchId(2)) && !exported.has_dispatch(DispatchId(3)));
    }
}
