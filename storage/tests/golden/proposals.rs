//! Entries with every kind of proposal, and with every variant of what they hold.

mod changes;
pub(crate) mod cluster;

use std::sync::Arc;

use ampora_raft::fleet::sizes::entry_bytes;
use ampora_raft::ids::{BodyHash, ConfigHash, DispatchId, Epoch, Fence, InstanceUid, NodeId};
use ampora_raft::proposal::*;
use ampora_raft::records::*;
use ampora_raft::selector::Selector;
use ampora_storage::codec::{Kind, encode};

use super::{check, check_names};

const FILE: &str = "proposals.txt";

/// All kinds: the compiler asks for a name of each new one.
const KINDS: [&str; 46] = [
    "found",
    "register_node",
    "node_batch",
    "stage_body",
    "create_version",
    "put_group",
    "delete_group",
    "create_dispatch",
    "expand_dispatch",
    "mark_deliveries",
    "cancel_dispatch",
    "expire_deliveries",
    "put_token",
    "asked",
    "note_wall_time",
    "trim_audit",
    "note_read",
    "set_labels",
    "forget_agent",
    "retention",
    "create_version_after",
    "move_rollout",
    "forget_failures",
    "lift_quarantine",
    "revert_group",
    "put_rollout_rules",
    "create_token",
    "delete_token",
    "create_enrollment_token",
    "delete_enrollment_token",
    "sweep_tokens",
    "note_snapshot",
    "leader_start",
    "tick",
    "drain_node",
    "leave_node",
    "acquire_lease",
    "release_lease",
    "under_lease",
    "put_peer",
    "create_join_token",
    "redeem_join_token",
    "remove_node",
    "set_feature_level",
    "set_member_role",
    "transfer_leader",
];

fn kind(proposal: &Proposal) -> &'static str {
    match proposal {
        Proposal::Found { .. } => "found",
        Proposal::RegisterNode(_) => "register_node",
        Proposal::NodeBatch(_) => "node_batch",
        Proposal::StageBody(_) => "stage_body",
        Proposal::CreateVersion(_) => "create_version",
        Proposal::PutGroup(_) => "put_group",
        Proposal::DeleteGroup { .. } => "delete_group",
        Proposal::CreateDispatch(_) => "create_dispatch",
        Proposal::ExpandDispatch { .. } => "expand_dispatch",
        Proposal::MarkDeliveries(_) => "mark_deliveries",
        Proposal::CancelDispatch { .. } => "cancel_dispatch",
        Proposal::ExpireDeliveries { .. } => "expire_deliveries",
        Proposal::PutToken { .. } => "put_token",
        Proposal::Asked { .. } => "asked",
        Proposal::NoteWallTime { .. } => "note_wall_time",
        Proposal::TrimAudit { .. } => "trim_audit",
        Proposal::NoteRead(_) => "note_read",
        Proposal::SetLabels(_) => "set_labels",
        Proposal::ForgetAgent { .. } => "forget_agent",
        Proposal::Retention(_) => "retention",
        Proposal::CreateVersionAfter { .. } => "create_version_after",
        Proposal::MoveRollout(_) => "move_rollout",
        Proposal::ForgetFailures(_) => "forget_failures",
        Proposal::LiftQuarantine { .. } => "lift_quarantine",
        Proposal::RevertGroup { .. } => "revert_group",
        Proposal::PutRolloutRules { .. } => "put_rollout_rules",
        Proposal::CreateToken { .. } => "create_token",
        Proposal::DeleteToken { .. } => "delete_token",
        Proposal::CreateEnrollmentToken { .. } => "create_enrollment_token",
        Proposal::DeleteEnrollmentToken { .. } => "delete_enrollment_token",
        Proposal::SweepTokens { .. } => "sweep_tokens",
        Proposal::NoteSnapshot(_) => "note_snapshot",
        Proposal::LeaderStart { .. } => "leader_start",
        Proposal::Tick { .. } => "tick",
        Proposal::DrainNode { .. } => "drain_node",
        Proposal::LeaveNode { .. } => "leave_node",
        Proposal::AcquireLease { .. } => "acquire_lease",
        Proposal::ReleaseLease { .. } => "release_lease",
        Proposal::UnderLease { .. } => "under_lease",
        Proposal::PutPeer { .. } => "put_peer",
        Proposal::CreateJoinToken { .. } => "create_join_token",
        Proposal::RedeemJoinToken { .. } => "redeem_join_token",
        Proposal::RemoveNode { .. } => "remove_node",
        Proposal::SetFeatureLevel { .. } => "set_feature_level",
        Proposal::SetMemberRole { .. } => "set_member_role",
        Proposal::TransferLeader { .. } => "transfer_leader",
    }
}

