//! Epochs, fences, batches and reports: who may speak for an agent.

use super::*;
use crate::effect::Effect;
use crate::outcome::Rejection;
use crate::records::{ConfigReport, ConfigStatus, Health, ReleaseReason};

fn release(n: u64, fence: Fence) -> SessionOp {
    SessionOp::Release {
        uid: uid(n),
        fence,
        reason: ReleaseReason::Goodbye,
        last_sequence: Some(41),
    }
}

#[test]
fn an_epoch_grows_with_each_registration_and_fences_the_one_before() {
    let mut log = Log::with_node();
    let first = log.epoch();
    log.claim(1);
    assert_eq!(log.register(NODE), Epoch(first.0 + 1));
    let late = log.outcome(batch(NODE, first, 2, vec![claim(2, None)]));
    assert_eq!(late, Outcome::Rejected(Rejection::Fenced(first)));
    let marks = MarkDeliveries {
        node: NODE,
        epoch: first,
        marks: Vec::new(),
    };
    let late = log.outcome(Proposal::MarkDeliveries(marks));
    assert_eq!(late, Outcome::Rejected(Rejection::Fenced(first)));
    let orphan = log.fleet.agent(uid(1)).expect("known");
    assert!(
        !log.fleet.session_valid(orphan),
        "its owner's epoch is over"
    );
}

#[test]
fn batches_are_taken_in_order_and_once() {
    let mut log = Log::with_node();
    let epoch = log.epoch();
    for (number, last) in [(0, 0), (2, 0), (u64::MAX, 0)] {
        let early = log.outcome(batch(NODE, epoch, number, vec![claim(1, None)]));
        assert_eq!(early, Outcome::Rejected(Rejection::Gap { last }));
    }
    log.claim(1);
    let again = log.outcome(batch(NODE, epoch, 1, vec![claim(2, None)]));
    assert_eq!(again, Outcome::Rejected(Rejection::Gap { last: 1 }));
    assert!(log.fleet.agent(uid(2)).is_none());
}

#[test]
fn a_live_session_is_taken_only_by_who_saw_its_fence() {
    let mut log = Log::with_node();
    let fence = log.claim(1);
    let other = NodeId(2);
    let epoch = log.register(other);
    let stale = Some(Fence(fence.0 - 1));
    for expect in [None, stale, Some(Fence(fence.0 + 1))] {
        let number = log.fleet.node(other).expect("known").batch + 1;
        let outcome = log.outcome(batch(other, epoch, number, vec![claim(1, expect)]));
        let Outcome::Batch(outcomes) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(matches!(outcomes[..], [OpOutcome::Conflict(held)] if held.fence == fence));
    }
    let taken = log.apply(batch(other, epoch, 4, vec![claim(1, Some(fence))]));
    let moved = Effect::SessionMoved {
        uid: uid(1),
        from: NODE,
        fence,
    };
    assert!(taken.effects.contains(&moved));
    // whoever lost it can neither report nor release
    let update = AgentUpdate {
        capabilities: Some(4),
        ..AgentUpdate::default()
    };
    let outcomes = log.batch(vec![report(1, update), release(1, fence)]);
    assert_eq!(outcomes, [OpOutcome::NotOwner, OpOutcome::NotOwner]);
    let agent = log.fleet.agent(uid(1)).expect("known");
    assert_eq!(agent.session.map(|session| session.node), Some(other));
    assert_eq!(agent.capabilities, 0);
}

#[test]
fn a_release_needs_the_current_fence_and_leaves_the_sequence_to_the_next() {
    let mut log = Log::with_node();
    let old = log.claim(1);
    let new = log.claim(1);
    assert!(new > old);
    assert_eq!(log.batch(vec![release(1, old)]), [OpOutcome::NotOwner]);
    assert_eq!(log.batch(vec![release(1, new)]), [OpOutcome::Done]);
    let outcomes = log.batch(vec![claim(1, None)]);
    assert!(
        matches!(outcomes[..], [OpOutcome::Granted { fence, last_sequence: Some(41), created: false }] if fence > new)
    );
}

#[test]
fn after_a_crash_no_sequence_is_adopted() {
    let mut log = Log::with_node();
    let fence = log.claim(1);
    log.batch(vec![release(1, fence)]);
    log.claim(1);
    log.register(NODE);
    let outcomes = log.batch(vec![claim(1, None)]);
    assert!(matches!(
        outcomes[..],
        [OpOutcome::Granted {
            last_sequence: None,
            ..
        }]
    ));
}

