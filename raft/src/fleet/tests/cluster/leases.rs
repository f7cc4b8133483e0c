//! Named leases and what is done under them.

use super::*;
use crate::fleet::limits::LEASES_MAX;
use crate::proposal::{MoveRollout, RolloutMove};

fn busy(node: NodeId, fence: Fence) -> Outcome {
    refused(Rejection::LeaseBusy { node, fence })
}

#[test]
fn one_node_holds_a_lease_and_asks_again_without_harm() {
    let mut log = Log::with_two();
    let fence = log.acquired("rollout", NODE);
    assert_eq!(log.acquired("rollout", NODE), fence);
    assert_eq!(log.acquire("rollout", SECOND), busy(NODE, fence));
    let other = log.acquired("retention", SECOND);
    assert!(other > fence && log.fleet.leases().count() == 2);
    let release = |fence| Proposal::ReleaseLease {
        name: "rollout".into(),
        fence,
    };
    assert_eq!(log.outcome(release(other)), Outcome::Done);
    assert_eq!(
        log.acquire("rollout", SECOND),
        busy(NODE, fence),
        "a stale release is nothing"
    );
    assert_eq!(log.outcome(release(fence)), Outcome::Done);
    assert!(log.acquired("rollout", SECOND) > other);
}

#[test]
fn after_an_unclean_end_others_wait_and_the_same_node_does_not() {
    let mut log = Log::with_two();
    let (first, other) = (
        log.acquired("rollout", NODE),
        log.acquired("retention", NODE),
    );
    log.at(TTL).tick(&[(SECOND, Epoch(1))]);
    assert!(!log.is_live(NODE));
    assert_eq!(log.acquire("rollout", SECOND), busy(NODE, first));
    log.at(TTL + 4_999);
    assert_eq!(log.acquire("rollout", SECOND), busy(NODE, first));
    log.register(NODE);
    assert_eq!(log.acquire("retention", SECOND), busy(NODE, other));
    assert!(log.acquired("retention", NODE) > other);
    log.at(TTL + 5_000);
    assert!(log.acquired("rollout", SECOND) > first);
}

#[test]
fn a_restart_ends_what_the_incarnation_before_held() {
    let mut log = Log::with_two();
    let fence = log.acquired("rollout", NODE);
    log.at(1_000).register(NODE);
    assert!(!log.fleet.holds("rollout", fence));
    assert_eq!(log.acquire("rollout", SECOND), busy(NODE, fence));
    log.at(6_000);
    assert!(log.acquired("rollout", SECOND) > fence);
}

#[test]
fn who_ends_in_order_leaves_its_leases_free() {
    let mut log = Log::with_two();
    let fence = log.acquired("rollout", NODE);
    log.outcome(Proposal::DrainNode {
        node: NODE,
        epoch: Epoch(1),
    });
    assert!(!log.fleet.holds("rollout", fence));
    let draining = refused(Rejection::NodeDraining(NODE));
    assert_eq!(log.acquire("rollout", NODE), draining);
    let fence = log.acquired("rollout", SECOND);
    log.outcome(Proposal::LeaveNode {
        node: SECOND,
        epoch: Epoch(1),
    });
    assert!(!log.fleet.holds("rollout", fence));
    let fenced = refused(Rejection::Fenced(Epoch(1)));
    assert_eq!(log.acquire("rollout", SECOND), fenced);
    log.register(NODE);
    assert!(log.acquired("rollout", NODE) > fence);
}

#[test]
fn what_is_proposed_under_a_lease_needs_its_fence_and_a_live_holder() {
    let mut log = Log::with_two();
    let fence = log.acquired("rollout", NODE);
    let note = Proposal::NoteWallTime { begins: false };
    let under = |log: &mut Log, proposal: &Proposal, fence| {
        log.outcome(proposal.clone().under_lease("rollout".into(), fence))
    };
    let stale = refused(Rejection::StaleLease("rollout".into()));
    assert_eq!(under(&mut log, &note, fence), Outcome::Done);
    assert_eq!(under(&mut log, &note, Fence(fence.0 + 1)), stale);
    let unknown = note.clone().under_lease("expand".into(), fence);
    assert_eq!(
        log.outcome(unknown),
        refused(Rejection::StaleLease("expand".into()))
    );
    let step = Proposal::MoveRollout(MoveRollout {
        group: "edge".into(),
        seen: 1,
        to: RolloutMove::Settle,
    });
    let inner = under(&mut log, &step, fence);
    assert_eq!(
        inner,
        log.outcome(step),
        "a refusal of what is inside is the answer"
    );
    log.at(TTL).tick(&[(SECOND, Epoch(1))]);
    assert_eq!(under(&mut log, &note, fence), stale);
    log.at(TTL + 5_000);
    let next = log.acquired("rollout", SECOND);
    assert_eq!(under(&mut log, &note, fence), stale);
    assert_eq!(under(&mut log, &note, next), Outcome::Done);
}

#[test]
fn nothing_that_operators_ask_and_nothing_wrapped_is_done_under_a_lease() {
    let mut log = Log::with_two();
    let fence = log.acquired("rollout", NODE);
    let note = Proposal::NoteWallTime { begins: false };
    let cancel = Proposal::CancelDispatch {
        dispatch: DispatchId(1),
    };
    for inner in [
        note.clone().under_lease("rollout".into(), fence),
        note.clone().asked("".into()),
        cancel,
    ] {
        let outcome = log.outcome(inner.under_lease("rollout".into(), fence));
        assert_eq!(outcome, refused(Rejection::NotUnderLease));
    }
    let asked = note.under_lease("rollout".into(), fence).asked("".into());
    assert_eq!(log.outcome(asked), refused(Rejection::NotForOperators));
}

#[test]
fn leases_are_bounded() {
    let mut log = Log::with_node();
    for n in 0..LEASES_MAX {
        log.acquired(&n.to_string(), NODE);
    }
    let full = log.acquire("more", NODE);
    assert!(matches!(
        full,
        Outcome::Rejected(Rejection::LimitReached { .. })
    ));
    log.acquired("7", NODE);
    let long = log.acquire(&"x".repeat(129), NODE);
    assert!(matches!(long, Outcome::Rejected(Rejection::TooLarge(_))));
}