pub(crate) fn uid(n: u8) -> InstanceUid {
    InstanceUid::from_bytes([n; 16])
}

pub(crate) fn hash(n: u8) -> ConfigHash {
    ConfigHash([n; 32])
}

pub(crate) fn selector() -> Selector {
    let text = "name=a, agent_type!=b && agent_version =~ 1.*, \
                (zone in (x,y) || !reported.k || server.t notin (z)), !(c=d), *";
    Selector::parse(text).expect("a selector")
}

pub(crate) fn description() -> Arc<Description> {
    let label = |scalar| Label {
        key: "k".into(),
        value: "v".into(),
        scalar,
    };
    Arc::new(Description {
        name: "host".into(),
        agent_type: "type".into(),
        agent_version: "1.2.3".into(),
        labels: vec![label(true), label(false)],
        truncated: true,
    })
}

pub(crate) fn health() -> Health {
    Health {
        healthy: true,
        status: "fine".into(),
        last_error: "none".into(),
        since_ms: 1_700_000_000_000,
        body: Some(BodyHash([9; 32])),
    }
}

pub(crate) fn packages() -> PackageAggregate {
    PackageAggregate {
        offered_hash: vec![1, 2, 3],
        installed: 4,
        pending: 300,
        failed: 70_000,
    }
}

pub(crate) const STATUSES: [ConfigStatus; 4] = [
    ConfigStatus::Unset,
    ConfigStatus::Applied,
    ConfigStatus::Applying,
    ConfigStatus::Failed,
];

pub(crate) const REASONS: [ReleaseReason; 4] = [
    ReleaseReason::Goodbye,
    ReleaseReason::Lost,
    ReleaseReason::Drained,
    ReleaseReason::OwnerDied,
];

pub(crate) fn errors() -> [DeliveryError; 7] {
    [
        DeliveryError::LacksCapability,
        DeliveryError::OutcomeUnknown,
        DeliveryError::Unconfirmed,
        DeliveryError::AgentFailed("it broke".into()),
        DeliveryError::NothingAssigned,
        DeliveryError::MailboxFull,
        DeliveryError::AgentForgotten,
    ]
}

pub(crate) fn actions() -> [Action; 3] {
    [
        Action::Restart,
        Action::PushConfig,
        Action::CustomMessage {
            capability: "io.example".into(),
            message_type: "hello".into(),
            data: vec![0, 255, 7],
        },
    ]
}

pub(crate) fn token(role: Role) -> Token {
    Token {
        id: "id".into(),
        name: "name".into(),
        role,
        hash: [5; 32],
        created_ms: 1,
        expires_at_ms: (role != Role::Admin).then_some(2),
    }
}

pub(crate) fn enrollment_token() -> EnrollmentToken {
    EnrollmentToken {
        id: "id".into(),
        name: "edge".into(),
        hash: [6; 32],
        uses: Some(300),
        expires_at_ms: Some(3),
        expires_wall_ms: Some(4),
        labels: vec![("env".into(), "prod".into())],
        created_ms: 5,
        created_by: "admin".into(),
    }
}

