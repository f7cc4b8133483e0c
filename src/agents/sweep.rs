//! Removes the files of bodies that no record names any more: each report of another body leaves one behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::BodyHash;
use tokio_util::sync::CancellationToken;

use super::room::Room;

/// Between two sweeps.
const PERIOD: Duration = Duration::from_secs(300);

/// A younger file may belong to a report that is still on its way to the log.
const YOUNG: Duration = Duration::from_secs(600);

/// All bodies of a node; beyond it the oldest go, and their agents are asked again when somebody wants them.
const BODIES_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Runs until `stop`.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let view = room.consensus.view();
        let now = UNIX_EPOCH + Duration::from_millis(room.clock.wall_ms());
        let sweeper = room.clone();
        let swept = room.tasks.spawn_blocking(move || {
            let named = named(&view.fleet);
            let older_than = now.checked_sub(YOUNG).unwrap_or(SystemTime::UNIX_EPOCH);
            sweeper
                .bodies
                .sweep(BODIES_BYTES_MAX, older_than, |hash| named.contains(&hash))
        });
        match swept.await {
            Ok(Ok(swept)) => tracing::debug!(
                kept = swept.kept,
                kept_bytes = swept.kept_bytes,
                removed = swept.removed,
                "swept the bodies that agents reported"
            ),
            Ok(Err(error)) => tracing::warn!(%error, "bodies could not be swept"),
            Err(error) => tracing::error!(%error, "the sweep of bodies panicked"),
        }
    }
}

/// The bodies that records name.
fn named(fleet: &Fleet) -> BTreeSet<BodyHash> {
    let mut named = BTreeSet::new();
    for agent in fleet.agents(None) {
        named.extend(agent.effective);
        named.extend(agent.components);
        named.extend(agent.health.as_ref().and_then(|health| health.body));
    }
    named
}
