//! The settings of openraft.

use openraft::{Config, SnapshotPolicy};

use super::handle::StartError;

/// Timers of design §3.
pub(super) fn settings() -> Result<Config, StartError> {
    Config {
        cluster_name: "ampora".to_owned(),
        heartbeat_interval: 100,
        election_timeout_min: 300,
        election_timeout_max: 500,
        enable_pre_vote: Some(true),
        // a node that was away for an unknown time asks before it leads again
        enable_leader_restore: Some(false),
        backoff: "50ms 100ms ...1s".to_owned(),
        // of a whole snapshot: its parts have their own
        install_snapshot_timeout: 900_000,
        // both by [`Consensus::keep_time`], which counts bytes
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 256,
        ..Config::default()
    }
    .validate()
    .map_err(|error| StartError::Raft(error.to_string()))
}
