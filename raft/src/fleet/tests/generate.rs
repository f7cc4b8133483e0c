//! Entries of every kind over a few names, so that they meet; with values at and beyond every end.

mod cluster;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::proposal::{
    Asker, ForgetFailures, MoveRollout, NoteRead, NoteSnapshot, RawBody, RolloutMove, SnapshotStep,
};
use crate::records::{
    ConfigReport, ConfigStatus, DeliveryError, EnrollmentToken, FileMeta, Health, Pace,
    PackageAggregate, ReleaseReason, Role, RolloutRules, Token,
};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..6_u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn agent() -> impl Strategy<Value = InstanceUid> {
    (0..6_u64).prop_map(uid)
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        6 => "[ab]".prop_map(Arc::from),
        1 => Just(Arc::from("")),
        1 => (100..600_usize).prop_map(|bytes| "x".repeat(bytes).into()),
    ]
}

fn chosen() -> impl Strategy<Value = Selector> {
    prop::sample::select(vec!["*", "env=a", "env!=a", "!env", "agent_type=b"]).prop_map(selector)
}

fn config_hash() -> impl Strategy<Value = ConfigHash> {
    (0..4_u8).prop_map(hash)
}

fn status() -> impl Strategy<Value = ConfigStatus> {
    prop::sample::select(vec![
        ConfigStatus::Unset,
        ConfigStatus::Applied,
        ConfigStatus::Applying,
        ConfigStatus::Failed,
    ])
}

fn update() -> impl Strategy<Value = AgentUpdate> {
    let description =
        (text(), text(), vec((text(), text()), 0..4)).prop_map(|(kind, env, more)| {
            let label = |(key, value)| Label {
                key,
                value,
                scalar: true,
            };
            let labels = [(Arc::from("env"), env)].into_iter().chain(more);
            Arc::new(Description {
                agent_type: kind,
                labels: labels.map(label).collect(),
                ..Description::default()
            })
        });
    let health = (any::<bool>(), text()).prop_map(|(healthy, status)| Health {
        healthy,
        last_error: status.clone(),
        status,
        since_ms: 7,
        body: None,
    });
    let report =
        (config_hash(), status(), text(), 0..70_usize).prop_map(|(hash, status, error, length)| {
            ConfigReport {
                hash: hash.0.iter().cycle().take(length).copied().collect(),
                status,
                error,
            }
        });
    let packages = vec(any::<u8>(), 0..70).prop_map(|offered_hash| PackageAggregate {
        offered_hash,
        installed: 1,
        pending: 2,
        failed: 3,
    });
    let bytes = option::of(vec(any::<u8>(), 0..70));
    (
        option::of(description),
        option::of(number()),
        option::of(health),
        option::of(report),
        option::of(config_hash()),
        bytes,
        option::of(packages),
    )
        .prop_map(
            |(description, capabilities, health, config, sent_hash, components_hash, packages)| {
                AgentUpdate {
                    description,
                    capabilities,
                    health,
                    config,
                    sent_hash,
                    components_hash,
                    packages,
                    ..AgentUpdate::default()
                }
            },
        )
}

