//! How a change goes.

use std::sync::Arc;

use ampora_raft::records::*;
use ampora_raft::rows::Row;

use super::{hash, uid};

pub(super) fn rollouts() -> [Row; 3] {
    let reference = VersionRef {
        configuration: "conf".into(),
        version: 3,
        hash: hash(2),
    };
    let trial = Trial {
        base: 1 << 40,
        size: 10,
        opened_at_ms: 300,
        opened_ms: 400,
        settled_at_ms: Some(70_000),
        failed: vec![uid(1), uid(2)],
        ..Trial::new(hash(2))
    };
    let quarantined = Quarantined {
        version: reference.clone(),
        reason: "no".into(),
        failures: 3,
        since_ms: 5,
    };
    let rollout = Rollout {
        group: "edge".into(),
        revision: 12,
        previous: Some(reference),
        trial: Some(trial),
        quarantined: vec![quarantined],
    };
    let begun = Rollout {
        previous: None,
        trial: None,
        quarantined: Vec::new(),
        ..rollout.clone()
    };
    [
        Row::Rollout(Arc::new(rollout)),
        Row::Rollout(Arc::new(begun)),
        Row::RolloutRules(RolloutRules {
            quarantine_failures: 3,
            confirm_timeout_ms: 60_000,
        }),
    ]
}
