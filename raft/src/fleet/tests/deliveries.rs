//! Dispatches: expansion, marks, expiry, cancellation, and what leaves when there are too many.

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::{DELIVERIES_STEP, DISPATCHES_MAX, EXPAND_LOOKED_AT_MAX, EXPIRY_MIN_MS};
use crate::outcome::Rejection;
use crate::records::{Counts, DeliveryError, DispatchState, ReleaseReason};

fn sent(fence: Fence) -> MarkTo {
    MarkTo::Sent { fence, hash: None }
}

fn counts(log: &Log, id: DispatchId) -> Counts {
    log.fleet.dispatch(id).expect("known").counts
}

fn expand(log: &mut Log, id: DispatchId) -> Applied {
    let cursor = match log.fleet.dispatch(id).expect("known").state {
        DispatchState::Expanding { cursor } => cursor,
        other => panic!("{other:?}"),
    };
    log.apply(Proposal::ExpandDispatch {
        dispatch: id,
        cursor,
    })
}

#[test]
fn a_delivery_ends_once() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let id = log.dispatch(Target::Agent(uid(1)));
    assert!(!log.mark(id, 1, MarkTo::Succeeded), "it was not sent");
    assert!(log.mark(id, 1, sent(fence)));
    assert!(!log.mark(id, 1, sent(fence)), "it is sent once");
    assert!(log.mark(id, 1, MarkTo::Succeeded));
    let unknown = MarkTo::Failed(DeliveryError::OutcomeUnknown);
    for late in [sent(fence), MarkTo::Succeeded, unknown] {
        assert!(!log.mark(id, 1, late));
    }
    let cancelled = log.outcome(Proposal::CancelDispatch { dispatch: id });
    assert!(matches!(cancelled, Outcome::Deliveries { taken, .. } if taken.is_empty()));
    assert_eq!(log.state(id, 1), Some(DeliveryState::Succeeded));
    assert_eq!(counts(&log, id).succeeded, 1);
    let state = log.fleet.dispatch(id).expect("known").state;
    assert!(matches!(state, DispatchState::Done { .. }));
}

#[test]
fn a_stale_fence_sends_nothing() {
    let mut log = Log::with_node();
    let old = log.agent(1, "prod");
    let id = log.dispatch(Target::Agent(uid(1)));
    let current = log.claim(1);
    for fence in [old, Fence(0), Fence(current.0 + 1)] {
        assert!(!log.mark(id, 1, sent(fence)));
    }
    let other = NodeId(2);
    let epoch = log.register(other);
    let stolen = Proposal::MarkDeliveries(MarkDeliveries {
        node: other,
        epoch,
        marks: vec![Mark {
            dispatch: id,
            agent: uid(1),
            to: sent(current),
        }],
    });
    assert!(matches!(log.outcome(stolen), Outcome::Deliveries { taken, .. } if taken.is_empty()));
    assert!(log.mark(id, 1, sent(current)));
}

