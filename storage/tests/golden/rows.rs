//! Rows of every kind with every variant of what they hold, and the bytes of their keys.

mod access;
mod cluster;
mod rollouts;

use std::sync::Arc;

use ampora_raft::fleet::limits::{AUDIT_VALUE_BYTES_MAX, TEXT_BYTES_MAX};
use ampora_raft::fleet::sizes::record_bytes;
use ampora_raft::ids::{BodyHash, DispatchId, Epoch, Fence, NodeId};
use ampora_raft::outcome::{OpOutcome, Outcome, Rejection};
use ampora_raft::records::*;
use ampora_raft::rows::{IdempotencyRow, Row, RowKey};
use ampora_storage::codec::{Kind, encode};

use super::proposals::{
    REASONS, STATUSES, actions, description, errors, hash, health, packages, selector, token, uid,
};
use super::{check, check_bytes, check_names};

const FILE: &str = "rows.txt";
const KEYS: &str = "keys.txt";

const KINDS: [&str; 25] = [
    "meta",
    "node",
    "agent",
    "configuration",
    "body_meta",
    "body_part",
    "group",
    "dispatch",
    "delivery",
    "token",
    "idempotency",
    "audit_head",
    "audit",
    "downtime",
    "rollout",
    "rollout_rules",
    "enrollment_token",
    "enrollment",
    "token_note",
    "liveness",
    "lease",
    "peer",
    "join_token",
    "cluster_head",
    "member_note",
];

fn kind(row: &Row) -> &'static str {
    match row {
        Row::Meta(_) => "meta",
        Row::Node(_) => "node",
        Row::Agent(_) => "agent",
        Row::Configuration(_) => "configuration",
        Row::BodyMeta(_) => "body_meta",
        Row::BodyPart(_) => "body_part",
        Row::Group(_) => "group",
        Row::Dispatch(_) => "dispatch",
        Row::Delivery(_) => "delivery",
        Row::Token(_) => "token",
        Row::Idempotency(_) => "idempotency",
        Row::AuditHead(_) => "audit_head",
        Row::Audit(_) => "audit",
        Row::Downtime(_) => "downtime",
        Row::Rollout(_) => "rollout",
        Row::RolloutRules(_) => "rollout_rules",
        Row::EnrollmentToken(_) => "enrollment_token",
        Row::Enrollment(_) => "enrollment",
        Row::TokenNote(_) => "token_note",
        Row::Liveness(_) => "liveness",
        Row::Lease(_) => "lease",
        Row::Peer(_) => "peer",
        Row::JoinToken(_) => "join_token",
        Row::ClusterHead(_) => "cluster_head",
        Row::MemberNote(_) => "member_note",
    }
}

fn kind_of_key(key: &RowKey) -> &'static str {
    match key {
        RowKey::Meta => "meta",
        RowKey::Node(_) => "node",
        RowKey::Agent(_) => "agent",
        RowKey::Configuration(_) => "configuration",
        RowKey::BodyMeta(_) => "body_meta",
        RowKey::BodyPart(..) => "body_part",
        RowKey::Group(_) => "group",
        RowKey::Dispatch(_) => "dispatch",
        RowKey::Delivery(..) => "delivery",
        RowKey::Token(_) => "token",
        RowKey::Idempotency(_) => "idempotency",
        RowKey::AuditHead => "audit_head",
        RowKey::Audit(_) => "audit",
        RowKey::Downtime => "downtime",
        RowKey::Rollout(_) => "rollout",
        RowKey::RolloutRules => "rollout_rules",
        RowKey::EnrollmentToken(_) => "enrollment_token",
        RowKey::Enrollment(_) => "enrollment",
        RowKey::TokenNote(_) => "token_note",
        RowKey::Liveness(_) => "liveness",
        RowKey::Lease(_) => "lease",
        RowKey::Peer(_) => "peer",
        RowKey::JoinToken(_) => "join_token",
        RowKey::ClusterHead => "cluster_head",
        RowKey::MemberNote(_) => "member_note",
    }
}

fn agents() -> Vec<AgentRecord> {
    let session = |transport| Session {
        node: NodeId(1),
        epoch: Epoch(2),
        fence: Fence(3),
        transport,
    };
    let transports = [Transport::WebSocket, Transport::Http];
    let full = (0..4_usize).map(|n| AgentRecord {
        uid: uid(1),
        description: description(),
        server_labels: vec![("team".into(), "core".into())],
        capabilities: 0x7fff,
        health: Some(health()),
        config: ConfigState {
            reported_hash: Some(vec![1; 32]),
            status: STATUSES[n],
            failed_hash: Some(hash(2)),
            error: "no".into(),
            sent_hash: Some(hash(3)),
        },
        effective: Some(BodyHash([4; 32])),
        components_hash: Some(vec![5; 32]),
        components: Some(BodyHash([6; 32])),
        packages: Some(packages()),
        home: NodeId(7),
        session: transports.get(n).map(|transport| session(*transport)),
        released: Some(Released {
            reason: REASONS[n],
            at_ms: 8,
            wall_ms: 9,
            last_sequence: Some(10),
        }),
        first_seen_ms: 11,
        last_change_ms: u64::MAX,
        custom_capabilities: vec!["org.example.cap".into()],
    });
    full.collect()
}

