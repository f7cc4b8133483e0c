//! The Prometheus side: every metric with its kind, unit and help text, the recorder behind `/metrics`, and
//! the buckets. What is sampled at scrape time is set by the caller just before.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use super::{dispatches, frames, history, names, peers};

/// Histograms are folded this often; without it they would grow until somebody scrapes.
pub const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// From 50 µs (a heartbeat) to 10 s (a time-out), about three for each decade.
const SECONDS_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// From milliseconds to an hour: what it takes a dispatch to be sent. It should be 50 ms; an agent that is away makes it long.
const DISPATCH_BUCKETS: [f64; 16] = [
    0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 900.0,
    3600.0,
];

/// From a second to an hour: what it takes a configuration to be applied.
const LONG_BUCKETS: [f64; 12] = [
    0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: Collector,
}

impl Metrics {
    /// Installs the recorder for the whole process.
    ///
    /// # Errors
    /// Fails when another recorder is installed.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full(names::APPLY_DURATION.to_owned()),
                &LONG_BUCKETS,
            )?
            .set_buckets_for_metric(
                Matcher::Full(names::DISPATCH_ENVELOPE_AGE.to_owned()),
                &DISPATCH_BUCKETS,
            )?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
            .install_recorder()?;
        describe_opamp();
        describe_leases();
        describe_fleet();
        describe_bounds();
        describe_raft();
        describe_tls();
        describe_peers();
        frames::register();
        peers::register();
        dispatches::register();
        history::register();
        for name in [
            names::SLOW_READERS,
            names::ACCEPT_ERRORS,
            names::FULL_STATES_ASKED,
            names::FULL_STATES_DEFERRED,
            names::FULL_STATE_BYTES,
        ] {
            metrics::counter!(name).absolute(0);
        }
        let process = Collector::default();
        process.describe();
        Ok(Self { handle, process })
    }

    /// Folds histograms; to be called every [`UPKEEP_PERIOD`].
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }
}

fn describe_bounds() {
    describe_counter!(
        names::FULL_STATES_ASKED,
        "Agents that were asked for their full state"
    );
    describe_counter!(
        names::FULL_STATES_DEFERRED,
        "Times that a needed full state was not asked for yet, because its budget was spent"
    );
    describe_counter!(
        names::FULL_STATE_BYTES,
        "Bytes of full state that came because they were asked for"
    );
    describe_counter!(
        names::CONNECTIONS_CUT,
        "Connections that were cut before they cost more, by listener and reason"
    );
}

fn describe_opamp() {
    describe_gauge!(
        names::ACTIVE_SESSIONS,
        "Sessions that this node owns, by transport"
    );
    describe_gauge!(
        names::MAX_SESSIONS,
        "The most connections that this node admits"
    );
    describe_counter!(
        names::FRAMES_RECEIVED,
        "Messages received from agents, by what they carry"
    );
    describe_counter!(
        names::FRAMES_REJECTED,
        "Messages and connections refused, by reason"
    );
    describe_histogram!(
        names::FRAME_DURATION,
        Unit::Seconds,
        "Time from a received message to its reply"
    );
    describe_histogram!(
        names::APPLY_DURATION,
        Unit::Seconds,
        "Time from the offer of a configuration to the agent's APPLIED"
    );
    describe_counter!(
        names::DISPATCH_LOCAL,
        "Deliveries accepted on the node that owns the session"
    );
    describe_counter!(
        names::DISPATCH_FORWARDED,
        "Deliveries accepted on another node than the one that owns the session"
    );
    describe_counter!(
        names::DISPATCH_NO_SESSION,
        "Deliveries accepted while no node owned the session"
    );
    describe_histogram!(
        names::DISPATCH_ENVELOPE_AGE,
        Unit::Seconds,
        "Time from the acceptance of a dispatch to its sending"
    );
    describe_gauge!(
        names::REPORT_LAG,
        Unit::Seconds,
        "How late the oldest report is that waits for the pace at which this node may write to the log"
    );
    describe_counter!(
        names::SLOW_READERS,
        "Sockets that were cut because their peer stopped reading"
    );
    describe_counter!(
        names::ACCEPT_ERRORS,
        "Failures to accept a connection of an agent"
    );
    describe_counter!(
        names::OFFERS_DISCARDED,
        "Offers that were left out of a message, by reason"
    );
    describe_counter!(
        names::OWNERSHIP_ACQUIRES,
        "Claims of session ownership, by outcome"
    );
}

fn describe_leases() {
    describe_counter!(
        names::POLLS_FORWARDED,
        "Polls of agents whose session another node owns, by outcome"
    );
    for name in [
        names::LEADER_LEASE_ACQUISITIONS,
        names::LEADER_LEASE_ACQUISITIONS_OLD,
    ] {
        describe_counter!(name, "Named leases that this node acquired, by lease");
    }
    describe_gauge!(
        names::LEADER_LEASE_HELD,
        "Whether this node holds the named lease"
    );
}

fn describe_fleet() {
    describe_gauge!(names::AGENTS, "Agents known to the fleet, by state");
    describe_gauge!(
        names::AGENTS_CONFIG,
        "Agents by the state of their remote configuration, each counted once"
    );
    describe_gauge!(
        names::AGENTS_UNHEALTHY,
        "Agents that report themselves as unhealthy"
    );
    describe_gauge!(
        names::CONFIG_QUARANTINED,
        "Configuration versions that failed on too many agents of a group and are not offered there"
    );
    describe_gauge!(
        names::HEALTH_STATE,
        "State of a part of this node: 0 ok, 1 degraded, 2 failed"
    );
    describe_gauge!(names::BUILD_INFO, "Always 1; its labels name the build");
}

fn describe_raft() {
    describe_gauge!(names::RAFT_TERM, "The Raft term of this node");
    describe_gauge!(names::RAFT_LEADER, "Whether this node leads");
    describe_gauge!(
        names::RAFT_LAST_LOG_INDEX,
        "The index of the last entry in this node's log"
    );
    describe_gauge!(
        names::RAFT_APPLIED_INDEX,
        "The index of the last entry that this node has applied"
    );
    describe_gauge!(
        names::RAFT_REPLICATION_LAG,
        "Entries that a peer is behind, by peer"
    );
    describe_histogram!(
        names::RAFT_APPEND_DURATION,
        Unit::Seconds,
        "Time from an append to its durable flush"
    );
    describe_histogram!(
        names::RAFT_PROPOSE_DURATION,
        Unit::Seconds,
        "Time from a proposal to its outcome"
    );
}

fn describe_tls() {
    describe_gauge!(
        names::TLS_EXPIRY,
        Unit::Seconds,
        "Seconds since 1970 at which the certificate in use on a door is over, by door"
    );
    describe_counter!(
        names::TLS_RELOADS,
        "Changed certificates that were taken up or refused, by door and result"
    );
    describe_counter!(
        names::TLS_HANDSHAKE_FAILURES,
        "Connections whose TLS handshake came to nothing, by door"
    );
}

fn describe_peers() {
    describe_counter!(
        names::PEER_REFUSED,
        "Connections and messages between nodes that were refused, by reason"
    );
}
