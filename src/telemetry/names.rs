//! Names of metrics and values of their labels, each written once; what they mean is promised in the contract.

/// Counter, `reason`: frames, bodies and connections that were refused.
pub const FRAMES_REJECTED: &str = "ampora_opamp_frames_rejected_total";
/// Counter: peers that were cut because they stopped reading.
pub const SLOW_READERS: &str = "ampora_opamp_slow_readers_total";
/// Counter: failures of `accept`, such as no free file descriptor.
pub const ACCEPT_ERRORS: &str = "ampora_opamp_accept_errors_total";

/// Gauge, `transport`.
pub const ACTIVE_SESSIONS: &str = "ampora_opamp_active_sessions";
/// Gauge.
pub const MAX_SESSIONS: &str = "ampora_opamp_max_sessions";
/// Counter, `kind`.
pub const FRAMES_RECEIVED: &str = "ampora_opamp_frames_received_total";
/// Histogram.
pub const FRAME_DURATION: &str = "ampora_opamp_frame_duration_seconds";
/// Histogram, `agent_type` (bounded).
pub const APPLY_DURATION: &str = "ampora_opamp_apply_duration_seconds";
/// Counter.
pub const DISPATCH_LOCAL: &str = "ampora_dispatch_local_total";
/// Counter.
pub const DISPATCH_FORWARDED: &str = "ampora_dispatch_forwarded_total";
/// Counter.
pub const DISPATCH_NO_SESSION: &str = "ampora_dispatch_no_session_total";
/// Histogram.
pub const DISPATCH_ENVELOPE_AGE: &str = "ampora_dispatch_envelope_age_seconds";
/// Gauge: how late the oldest report is that waits for the pace of the node, in seconds.
pub const REPORT_LAG: &str = "ampora_opamp_report_lag_seconds";
/// Counter, `outcome`.
pub const OWNERSHIP_ACQUIRES: &str = "ampora_session_ownership_acquires_total";
/// Counter, `outcome`: `answered`, `claimed`, `refused`: polls of agents whose session another node owns.
pub const POLLS_FORWARDED: &str = "ampora_opamp_polls_forwarded_total";
/// Counter, `leader`: the lease's name.
pub const LEADER_LEASE_ACQUISITIONS: &str = "ampora_leader_lease_acquisitions_total";
/// The same in the spelling of the system before.
pub const LEADER_LEASE_ACQUISITIONS_OLD: &str = "leader_lease_acquisitions_total";
/// Gauge, `leader`: 1 while this node holds the lease.
pub const LEADER_LEASE_HELD: &str = "ampora_leader_lease_held";
/// Gauge, `state`.
pub const AGENTS: &str = "ampora_agents";
/// Gauge, `status`.
pub const AGENTS_CONFIG: &str = "ampora_agents_config";
/// Gauge.
pub const AGENTS_UNHEALTHY: &str = "ampora_agents_unhealthy";
/// Gauge: versions that are quarantined, over all groups.
pub const CONFIG_QUARANTINED: &str = "ampora_config_quarantined";
/// Gauge, `part`.
pub const HEALTH_STATE: &str = "ampora_health_state";
/// Gauge, `version`.
pub const BUILD_INFO: &str = "ampora_build_info";
/// Gauge.
pub const RAFT_TERM: &str = "ampora_raft_term";
/// Gauge.
pub const RAFT_LEADER: &str = "ampora_raft_leader";
/// Gauge.
pub const RAFT_LAST_LOG_INDEX: &str = "ampora_raft_last_log_index";
/// Gauge.
pub const RAFT_APPLIED_INDEX: &str = "ampora_raft_applied_index";
/// Gauge, `peer`.
pub const RAFT_REPLICATION_LAG: &str = "ampora_raft_replication_lag";
/// Histogram.
pub const RAFT_APPEND_DURATION: &str = "ampora_raft_append_duration_seconds";
/// Histogram.
pub const RAFT_PROPOSE_DURATION: &str = "ampora_raft_propose_duration_seconds";
/// Counter, `reason`: `oversize`, `unreadable`: offers that were left out of a message.
pub const OFFERS_DISCARDED: &str = "ampora_opamp_offers_discarded_total";
/// Counter: agents that were asked for their full state.
pub const FULL_STATES_ASKED: &str = "ampora_opamp_full_states_asked_total";
/// Counter: times that an agent's full state was needed and not asked for, because the budget was spent.
pub const FULL_STATES_DEFERRED: &str = "ampora_opamp_full_states_deferred_total";
/// Counter: bytes of full state that came because it was asked for.
pub const FULL_STATE_BYTES: &str = "ampora_opamp_full_state_bytes_total";
/// Counter, `door`: `opamp`, `admin`, `peer`; `reason`: `silent`, `crowded`, `unread`: connections that were cut before they cost more.
pub const CONNECTIONS_CUT: &str = "ampora_connections_cut_total";
/// Gauge, `door`: seconds since 1970 at which the certificate in use is over.
pub const TLS_EXPIRY: &str = "ampora_tls_certificate_expiry_seconds";
/// Counter, `door`, `result`: `taken_up`, `refused`.
pub const TLS_RELOADS: &str = "ampora_tls_reloads_total";
/// Counter, `door`: handshakes of TLS that came to nothing.
pub const TLS_HANDSHAKE_FAILURES: &str = "ampora_tls_handshake_failures_total";
/// Counter, `reason`: connections and messages of other nodes, or of who claims to be one, that were refused.
pub const PEER_REFUSED: &str = "ampora_peer_refused_total";
/// Gauge.
pub const HISTORY_SPOOL_BYTES: &str = "ampora_history_spool_bytes";
/// Gauge.
pub const HISTORY_LAG: &str = "ampora_history_lag_seconds";
/// Counter.
pub const HISTORY_WRITTEN: &str = "ampora_history_written_total";
/// Counter, `reason`: `queue_full`, `collapsed`, `spool_full`, `spool_failed`, `stopped`, `damaged`, `set_back`, `overdue`.
pub const HISTORY_DROPPED: &str = "ampora_history_dropped_total";
/// Histogram, `query`, `target`: `primary`, `replica`, `embedded`.
pub const DB_QUERY_DURATION: &str = "ampora_db_query_duration_seconds";
/// Gauge, `state`: `idle`, `used`, `waiting`.
pub const DB_POOL: &str = "ampora_db_pool_connections";