fn op() -> impl Strategy<Value = SessionOp> {
    let fence = || number().prop_map(Fence);
    prop_oneof![
        3 => (agent(), option::of(fence()), any::<bool>()).prop_map(|(uid, expect, socket)| SessionOp::Claim {
            uid,
            expect,
            transport: if socket { Transport::WebSocket } else { Transport::Http },
        }),
        2 => (agent(), fence(), option::of(number())).prop_map(|(uid, fence, last_sequence)| {
            SessionOp::Release { uid, fence, reason: ReleaseReason::Lost, last_sequence }
        }),
        3 => (agent(), update()).prop_map(|(uid, update)| SessionOp::Report { uid, update: Box::new(update) }),
        1 => (agent(), agent()).prop_map(|(from, to)| SessionOp::Rename { from, to }),
        2 => (agent(), "[ef]", option::of(0..4_u32)).prop_map(|(uid, token, per_token_max)| {
            SessionOp::Enroll { uid, token: token.into(), per_token_max }
        }),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    let to = prop_oneof![
        (number(), option::of(config_hash())).prop_map(|(fence, hash)| MarkTo::Sent {
            fence: Fence(fence),
            hash
        }),
        Just(MarkTo::Succeeded),
        text().prop_map(|text| MarkTo::Failed(DeliveryError::AgentFailed(text))),
        Just(MarkTo::Failed(DeliveryError::OutcomeUnknown)),
    ];
    (number(), agent(), to).prop_map(|(dispatch, agent, to)| Mark {
        dispatch: DispatchId(dispatch),
        agent,
        to,
    })
}

fn assign() -> impl Strategy<Value = Assign> {
    prop_oneof![
        Just(Assign::Keep),
        Just(Assign::Nothing),
        (text(), option::of(0..4_u32)).prop_map(|(configuration, version)| Assign::Version {
            configuration,
            version
        }),
    ]
}

fn configurations() -> impl Strategy<Value = Proposal> {
    prop_oneof![
        (config_hash(), 0..3_u16, 0..3_u16, 0..300_usize).prop_map(|(hash, part, parts, bytes)| {
            Proposal::StageBody(StageBody {
                hash,
                part,
                parts,
                bytes: vec![1; bytes].into(),
            })
        }),
        (text(), config_hash(), text(), vec(text(), 0..3)).prop_map(
            |(configuration, hash, comment, files)| {
                let file = |name: Arc<str>| FileMeta {
                    content_type: name.clone(),
                    name,
                    size: 3,
                };
                Proposal::CreateVersion(CreateVersion {
                    configuration,
                    hash,
                    files: files.into_iter().map(file).collect(),
                    comment,
                })
            }
        ),
    ]
}

fn groups() -> impl Strategy<Value = Proposal> {
    let revision = || option::weighted(0.2, number());
    let pace = prop::sample::select(vec![None, Some(Pace::SlowStart), Some(Pace::AllAtOnce)]);
    prop_oneof![
        (
            text(),
            revision(),
            option::of(chosen()),
            option::of(any::<i32>()),
            assign(),
            pace
        )
            .prop_map(|(name, revision, selector, priority, assign, pace)| {
                Proposal::PutGroup(PutGroup {
                    name,
                    revision,
                    selector,
                    priority,
                    assign,
                    pace,
                })
            }),
        (text(), revision()).prop_map(|(name, revision)| Proposal::DeleteGroup { name, revision }),
    ]
}

fn rollouts() -> BoxedStrategy<Proposal> {
    let revision = || option::weighted(0.1, number());
    let to = prop_oneof![
        3 => (any::<u64>(), any::<u32>())
            .prop_map(|(threshold, size)| RolloutMove::Window { threshold, size }),
        1 => Just(RolloutMove::Settle),
    ];
    let rules = (0..3_u32, number()).prop_map(|(quarantine_failures, confirm_timeout_ms)| {
        Proposal::PutRolloutRules {
            rules: RolloutRules {
                quarantine_failures,
                confirm_timeout_ms,
            },
        }
    });
    prop_oneof![
        4 => (text(), number(), to).prop_map(|(group, seen, to)| {
            Proposal::MoveRollout(MoveRollout { group, seen, to })
        }),
        1 => (config_hash(), vec(agent(), 0..4))
            .prop_map(|(hash, agents)| Proposal::ForgetFailures(ForgetFailures { hash, agents })),
        8 => (text(), revision())
            .prop_map(|(name, revision)| Proposal::LiftQuarantine { name, revision }),
        2 => (text(), revision())
            .prop_map(|(name, revision)| Proposal::RevertGroup { name, revision }),
        1 => rules,
    ]
    .boxed()
}

fn dispatches() -> impl Strategy<Value = Proposal> {
    let action = prop_oneof![
        Just(Action::Restart),
        Just(Action::PushConfig),
        (text(), 0..17_000_usize).prop_map(|(capability, bytes)| Action::CustomMessage {
            message_type: capability.clone(),
            capability,
            data: vec![1; bytes],
        }),
    ];
    let target = prop_oneof![
        agent().prop_map(Target::Agent),
        chosen().prop_map(Target::Selector)
    ];
    let id = || number().prop_map(DispatchId);
    prop_oneof![
        3 => (action, target, 0..2_u64, number()).prop_map(|(action, target, requires, expires_in_ms)| {
            Proposal::CreateDispatch(CreateDispatch { action, target, requires, expires_in_ms })
        }),
        3 => (id(), option::weighted(0.1, agent()))
            .prop_map(|(dispatch, cursor)| Proposal::ExpandDispatch { dispatch, cursor }),
        4 => (1..3_u64, 1..4_u64, vec(mark(), 0..6)).prop_map(|(node, epoch, marks)| {
            Proposal::MarkDeliveries(MarkDeliveries { node: NodeId(node), epoch: Epoch(epoch), marks })
        }),
        3 => id().prop_map(|dispatch| Proposal::CancelDispatch { dispatch }),
        3 => any::<u16>().prop_map(|limit| Proposal::ExpireDeliveries { limit }),
    ]
}

fn nodes() -> impl Strategy<Value = Proposal> {
    let body = prop::sample::select(vec![RawBody::EffectiveConfig, RawBody::Health]);
    let role = prop::sample::select(vec![Role::Viewer, Role::Operator, Role::Admin]);
    prop_oneof![
        1 => (any::<u8>()).prop_map(|lineage| Proposal::Found { lineage: u128::from(lineage) }),
        2 => (1..5_u64, text()).prop_map(|(node, name)| Proposal::RegisterNode(RegisterNode {
            node: NodeId(node),
            version: name.clone(),
            opamp_address: name.clone(),
            admin_address: name.clone(),
            name,
        })),
        8 => (1..3_u64, 1..4_u64, 1..8_u64, 0..9_u32, vec(op(), 0..12)).prop_map(
            |(node, epoch, number, agents_max, ops)| Proposal::NodeBatch(NodeBatch {
                node: NodeId(node),
                epoch: Epoch(epoch),
                number,
                agents_max,
                ops,
            })
        ),
        1 => any::<bool>().prop_map(|begins| Proposal::NoteWallTime { begins }),
        1 => (number(), 0..3_u16).prop_map(|(first, count)| Proposal::TrimAudit { first, count }),
        1 => (agent(), body).prop_map(|(agent, body)| {
            Proposal::NoteRead(NoteRead { agent, body, hash: None })
        }),
        1 => text().prop_map(|id| {
            Proposal::NoteSnapshot(NoteSnapshot { id, step: SnapshotStep::Take })
        }),
        1 => (text(), text(), role, 0..3_u8, option::of(number())).prop_map(
            |(id, name, role, hash, expires_at_ms)| Proposal::PutToken {
                token: Token { id, name, role, hash: [hash; 32], created_ms: 5, expires_at_ms },
            }
        ),
    ]
}

fn bounds() -> impl Strategy<Value = Proposal> {
    let labels = vec((text(), text()), 0..4);
    let retention = prop_oneof![
        4 => (vec(agent(), 0..6), 0..3_000_u64, 0..3_000_u64).prop_map(
            |(agents, after_ms, bare_after_ms)| Retention::ForgetAgents {
                agents,
                after_ms,
                bare_after_ms
            }
        ),
        1 => text().prop_map(|configuration| Retention::TrimVersions { configuration }),
        1 => vec(number().prop_map(DispatchId), 0..3)
            .prop_map(|dispatches| Retention::RetireDispatches { dispatches }),
        1 => Just(Retention::ExpireKeys),
        1 => number().prop_map(|until_index| Retention::DropStaged { until_index }),
    ];
    let version = (text(), config_hash()).prop_map(|(configuration, hash)| CreateVersion {
        configuration,
        hash,
        files: Vec::new(),
        comment: "".into(),
    });
    prop_oneof![
        2 => (agent(), labels)
            .prop_map(|(agent, labels)| Proposal::SetLabels(SetLabels { agent, labels })),
        1 => (agent(), option::of(number())).prop_map(|(agent, fence)| Proposal::ForgetAgent {
            agent,
            fence: fence.map(Fence)
        }),
        2 => retention.prop_map(Proposal::Retention),
        1 => (0..4_u32, version)
            .prop_map(|(newest, version)| Proposal::CreateVersionAfter { newest, version }),
    ]
}

fn tokens() -> impl Strategy<Value = Proposal> {
    let role = prop::sample::select(vec![Role::Viewer, Role::Operator, Role::Admin]);
    let labels = vec((text(), text()), 0..3);
    prop_oneof![
        2 => (text(), text(), role, 0..3_u8, option::of(number())).prop_map(
            |(id, name, role, hash, expires_at_ms)| Proposal::CreateToken {
                token: Token { id, name, role, hash: [hash; 32], created_ms: 5, expires_at_ms },
                expires_wall_ms: expires_at_ms,
            }
        ),
        2 => "[ab]".prop_map(|id| Proposal::DeleteToken { id: id.into() }),
        3 => ("[ef]", option::of(0..4_u32), option::of(number()), labels).prop_map(
            |(id, uses, expires_at_ms, labels)| Proposal::CreateEnrollmentToken {
                token: EnrollmentToken {
                    hash: [id.as_bytes()[0]; 32],
                    id: id.into(),
                    name: "edge".into(),
                    uses,
                    expires_at_ms,
                    expires_wall_ms: None,
                    labels,
                    created_ms: 5,
                    created_by: "".into(),
                },
            }
        ),
        1 => "[ef]".prop_map(|id| Proposal::DeleteEnrollmentToken { id: id.into() }),
        1 => any::<u16>().prop_map(|limit| Proposal::SweepTokens { limit }),
    ]
}

/// One entry as it might stand in a log.
pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let proposal = prop_oneof![
        3 => nodes().boxed(),
        2 => configurations().boxed(),
        2 => groups().boxed(),
        5 => dispatches().boxed(),
        2 => bounds().boxed(),
        4 => rollouts(),
        2 => tokens().boxed(),
        4 => cluster::cluster().boxed(),
        1 => cluster::under(dispatches()).boxed(),
        1 => cluster::under(cluster::under(rollouts())).boxed(),
    ];
    let idempotency = option::weighted(0.2, ("[kl]", 0..2_u8))
        .prop_map(|given| given.map(|(name, digest)| key(&name, digest)));
    let time = prop_oneof![99 => 0..5_000_u64, 1 => any::<u64>()];
    (proposal, any::<u8>(), idempotency, time).prop_map(|(proposal, by, idempotency, time_ms)| {
        let asked = match proposal.asker() {
            Asker::Operator | Asker::Step => by < 128,
            Asker::System => by < 8,
        };
        let proposal = if asked {
            proposal.asked("192.0.2.7".into())
        } else {
            proposal
        };
        stamped(time_ms / 2, idempotency, proposal)
    })
}
