//! Gauges that are read from the fleet when somebody scrapes, instead of being kept in step all the time.

use ampora_raft::records::{AgentRecord, ConfigStatus, Transport};

use super::Api;
use super::agents::shape::Lens;
use super::agents::state::{AgentState, standing};
use super::backend::RaftStatus;
use super::backend::{Part, PartState};
use crate::telemetry::names;

/// Counted in one walk over the fleet.
#[derive(Debug, Default)]
struct Counts {
    connected: u32,
    stale: u32,
    disconnected: u32,
    unhealthy: u32,
    quarantined: u32,
    websocket: u32,
    http: u32,
    drifted: u32,
    applied: u32,
    applying: u32,
    failed: u32,
    unset: u32,
}

/// Sets all sampled gauges.
pub(super) fn sample(api: &Api) {
    let status = api.backend.status();
    let leads = status.leader == Some(status.node);
    metrics::gauge!(names::RAFT_TERM).set(whole(status.term));
    metrics::gauge!(names::RAFT_LEADER).set(f64::from(u8::from(leads)));
    metrics::gauge!(names::RAFT_LAST_LOG_INDEX).set(whole(status.last_log_index));
    metrics::gauge!(names::RAFT_APPLIED_INDEX).set(whole(status.applied_index));
    replication_lag(&status);
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!(names::MAX_SESSIONS).set(f64::from(api.settings.max_connections));
    let health = api.backend.health();
    for (part, state) in [
        ("raft", &health.raft),
        ("storage", &health.storage),
        ("history", &health.history),
        ("opamp", &health.opamp),
    ] {
        metrics::gauge!(names::HEALTH_STATE, "part" => part).set(severity(state));
    }
    set(&count(api));
}

/// Known to the leader alone: on others it is zero, so that nothing is left of an earlier leadership.
fn replication_lag(status: &RaftStatus) {
    let members = status.voters.iter().chain(&status.learners);
    for peer in members.filter(|peer| **peer != status.node) {
        let matched = status.matched.iter().find(|(node, _)| node == peer);
        let lag = matched.map_or(0, |(_, index)| status.last_log_index.saturating_sub(*index));
        metrics::gauge!(names::RAFT_REPLICATION_LAG, "peer" => peer.0.to_string()).set(whole(lag));
    }
}

fn count(api: &Api) -> Counts {
    let own = api.backend.status().node;
    let view = api.backend.view();
    let lens = Lens::new(api, &view);
    let fleet = &view.fleet;
    let held = fleet.rollouts().map(|rollout| rollout.quarantined.len());
    let mut counts = Counts {
        quarantined: u32::try_from(held.sum::<usize>()).unwrap_or(u32::MAX),
        ..Counts::default()
    };
    for record in fleet.agents(None) {
        let state = lens.state(record);
        match state {
            AgentState::Connected => counts.connected += 1,
            AgentState::Stale => counts.stale += 1,
            AgentState::Disconnected => counts.disconnected += 1,
        }
        if record.health.as_ref().is_some_and(|health| !health.healthy) {
            counts.unhealthy += 1;
        }
        let session = fleet.valid_session(record).filter(|held| held.node == own);
        match session.map(|held| held.transport) {
            Some(Transport::WebSocket) => counts.websocket += 1,
            Some(Transport::Http) => counts.http += 1,
            None => {}
        }
        let desired = fleet.desired(record);
        let standing = standing(record, &desired, fleet, state);
        count_config(&mut counts, record, standing.drifted);
    }
    counts
}

/// An agent counts once, `drifted` first.
fn count_config(counts: &mut Counts, record: &AgentRecord, drifted: bool) {
    let count = match (drifted, record.config.status) {
        (true, _) => &mut counts.drifted,
        (false, ConfigStatus::Applied) => &mut counts.applied,
        (false, ConfigStatus::Applying) => &mut counts.applying,
        (false, ConfigStatus::Failed) => &mut counts.failed,
        (false, ConfigStatus::Unset) => &mut counts.unset,
    };
    *count += 1;
}

fn set(counts: &Counts) {
    for (state, count) in [
        ("connected", counts.connected),
        ("stale", counts.stale),
        ("disconnected", counts.disconnected),
    ] {
        metrics::gauge!(names::AGENTS, "state" => state).set(f64::from(count));
    }
    for (transport, count) in [("websocket", counts.websocket), ("http", counts.http)] {
        metrics::gauge!(names::ACTIVE_SESSIONS, "transport" => transport).set(f64::from(count));
    }
    for (status, count) in [
        ("drifted", counts.drifted),
        ("applied", counts.applied),
        ("applying", counts.applying),
        ("failed", counts.failed),
        ("unset", counts.unset),
    ] {
        metrics::gauge!(names::AGENTS_CONFIG, "status" => status).set(f64::from(count));
    }
    metrics::gauge!(names::AGENTS_UNHEALTHY).set(f64::from(counts.unhealthy));
    metrics::gauge!(names::CONFIG_QUARANTINED).set(f64::from(counts.quarantined));
}

fn severity(part: &Part) -> f64 {
    match part.state {
        PartState::Ok => 0.0,
        PartState::Degraded => 1.0,
        PartState::Failed => 2.0,
    }
}

/// Indices and terms stay far below 2^53, where a gauge begins to round.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats, and these numbers stay below 2^53"
)]
fn whole(number: u64) -> f64 {
    number as f64
}
