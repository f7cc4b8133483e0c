//! What operators do to agents, what has had its time, and how a change goes.

use ampora_raft::ids::{DispatchId, Fence};
use ampora_raft::proposal::*;
use ampora_raft::records::RolloutRules;

use super::{hash, uid};

pub(super) fn bounds() -> Vec<Proposal> {
    let mut all = vec![Proposal::SetLabels(SetLabels {
        agent: uid(1),
        labels: vec![("team".into(), "core".into()), ("zone".into(), "".into())],
    })];
    all.extend([None, Some(Fence(300))].map(|fence| Proposal::ForgetAgent {
        agent: uid(1),
        fence,
    }));
    let retention = [
        Retention::ForgetAgents {
            agents: vec![uid(1), uid(2)],
            after_ms: 604_800_000,
            bare_after_ms: 86_400_000,
        },
        Retention::TrimVersions {
            configuration: "conf".into(),
        },
        Retention::RetireDispatches {
            dispatches: vec![DispatchId(3), DispatchId(u64::MAX)],
        },
        Retention::ExpireKeys,
        Retention::DropStaged {
            until_index: 70_000,
        },
    ];
    all.extend(retention.map(Proposal::Retention));
    all.push(Proposal::CreateVersionAfter {
        newest: 7,
        version: CreateVersion {
            configuration: "conf".into(),
            hash: hash(1),
            files: Vec::new(),
            comment: "why".into(),
        },
    });
    all
}

pub(super) fn rollouts() -> Vec<Proposal> {
    let window = RolloutMove::Window {
        threshold: u64::MAX - 1,
        size: 300,
    };
    let mut all: Vec<_> = [window, RolloutMove::Settle]
        .map(|to| {
            Proposal::MoveRollout(MoveRollout {
                group: "edge".into(),
                seen: 300,
                to,
            })
        })
        .into();
    all.extend([
        Proposal::ForgetFailures(ForgetFailures {
            hash: hash(1),
            agents: vec![uid(1), uid(2)],
        }),
        Proposal::LiftQuarantine {
            name: "edge".into(),
            revision: Some(9),
        },
        Proposal::RevertGroup {
            name: "edge".into(),
            revision: None,
        },
        Proposal::PutRolloutRules {
            rules: RolloutRules {
                quarantine_failures: 1_000,
                confirm_timeout_ms: u64::MAX,
            },
        },
    ]);
    all
}