fn version() -> Arc<Version> {
    Arc::new(Version {
        number: 3,
        hash: hash(1),
        files: vec![FileMeta {
            name: "".into(),
            content_type: "text/yaml".into(),
            size: 70_000,
        }],
        comment: "why".into(),
        created_ms: 5,
        created_by: "admin".into(),
    })
}

fn group(pace: Pace) -> Arc<Group> {
    let reference = |version| VersionRef {
        configuration: "conf".into(),
        version,
        hash: hash(2),
    };
    Arc::new(Group {
        name: "edge".into(),
        selector: selector(),
        priority: -7,
        assignment: (pace == Pace::SlowStart).then(|| Assignment {
            settled: Some(reference(1)),
            next: Some(reference(2)),
            threshold: 1 << 60,
        }),
        pace,
        revision: 12,
        changed_ms: 13,
        changed_by: "admin".into(),
    })
}

fn dispatches() -> Vec<Arc<Dispatch>> {
    let states = [
        DispatchState::Expanding {
            cursor: Some(uid(3)),
        },
        DispatchState::Active,
        DispatchState::Done {
            finished_ms: 1,
            finished_at_ms: 2,
        },
    ];
    let targets = [
        Target::Selector(selector()),
        Target::Agent(uid(1)),
        Target::Agent(uid(2)),
    ];
    let parts = actions().into_iter().zip(states).zip(targets);
    parts
        .map(|((action, state), target)| {
            Arc::new(Dispatch {
                id: DispatchId(5),
                action,
                target,
                requires: 1,
                created_ms: 2,
                created_by: "admin".into(),
                expires_at_ms: 3,
                expires_wall_ms: 4,
                state,
                counts: Counts {
                    queued: 1,
                    sent: 2,
                    succeeded: 3,
                    failed: 4,
                    expired: 5,
                    cancelled: 300,
                },
            })
        })
        .collect()
}

fn deliveries() -> Vec<Delivery> {
    let states = [
        DeliveryState::Queued,
        DeliveryState::Sent,
        DeliveryState::Succeeded,
        DeliveryState::Expired,
        DeliveryState::Cancelled,
    ];
    let failed = errors().into_iter().map(DeliveryState::Failed);
    let delivery = |state| Delivery {
        dispatch: DispatchId(5),
        agent: uid(1),
        state,
        queued_ms: 1,
        sent_ms: Some(2),
        sent_at_ms: Some(3),
        finished_ms: Some(4),
        sent_by: Some((NodeId(1), Epoch(2), Fence(3))),
        sent_hash: Some(hash(4)),
    };
    states.into_iter().chain(failed).map(delivery).collect()
}

fn op_outcomes() -> Vec<OpOutcome> {
    let session = agents()[0].session.expect("owned");
    vec![
        OpOutcome::Granted {
            fence: Fence(3),
            last_sequence: Some(4),
            created: true,
        },
        OpOutcome::Conflict(session),
        OpOutcome::Done,
        OpOutcome::NotOwner,
        OpOutcome::AgentLimit,
        OpOutcome::TooLarge,
    ]
}

fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Done,
        Outcome::Registered { epoch: Epoch(2) },
        Outcome::Batch(op_outcomes()),
        Outcome::Version {
            version: version(),
            created: true,
        },
        Outcome::Group {
            group: group(Pace::SlowStart),
            created: false,
        },
        Outcome::Dispatch(dispatches()[0].clone()),
        Outcome::Deliveries {
            taken: vec![0, 300],
            more: true,
        },
        Outcome::Rejected(Rejection::LacksCapability),
        Outcome::Removed {
            count: 300,
            more: true,
        },
    ]
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::Meta(Arc::new(FleetMeta {
            lineage: u128::MAX - 1,
            time_ms: 1,
            fence: 2,
            dispatch: 3,
            feature_level: 4,
            founded_ms: 5,
        })),
        Row::Node(Arc::new(Node {
            id: NodeId(1),
            name: "n".into(),
            epoch: Epoch(2),
            live: true,
            batch: 3,
            version: "0.1.0".into(),
            opamp_address: "a:1".into(),
            admin_address: "b:2".into(),
            registered_ms: 4,
        })),
        Row::Configuration(Arc::new(Configuration {
            name: "conf".into(),
            versions: vec![version()],
            newest: 3,
        })),
        Row::BodyMeta(Arc::new(BodyMeta {
            parts: 64,
            present: u64::MAX,
            size: 1_000_000,
            references: 1,
            staged_ms: 2,
            staged_index: 3,
        })),
        Row::BodyPart(vec![1, 2, 3].into()),
    ];
    rows.extend(agents().into_iter().map(Arc::new).map(Row::Agent));
    rows.extend([Pace::SlowStart, Pace::AllAtOnce].map(|pace| Row::Group(group(pace))));
    rows.extend(dispatches().into_iter().map(Row::Dispatch));
    rows.extend(deliveries().into_iter().map(Arc::new).map(Row::Delivery));
    rows.extend(
        [Role::Viewer, Role::Operator, Role::Admin].map(|r| Row::Token(Arc::new(token(r)))),
    );
    rows.extend(outcomes().into_iter().map(|outcome| {
        Row::Idempotency(Arc::new(IdempotencyRow {
            digest: [1; 32],
            outcome,
            index: 2,
            at_ms: 3,
        }))
    }));
    rows.push(Row::AuditHead(Arc::new(AuditHead {
        last: 300,
        hash: [8; 32],
        first: 7,
    })));
    rows.push(Row::Audit(Arc::new(audit_record(5))));
    rows.push(Row::Downtime(Arc::new(Downtime {
        total_ms: 3_600_000,
        wall_ms: 1_700_000_000_000,
        at_ms: 5_000,
    })));
    rows.extend(rollouts::rollouts());
    rows.extend(access::rows());
    rows.extend(cluster::rows());
    rows.extend(cluster::members());
    rows
}

/// A record with texts of this many bytes.
fn audit_record(bytes: usize) -> AuditRecord {
    let text: Arc<str> = "x".repeat(bytes).into();
    let mut record = AuditRecord {
        seq: 300,
        index: 1_000_000,
        at_ms: 1_700_000_000_000,
        deadline_ms: 5_000,
        actor: text.clone(),
        from: text.clone(),
        request_id: text.clone(),
        action: "group.put".into(),
        target: text,
        before: "null".into(),
        after: "{\"priority\":5}".into(),
        previous: [1; 32],
        hash: [0; 32],
    };
    record.hash = record.digest();
    record
}

#[test]
fn the_largest_audit_record_is_one_value_of_the_store() {
    let value: Arc<str> = "x".repeat(AUDIT_VALUE_BYTES_MAX).into();
    let record = AuditRecord {
        index: u64::MAX,
        at_ms: u64::MAX,
        before: value.clone(),
        after: value,
        ..audit_record(TEXT_BYTES_MAX)
    };
    let bytes = encode(Kind::Row, &Row::Audit(Arc::new(record))).expect("small");
    assert!(bytes.len() <= AuditRecord::BYTES_MAX, "{}", bytes.len());
}

#[test]
fn rows_are_what_they_were() {
    let mut names: Vec<String> = Vec::new();
    for row in rows() {
        let kind = kind(&row);
        let same = names
            .iter()
            .filter(|name| name.split('.').next() == Some(kind));
        let name = format!("{kind}.{}", same.count());
        check(FILE, &name, Kind::Row, &row);
        names.push(name);
    }
    check_names(FILE, &KINDS, &names);
}

#[test]
fn records_count_at_least_what_they_take() {
    for agent in agents() {
        let encoded = encode(Kind::Row, &agent).expect("small").len() - 13;
        assert!(encoded <= record_bytes(&agent), "{encoded}");
    }
}

#[test]
fn keys_are_what_they_were() {
    let keys = [
        RowKey::Meta,
        RowKey::Node(NodeId(258)),
        RowKey::Agent(uid(3)),
        RowKey::Configuration("conf".into()),
        RowKey::BodyMeta(hash(4)),
        RowKey::BodyPart(hash(5), 513),
        RowKey::Group("edge".into()),
        RowKey::Dispatch(DispatchId(259)),
        RowKey::Delivery(DispatchId(260), uid(6)),
        RowKey::Token("id".into()),
        RowKey::Idempotency("key".into()),
        RowKey::AuditHead,
        RowKey::Audit(300),
        RowKey::Downtime,
        RowKey::Rollout("edge".into()),
        RowKey::RolloutRules,
        RowKey::EnrollmentToken("id".into()),
        RowKey::Enrollment(uid(7)),
        RowKey::TokenNote("id".into()),
        RowKey::Liveness(NodeId(261)),
        RowKey::Lease("rollout".into()),
        RowKey::Peer(NodeId(262)),
        RowKey::JoinToken("id".into()),
        RowKey::ClusterHead,
        RowKey::MemberNote(NodeId(263)),
    ];
    let mut names = Vec::new();
    for key in keys {
        let name = kind_of_key(&key).to_owned();
        check_bytes(KEYS, &name, &key.to_bytes());
        assert_eq!(RowKey::from_bytes(&key.to_bytes()), Some(key));
        names.push(name);
    }
    check_names(KEYS, &KINDS, &names);
}
