//! The pace at which deciding fields reach the log.

use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_raft::records::{ConfigReport, ConfigState, ConfigStatus, Description, Health};

use super::*;

const UID: InstanceUid = InstanceUid::from_u128(1);

fn record() -> AgentRecord {
    AgentRecord {
        uid: UID,
        description: Arc::new(Description::default()),
        server_labels: Vec::new(),
        capabilities: 1,
        health: Some(health(true, "")),
        config: ConfigState::default(),
        effective: None,
        components_hash: None,
        components: None,
        packages: None,
        home: NodeId(1),
        session: None,
        released: None,
        first_seen_ms: 0,
        last_change_ms: 0,
    }
}

fn health(healthy: bool, error: &str) -> Health {
    Health {
        healthy,
        status: Arc::from(""),
        last_error: Arc::from(error),
        since_ms: 0,
        body: None,
    }
}

fn says(health: Health) -> AgentUpdate {
    AgentUpdate {
        health: Some(health),
        ..AgentUpdate::default()
    }
}

fn status(status: ConfigStatus) -> AgentUpdate {
    AgentUpdate {
        config: Some(ConfigReport {
            hash: vec![1],
            status,
            error: Arc::from(""),
        }),
        ..AgentUpdate::default()
    }
}

#[test]
fn first_change_goes_at_once_and_the_next_waits_five_seconds() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, says(health(false, "a")), Some(&record), 1_000);
    assert!(reports.next_due(1_000).is_some());
    reports.add(UID, says(health(false, "b")), Some(&record), 2_000);
    reports.add(UID, says(health(false, "c")), Some(&record), 3_000);
    assert_eq!(reports.next_due_ms(), Some(6_000));
    assert!(reports.next_due(5_999).is_none());
    let (_, update) = reports.next_due(6_000).expect("due");
    assert_eq!(
        &*update.health.expect("health").last_error,
        "c",
        "newest wins"
    );
    assert!(reports.next_due(u64::MAX).is_none());
}

#[test]
fn texts_alone_go_once_a_minute() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, says(health(true, "a")), Some(&record), 0);
    assert!(reports.next_due(0).is_some());
    reports.add(UID, says(health(true, "pid 1")), Some(&record), 1_000);
    assert_eq!(reports.next_due_ms(), Some(TEXT_INTERVAL_MS));
}

#[test]
fn configuration_status_never_waits() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, status(ConfigStatus::Applying), Some(&record), 0);
    assert!(reports.next_due(0).is_some());
    reports.add(UID, status(ConfigStatus::Applied), Some(&record), 1);
    assert!(reports.next_due(1).is_some());
}

#[test]
fn what_the_fleet_has_is_not_proposed() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, says(health(true, "")), Some(&record), 0);
    assert!(reports.next_due(u64::MAX).is_none());
}

#[test]
fn a_change_that_is_taken_back_in_time_is_not_proposed() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, says(health(false, "")), Some(&record), 0);
    reports.add(UID, says(health(true, "")), Some(&record), 0);
    assert!(reports.next_due(u64::MAX).is_none());
}
