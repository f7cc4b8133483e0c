//! Retention in Postgres, and what may leave the fleet because it is there. One node does it, under a lease whose fence
//! Postgres looks at as well.

use std::time::Duration;

use ampora_storage::postgres::Error;
use ampora_storage::postgres::retention::{Kept, sweep};

use super::pause::Pause;
use super::{External, Part, held};
use crate::node::leases::{HISTORY_RETENTION, Tenure};

/// Between two looks at the tables: what is kept for days may stay some minutes longer.
const PERIOD: Duration = Duration::from_secs(600);

/// Steps of one look; the next ones are of the next look.
const STEPS_MAX: usize = 1_000;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// `history.retention_days`.
    pub history: u32,
    /// `audit.retention_days`.
    pub audit: u32,
}

/// Performs the duty while the lease is held.
pub async fn perform(tenure: Tenure, external: External, days: Days) {
    let _performs = external.performs(Part::Upkeep);
    let mut pause = Pause::new();
    loop {
        external.prepared().await;
        let again = match pass(&tenure, &external, days).await {
            Ok(()) => {
                external.goes(Part::Upkeep);
                pause.reset();
                PERIOD
            }
            Err(error) => {
                // where it is merely away, whoever exports says so
                if !error.is_away() {
                    external.fails(Part::Upkeep, error.reason());
                }
                pause.take()
            }
        };
        tokio::time::sleep(again).await;
    }
}

async fn pass(tenure: &Tenure, external: &External, days: Days) -> Result<(), Error> {
    let held = held(tenure, HISTORY_RETENTION);
    let mut connection = external.servers.primary().await?;
    let mut busy = 0;
    for _ in 0..STEPS_MAX {
        if !tenure.holds() {
            return Ok(());
        }
        let kept = Kept {
            now_ms: tenure.room().clock.wall_ms(),
            history_days: days.history.into(),
            audit_days: days.audit.into(),
        };
        let swept = sweep(&mut connection, held, kept).await?;
        if swept.partitions + swept.audit + swept.deliveries > 0 {
            tracing::info!(?swept, "what has had its time left Postgres");
        }
        busy = swept.busy;
        if !swept.more {
            break;
        }
    }
    if busy > 0 {
        tracing::warn!(
            days = busy,
            "days that have had their time are read for long: they stay until nobody does"
        );
    }
    Ok(())
}
