//! The bounds of the agents' door, those of the configuration and those that are fixed, each with its reason.

use std::time::Duration;

use crate::config::Config;

/// A request line and its headers may have this many bytes; what is longer is answered 431.
pub(super) const HEADER_BYTES_MAX: usize = 64 * 1024;

/// A new connection has to bring its first request within this while many wait.
pub(super) const FIRST_REQUEST_TIMEOUT_CROWDED: Duration = Duration::from_secs(1);

/// Connections that have not brought their first request yet; beyond it the oldest of them is cut for a new one.
pub(super) const NEWCOMERS_MAX: usize = 4096;

/// Beyond this many newcomers the door is crowded.
pub(super) const NEWCOMERS_CROWDED: usize = NEWCOMERS_MAX / 2;

/// Between two requests of a connection; longer than the usual polling interval of 30 s.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// How long a peer that was told Close may take to answer; some never do.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// A message has to leave with at least this many bytes a second, beside the write timeout.
pub(super) const WRITE_BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// Share of the drain time over which sockets are closed, so that their agents do not return at once.
pub(super) const DRAIN_SHARE: f64 = 0.6;

/// Bounds that come from the configuration.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// `opamp.path`.
    pub(super) path: String,
    /// `opamp.max_message_bytes`, header byte included, after decompression.
    pub(super) message_bytes_max: usize,
    /// `opamp.ping_interval_seconds`.
    pub(super) ping_interval: Duration,
    /// `opamp.write_timeout_seconds`.
    pub(super) write_timeout: Duration,
    /// `opamp.request_timeout_seconds`.
    pub(super) request_timeout: Duration,
    /// `opamp.body_timeout_seconds`.
    pub(super) body_timeout: Duration,
    /// `opamp.max_connections`.
    pub(super) connections_max: usize,
    /// `opamp.accept_rate_per_second`.
    pub(super) accept_rate: u32,
    /// `node.drain_seconds`.
    pub(super) drain: Duration,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        let opamp = &config.opamp;
        Self {
            path: opamp.path.clone(),
            message_bytes_max: usize::try_from(opamp.max_message_bytes).unwrap_or(usize::MAX),
            ping_interval: opamp.ping_interval,
            write_timeout: opamp.write_timeout,
            request_timeout: opamp.request_timeout,
            body_timeout: opamp.body_timeout,
            connections_max: usize::try_from(opamp.max_connections).unwrap_or(usize::MAX),
            accept_rate: opamp.accept_rate_per_second,
            drain: config.node.drain,
        }
    }
}