#[test]
fn new_agents_beyond_the_limit_are_refused_and_known_ones_are_not() {
    let mut log = Log::with_node();
    log.claim(1);
    let full = Proposal::NodeBatch(NodeBatch {
        node: NODE,
        epoch: log.epoch(),
        number: 2,
        agents_max: 1,
        ops: vec![claim(1, None), claim(2, None)],
    });
    let Outcome::Batch(outcomes) = log.outcome(full) else {
        panic!("refused");
    };
    assert!(matches!(
        outcomes[..],
        [OpOutcome::Granted { .. }, OpOutcome::AgentLimit]
    ));
}

#[test]
fn reports_replace_what_they_bring_and_nothing_else() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let ill = |error: &str| AgentUpdate {
        health: Some(Health {
            healthy: false,
            status: "".into(),
            last_error: error.into(),
            since_ms: 0,
            body: None,
        }),
        ..AgentUpdate::default()
    };
    log.time_ms = 5_000;
    log.batch(vec![report(1, ill("a"))]);
    log.time_ms = 9_000;
    log.batch(vec![report(1, ill("b"))]);
    let agent = log.fleet.agent(uid(1)).expect("known").clone();
    let health = agent.health.clone().expect("reported");
    assert_eq!((&*health.last_error, health.since_ms), ("b", 1_005_000));
    assert_eq!(
        (agent.capabilities, agent.description.labels.len()),
        (u64::MAX, 1)
    );
    // the same again changes nothing and tells nobody
    let number = log.batches + 1;
    let again = log.apply(batch(NODE, log.epoch(), number, vec![report(1, ill("b"))]));
    assert_eq!(again.effects, []);
    assert_eq!(log.fleet.agent(uid(1)), Some(&agent));
}

#[test]
fn a_failure_is_remembered_over_a_rollback_and_forgotten_when_applied() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let mut say = |n: u8, status, error: &str| {
        let update = AgentUpdate {
            config: Some(ConfigReport {
                hash: hash(n).0.to_vec(),
                status,
                error: error.into(),
            }),
            ..AgentUpdate::default()
        };
        log.batch(vec![report(1, update)]);
        log.fleet.agent(uid(1)).expect("known").config.clone()
    };
    say(1, ConfigStatus::Failed, "broken");
    let config = say(2, ConfigStatus::Applied, "");
    assert_eq!(
        (config.failed_hash, &*config.error),
        (Some(hash(1)), "broken")
    );
    assert_eq!(config.status, ConfigStatus::Applied);
    let config = say(1, ConfigStatus::Applied, "");
    assert_eq!((config.failed_hash, &*config.error), (None, ""));
}

#[test]
fn a_record_that_would_be_too_large_is_refused() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let before = log.fleet.agent(uid(1)).cloned();
    let large = AgentUpdate {
        components_hash: Some(vec![1; 65]),
        ..AgentUpdate::default()
    };
    let label = |n: u32| Label {
        key: format!("key-{n}").into(),
        value: "v".repeat(100).into(),
        scalar: true,
    };
    let wide = AgentUpdate {
        description: Some(Arc::new(Description {
            labels: (0..40).map(label).collect(),
            ..Description::default()
        })),
        ..AgentUpdate::default()
    };
    let outcomes = log.batch(vec![report(1, large), report(1, wide)]);
    assert_eq!(outcomes, [OpOutcome::TooLarge, OpOutcome::TooLarge]);
    assert_eq!(log.fleet.agent(uid(1)), before.as_ref());
}

#[test]
fn a_rename_takes_the_record_and_what_is_queued() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let queued = log.dispatch(Target::Agent(uid(1)));
    let sent = log.dispatch(Target::Agent(uid(1)));
    assert!(log.mark(sent, 1, MarkTo::Sent { fence, hash: None }));
    let rename = |from, to| SessionOp::Rename {
        from: uid(from),
        to: uid(to),
    };
    log.agent(3, "prod");
    assert_eq!(
        log.batch(vec![rename(1, 3), rename(9, 2), rename(1, 2), rename(1, 2)]),
        [
            OpOutcome::NotOwner,
            OpOutcome::NotOwner,
            OpOutcome::Done,
            OpOutcome::NotOwner
        ]
    );
    assert!(log.fleet.agent(uid(1)).is_none());
    let moved = log.fleet.agent(uid(2)).expect("renamed");
    assert_eq!(moved.session.map(|session| session.fence), Some(fence));
    assert_eq!(log.state(queued, 2), Some(DeliveryState::Queued));
    assert_eq!(log.state(queued, 1), None);
    assert_eq!(log.state(sent, 1), Some(DeliveryState::Sent));
    assert!(log.mark(sent, 1, MarkTo::Succeeded));
}
