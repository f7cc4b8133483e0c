//! What the admin listener is told at start: windows of the agent states, limits.

use std::time::Duration;

/// Settings of the REST rooms.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `opamp.heartbeat_window_seconds`: silence after which an agent is shown stale.
    pub heartbeat_window_ms: u64,
    /// `dispatch.ownership_ttl_seconds`.
    pub ownership_ttl_ms: u64,
    /// `cluster.voters`.
    pub voters_max: u32,
    /// `opamp.max_connections`.
    pub max_connections: u32,
    /// Limits of one listener.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            heartbeat_window_ms: 90_000,
            ownership_ttl_ms: 10_000,
            voters_max: 5,
            max_connections: 100_000,
            limits: Limits::default(),
        }
    }
}

/// Limits of one admin listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request body: the largest configuration (1 MiB) in base64 within JSON, with room.
    pub body_bytes: usize,
    /// Bytes of path and query: a selector may be 4 KiB and grows up to three times when it is encoded… but a
    /// proxy in front rarely takes more than 8 KiB, so neither do we.
    pub uri_bytes: usize,
    /// Calls of the API under way at once; more are answered `overloaded`. Each may hold a body: 64 × 2 MiB.
    pub concurrent_calls: usize,
    /// Time for the body of a request to arrive.
    pub body_timeout: Duration,
    /// Time for the head of a request to arrive.
    pub header_timeout: Duration,
    /// Connections of one listener: people, scripts and scrapers, not agents.
    pub connections: usize,
    /// Snapshots held at once; the oldest makes room. Each keeps in memory what has changed since.
    pub snapshots: usize,
    /// How long a snapshot is held.
    pub snapshot_kept: Duration,
    /// Snapshots read at once, each by a thread.
    pub snapshot_readers: usize,
    /// A reader of a snapshot that takes nothing for so long gets no more of it.
    pub snapshot_stall: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 2 * 1024 * 1024,
            uri_bytes: 8 * 1024,
            concurrent_calls: 64,
            body_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            connections: 1024,
            snapshots: 2,
            snapshot_kept: Duration::from_secs(600),
            snapshot_readers: 2,
            snapshot_stall: Duration::from_secs(60),
        }
    }
}
