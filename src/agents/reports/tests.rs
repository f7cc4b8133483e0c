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
        custom_capabilities: Vec::new(),
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
fn turning_unhealthy_goes_at_once_and_only_the_way_back_waits() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, status(ConfigStatus::Applied), Some(&record), 0);
    assert!(reports.next_due(0).is_some());
    reports.add(UID, says(health(false, "")), Some(&record), 1);
    assert!(reports.next_due(1).is_some(), "whatever is in flight");
    reports.add(UID, says(health(true, "")), Some(&record), 2);
    assert_eq!(reports.next_due_ms(), Some(1 + DECIDING_INTERVAL_MS));
    reports.add(UID, says(health(false, "")), Some(&record), 3);
    assert_eq!(reports.next_due_ms(), Some(1 + DECIDING_INTERVAL_MS));
}

#[test]
fn a_failure_that_was_forgiven_is_news_again() {
    let (mut reports, mut record) = (Reports::default(), record());
    let failed = || AgentUpdate {
        config: Some(ConfigReport {
            hash: vec![1; 32],
            status: ConfigStatus::Failed,
            error: Arc::from(""),
        }),
        ..AgentUpdate::default()
    };
    record.config.status = ConfigStatus::Failed;
    record.config.reported_hash = Some(vec![1; 32]);
    record.config.failed_hash = Some(ampora_raft::ids::ConfigHash([1; 32]));
    reports.add(UID, failed(), Some(&record), 0);
    assert!(reports.next_due(u64::MAX).is_none());
    record.config.failed_hash = None;
    reports.add(UID, failed(), Some(&record), 0);
    assert!(reports.next_due(0).is_some());
}

#[test]
fn texts_alone_go_once_a_minute() {
    let (mut reports, record) = (Reports::default(), record());
    reports.add(UID, says(health(true, "a")), Some(&record), 0);
    assert!(reports.next_due(0).is_some());
    reports.landed(UID);
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

#[test]
fn a_status_is_compared_with_what_is_in_flight() {
    let (mut reports, record) = (Reports::default(), record());
    let mut applied = record;
    applied.config.reported_hash = Some(vec![1]);
    applied.config.status = ConfigStatus::Applied;
    reports.add(UID, status(ConfigStatus::Applying), Some(&applied), 0);
    assert!(reports.next_due(0).is_some());
    // the fleet does not show the first word yet, and the second takes it back
    reports.add(UID, status(ConfigStatus::Applied), Some(&applied), 1);
    assert!(
        reports.next_due(1).is_some(),
        "not taken for news of yesterday"
    );
    reports.landed(UID);
    reports.landed(UID);
    reports.add(UID, status(ConfigStatus::Applied), Some(&applied), 2);
    assert!(reports.next_due(u64::MAX).is_none());
}

#[test]
fn a_failure_is_not_hidden_by_the_word_that_follows() {
    let (mut reports, record) = (Reports::default(), record());
    for word in [
        ConfigStatus::Applying,
        ConfigStatus::Failed,
        ConfigStatus::Applied,
    ] {
        reports.add(UID, status(word), Some(&record), 0);
    }
    let words: Vec<_> = std::iter::from_fn(|| reports.next_due(0))
        .filter_map(|(_, update)| update.config)
        .map(|config| config.status)
        .collect();
    assert_eq!(words, [ConfigStatus::Failed, ConfigStatus::Applied]);
}

#[test]
fn the_same_components_hash_keeps_the_list() {
    let (mut reports, record) = (Reports::default(), record());
    let said = |hash: u8, list: Option<ampora_raft::ids::BodyHash>| AgentUpdate {
        components_hash: Some(vec![hash]),
        components: list,
        ..AgentUpdate::default()
    };
    let list = Some(ampora_raft::ids::BodyHash([7; 32]));
    reports.add(UID, said(1, list), Some(&record), 0);
    reports.add(UID, said(1, None), Some(&record), 0);
    let (_, update) = reports.next_due(0).expect("due");
    assert_eq!(update.components, list);
    reports.add(UID, said(1, list), Some(&record), 9_000);
    reports.add(UID, said(2, None), Some(&record), 9_000);
    let (_, update) = reports.next_due(20_000).expect("due");
    assert_eq!(update.components, None);
}