fn access() -> Vec<Proposal> {
    let enroll = |per_token_max| SessionOp::Enroll {
        uid: uid(1),
        token: "id".into(),
        per_token_max,
    };
    vec![
        Proposal::CreateToken {
            token: token(Role::Operator),
            expires_wall_ms: Some(7),
        },
        Proposal::DeleteToken { id: "id".into() },
        Proposal::CreateEnrollmentToken {
            token: enrollment_token(),
        },
        Proposal::DeleteEnrollmentToken { id: "id".into() },
        Proposal::SweepTokens { limit: 128 },
        Proposal::NodeBatch(NodeBatch {
            node: NodeId(1),
            epoch: Epoch(2),
            number: 301,
            agents_max: 250_000,
            ops: vec![enroll(None), enroll(Some(300))],
        }),
    ]
}

fn ops() -> Vec<SessionOp> {
    let mut ops = vec![
        SessionOp::Rename {
            from: uid(1),
            to: uid(2),
        },
        SessionOp::Report {
            uid: uid(4),
            update: Box::default(),
        },
    ];
    for (transport, expect) in [
        (Transport::WebSocket, None),
        (Transport::Http, Some(Fence(300))),
    ] {
        ops.push(SessionOp::Claim {
            uid: uid(1),
            expect,
            transport,
        });
    }
    for reason in REASONS {
        ops.push(SessionOp::Release {
            uid: uid(2),
            fence: Fence(u64::MAX),
            reason,
            last_sequence: (reason == ReleaseReason::Goodbye).then_some(77),
        });
    }
    for status in STATUSES {
        let update = AgentUpdate {
            description: Some(description()),
            capabilities: Some(0x2000),
            health: Some(health()),
            config: Some(ConfigReport {
                hash: vec![8; 32],
                status,
                error: "no".into(),
            }),
            sent_hash: Some(hash(1)),
            effective: Some(BodyHash([2; 32])),
            components_hash: Some(vec![3; 8]),
            components: Some(BodyHash([4; 32])),
            packages: Some(packages()),
            custom_capabilities: Some(vec!["org.example.cap".into()]),
        };
        ops.push(SessionOp::Report {
            uid: uid(3),
            update: Box::new(update),
        });
    }
    ops
}

fn groups() -> Vec<Proposal> {
    let group = |assign, pace: Option<Pace>, revision: Option<u64>| {
        Proposal::PutGroup(PutGroup {
            name: "edge".into(),
            revision,
            selector: pace.map(|_| selector()),
            priority: revision.map(|_| -5),
            assign,
            pace,
        })
    };
    let version = |version| Assign::Version {
        configuration: "conf".into(),
        version,
    };
    vec![
        group(Assign::Keep, None, None),
        group(Assign::Nothing, Some(Pace::SlowStart), Some(0)),
        group(version(None), Some(Pace::AllAtOnce), Some(u64::MAX)),
        group(version(Some(3)), None, None),
        Proposal::DeleteGroup {
            name: "edge".into(),
            revision: Some(9),
        },
    ]
}

fn dispatches() -> Vec<Proposal> {
    let order = |action, target| {
        Proposal::CreateDispatch(CreateDispatch {
            action,
            target,
            requires: 0x400,
            expires_in_ms: 3_600_000,
        })
    };
    let mut all: Vec<_> = actions()
        .into_iter()
        .map(|action| order(action, Target::Agent(uid(1))))
        .collect();
    all.push(order(Action::Restart, Target::Selector(selector())));
    for cursor in [None, Some(uid(7))] {
        all.push(Proposal::ExpandDispatch {
            dispatch: DispatchId(3),
            cursor,
        });
    }
    let sent = |hash| MarkTo::Sent {
        fence: Fence(8),
        hash,
    };
    let failed = errors().into_iter().map(MarkTo::Failed);
    let marks = [sent(None), sent(Some(hash(6))), MarkTo::Succeeded];
    let mark = |to| Mark {
        dispatch: DispatchId(300),
        agent: uid(9),
        to,
    };
    all.push(Proposal::MarkDeliveries(MarkDeliveries {
        node: NodeId(1),
        epoch: Epoch(2),
        marks: marks.into_iter().chain(failed).map(mark).collect(),
    }));
    all.push(Proposal::CancelDispatch {
        dispatch: DispatchId(u64::MAX),
    });
    all.push(Proposal::ExpireDeliveries { limit: 256 });
    all
}