#[test]
fn a_stranger_ends_a_delivery_only_after_its_sender_died() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let id = log.dispatch(Target::Agent(uid(1)));
    log.mark(id, 1, sent(fence));
    let other = NodeId(2);
    let epoch = log.register(other);
    let judge = |log: &mut Log| {
        let marks = vec![Mark {
            dispatch: id,
            agent: uid(1),
            to: MarkTo::Failed(DeliveryError::OutcomeUnknown),
        }];
        let given = MarkDeliveries {
            node: other,
            epoch,
            marks,
        };
        match log.outcome(Proposal::MarkDeliveries(given)) {
            Outcome::Deliveries { taken, .. } => taken.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(judge(&mut log), 0);
    log.register(NODE);
    assert_eq!(judge(&mut log), 1);
    assert_eq!(judge(&mut log), 0);
}

#[test]
fn a_selector_expands_in_uid_order_behind_its_cursor() {
    let mut log = Log::with_node();
    let agents = DELIVERIES_STEP as u64 + 10;
    for n in 0..agents {
        log.agent(n, if n == 5 { "dev" } else { "prod" });
    }
    log.claim(agents);
    let id = log.dispatch(Target::Selector(selector("env!=dev")));
    assert_eq!(counts(&log, id), Counts::default());
    let step = expand(&mut log, id);
    assert!(
        matches!(&step.outcome, Outcome::Deliveries { taken, more: true } if taken.len() == DELIVERIES_STEP)
    );
    let again = log.outcome(Proposal::ExpandDispatch {
        dispatch: id,
        cursor: None,
    });
    assert_eq!(again, Outcome::Rejected(Rejection::CursorMoved));
    // one that comes behind the cursor is met, one that comes before it is not
    log.agent(agents + 5, "prod");
    assert!(matches!(
        expand(&mut log, id).outcome,
        Outcome::Deliveries { more: false, .. }
    ));
    let found = counts(&log, id);
    assert_eq!(
        (found.queued, found.failed),
        (u32::try_from(agents).expect("small"), 1),
        "one lacks the capability"
    );
    assert_eq!(log.state(id, 5), None);
    assert_eq!(
        log.state(id, agents),
        Some(DeliveryState::Failed(DeliveryError::LacksCapability))
    );
    assert_eq!(
        log.fleet.dispatch(id).expect("known").state,
        DispatchState::Active
    );
}

#[test]
fn an_expansion_that_finds_nobody_is_done_and_looks_in_steps() {
    let mut log = Log::with_node();
    let all = EXPAND_LOOKED_AT_MAX as u64 + 100;
    for first in (0..all).step_by(500) {
        let ops = (first..all.min(first + 500)).map(|n| claim(n, None));
        log.batch(ops.collect());
    }
    let id = log.dispatch(Target::Selector(selector("env=none")));
    assert!(matches!(
        expand(&mut log, id).outcome,
        Outcome::Deliveries { more: true, .. }
    ));
    assert!(matches!(
        expand(&mut log, id).outcome,
        Outcome::Deliveries { more: false, .. }
    ));
    let state = log.fleet.dispatch(id).expect("known").state;
    assert!(matches!(state, DispatchState::Done { .. }));
}

#[test]
fn a_deadline_ends_what_is_queued_and_refuses_to_send() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let due = |log: &mut Log| match log.outcome(dispatch(Target::Agent(uid(1)), 0)) {
        Outcome::Dispatch(dispatch) => dispatch.id,
        other => panic!("{other:?}"),
    };
    let (first, second) = (due(&mut log), due(&mut log));
    assert!(log.mark(second, 1, sent(fence)));
    log.time_ms += EXPIRY_MIN_MS - 1;
    let early = log.outcome(Proposal::ExpireDeliveries { limit: 100 });
    assert!(matches!(early, Outcome::Deliveries { taken, more: false } if taken.is_empty()));
    log.time_ms += 1;
    assert!(!log.mark(first, 1, sent(fence)), "its time has come");
    log.time_ms -= EXPIRY_MIN_MS;
    let expired = log.outcome(Proposal::ExpireDeliveries { limit: 100 });
    assert!(
        matches!(expired, Outcome::Deliveries { taken, more: false } if taken == [0]),
        "fleet time does not go back"
    );
    assert_eq!(log.state(first, 1), Some(DeliveryState::Expired));
    assert_eq!(log.state(second, 1), Some(DeliveryState::Sent));
}

#[test]
fn a_cancellation_goes_in_steps_and_leaves_what_was_sent() {
    let mut log = Log::with_node();
    let fence = log.agent(0, "prod");
    for n in 1..=600 {
        log.agent(n, "prod");
    }
    let id = log.dispatch(Target::Selector(selector("*")));
    expand(&mut log, id);
    expand(&mut log, id);
    assert!(log.mark(id, 0, sent(fence)));
    let mut steps = 0;
    loop {
        steps += 1;
        match log.outcome(Proposal::CancelDispatch { dispatch: id }) {
            Outcome::Deliveries { more: true, .. } => {}
            Outcome::Deliveries { more: false, .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(steps, 2);
    let found = counts(&log, id);
    assert_eq!((found.queued, found.sent, found.cancelled), (0, 1, 511));
    assert_eq!(
        log.fleet.dispatch(id).expect("known").state,
        DispatchState::Active
    );
    assert!(log.mark(id, 0, MarkTo::Succeeded));
}

#[test]
fn a_deleted_session_does_not_stop_a_failure_from_being_recorded() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let id = log.dispatch(Target::Agent(uid(1)));
    let failed = MarkTo::Failed(DeliveryError::MailboxFull);
    let release = SessionOp::Release {
        uid: uid(1),
        fence,
        reason: ReleaseReason::Lost,
        last_sequence: None,
    };
    log.batch(vec![release]);
    assert!(!log.mark(id, 1, failed.clone()), "nobody owns the agent");
    log.claim(1);
    assert!(log.mark(id, 1, failed));
}

#[test]
fn finished_dispatches_make_room_and_open_ones_refuse() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let first = log.dispatch(Target::Agent(uid(1)));
    log.mark(first, 1, sent(fence));
    log.mark(first, 1, MarkTo::Succeeded);
    for _ in 1..DISPATCHES_MAX {
        log.dispatch(Target::Agent(uid(1)));
    }
    let made = log.apply(dispatch(Target::Agent(uid(1)), 1));
    assert!(matches!(made.outcome, Outcome::Dispatch(_)));
    assert!(
        log.fleet.dispatch(first).is_none(),
        "the oldest finished one left"
    );
    assert!(
        made.effects
            .contains(&Effect::DispatchChanged { dispatch: first })
    );
    let refused = log.outcome(dispatch(Target::Agent(uid(1)), 1));
    assert!(matches!(
        refused,
        Outcome::Rejected(Rejection::LimitReached { .. })
    ));
    let rows = log.fleet.row_keys().filter_map(|key| {
        let row = log.fleet.row(&key)?;
        Some((key, row))
    });
    assert_eq!(Fleet::load(rows).expect("loads"), log.fleet);
}
