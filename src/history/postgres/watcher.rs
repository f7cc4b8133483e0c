//! Looks at Postgres again and again: whether the replica is fresh enough for readers, and how full the pool is.

use ampora_storage::postgres::PoolStatus;
use ampora_storage::postgres::reader::LOOK_EVERY;
use tokio_util::sync::CancellationToken;

use super::External;
use crate::telemetry::names;

/// Looks until `stop`.
pub async fn drive(external: External, stop: CancellationToken) {
    let watching = async {
        loop {
            external.servers.look().await;
            let PoolStatus {
                idle,
                used,
                waiting,
            } = external.servers.status();
            for (state, count) in [("idle", idle), ("used", used), ("waiting", waiting)] {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                metrics::gauge!(names::DB_POOL, "state" => state).set(f64::from(count));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.cancelled() => {}
    }
}
