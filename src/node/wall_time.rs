//! Keeps noted how wall time stands to fleet time, so that whoever leads next can tell how long nobody led. While
//! both run alike nothing is written; a step of the wall clock, or a new leadership, is one entry.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::proposal::Proposal;
use ampora_raft::records::Downtime;
use tokio_util::sync::CancellationToken;

use super::origin;
use crate::agents::room::Room;

/// Between two looks at the clocks.
const PERIOD: Duration = Duration::from_secs(1);

/// What the clocks may differ from the note before it is written again.
const STRAY_MAX_MS: u64 = 1_000;

/// Runs until `stop`.
pub(super) async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // the start of this node was the beginning of this leadership
    let mut begun = Some(room.consensus.status().term);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let status = room.consensus.status();
        if status.leader != Some(status.node) {
            begun = None;
            continue;
        }
        let begins = begun != Some(status.term);
        let noted = room.consensus.view().fleet.downtime();
        let (fleet_ms, wall_ms) = (room.consensus.fleet_time_ms(), room.clock.wall_ms());
        if !begins && !has_strayed(noted, fleet_ms, wall_ms) {
            continue;
        }
        let proposal = Proposal::NoteWallTime { begins };
        let origin = origin::of_node(room.author.node);
        match room.consensus.propose(origin, proposal).await {
            Ok(_) => begun = Some(status.term),
            Err(error) => tracing::warn!(%error, "wall time could not be noted"),
        }
    }
}

/// Whether the clocks stand to each other otherwise than when it was noted.
fn has_strayed(noted: Downtime, fleet_ms: u64, wall_ms: u64) -> bool {
    let ahead = |wall_ms: u64, fleet_ms: u64| i128::from(wall_ms) - i128::from(fleet_ms);
    let difference = ahead(wall_ms, fleet_ms) - ahead(noted.wall_ms, noted.at_ms);
    difference.unsigned_abs() > u128::from(STRAY_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_run_alike_are_not_noted_again() {
        let noted = Downtime {
            total_ms: 0,
            wall_ms: 1_000_000,
            at_ms: 5_000,
        };
        assert!(!has_strayed(noted, 5_000, 1_000_000));
        assert!(!has_strayed(noted, 9_005_000, 10_000_900));
        assert!(has_strayed(noted, 5_000, 1_001_001));
        assert!(has_strayed(noted, 7_000, 1_000_000));
        assert!(has_strayed(noted, 5_000, 0));
        assert!(has_strayed(Downtime::default(), 5_000, 1_000_000));
    }
}