fn proposals() -> Vec<Proposal> {
    let file = |name: &str| FileMeta {
        name: name.into(),
        content_type: "text/yaml".into(),
        size: 1_000,
    };
    let mut all = vec![
        Proposal::Found { lineage: u128::MAX },
        Proposal::RegisterNode(RegisterNode {
            node: NodeId(1),
            name: "n".into(),
            version: "0.1.0".into(),
            opamp_address: "a:1".into(),
            admin_address: "b:2".into(),
        }),
        Proposal::NodeBatch(NodeBatch {
            node: NodeId(1),
            epoch: Epoch(2),
            number: 300,
            agents_max: 250_000,
            ops: ops(),
        }),
        Proposal::StageBody(StageBody {
            hash: hash(1),
            part: 3,
            parts: 4,
            bytes: vec![7; 9].into(),
        }),
        Proposal::CreateVersion(CreateVersion {
            configuration: "conf".into(),
            hash: hash(1),
            files: vec![file(""), file("extra.yaml")],
            comment: "why".into(),
        }),
    ];
    all.extend(groups());
    all.extend(dispatches());
    all.extend(
        [Role::Viewer, Role::Operator, Role::Admin]
            .map(|role| Proposal::PutToken { token: token(role) }),
    );
    let cancel = Proposal::CancelDispatch {
        dispatch: DispatchId(7),
    };
    all.push(cancel.asked("192.0.2.7".into()));
    all.extend([true, false].map(|begins| Proposal::NoteWallTime { begins }));
    all.push(Proposal::TrimAudit {
        first: 300,
        count: 256,
    });
    let bodies = [
        RawBody::EffectiveConfig,
        RawBody::Health,
        RawBody::Components,
    ];
    all.extend(bodies.map(|body| {
        Proposal::NoteRead(NoteRead {
            agent: uid(1),
            body,
            hash: (body != RawBody::Health).then_some(BodyHash([3; 32])),
        })
    }));
    all.extend(cluster::proposals());
    all.extend(changes::bounds());
    all.extend(changes::rollouts());
    all.extend(access());
    all.extend([SnapshotStep::Take, SnapshotStep::Read].map(|step| {
        let id = "5eb1".into();
        Proposal::NoteSnapshot(NoteSnapshot { id, step })
    }));
    all
}

pub(crate) fn entry(proposal: Proposal) -> Entry {
    let idempotency = matches!(proposal, Proposal::CreateVersion(_)).then(|| Idempotency {
        key: "key".into(),
        digest: [6; 32],
    });
    Entry {
        time_ms: 123_456,
        wall_ms: 1_700_000_000_000,
        origin: Origin {
            actor: "admin".into(),
            request_id: "req-1".into(),
            idempotency,
        },
        proposal,
    }
}

#[test]
fn proposals_are_what_they_were() {
    let mut names: Vec<String> = Vec::new();
    for proposal in proposals() {
        let kind = kind(&proposal);
        let same = names
            .iter()
            .filter(|name| name.split('.').next() == Some(kind));
        let name = format!("{kind}.{}", same.count());
        let entry = entry(proposal);
        check(FILE, &name, Kind::LogEntry, &entry);
        names.push(name);
        let encoded = encode(Kind::LogEntry, &entry).expect("small").len();
        assert!(
            encoded <= entry_bytes(&entry) + 13,
            "{kind} counts less than it takes"
        );
    }
    check_names(FILE, &KINDS, &names);
}
