//! Who is live: renewals, deadlines, and the grace of a new leader.

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::{RENEWALS_MAX, ROWS_MAX};

const FIRST: Epoch = Epoch(1);

#[test]
fn a_node_that_does_not_renew_is_dead_and_what_it_owns_is_void() {
    let mut log = Log::with_two();
    log.agent(1, "prod");
    let owned = |log: &Log| {
        let agent = log.fleet.agent(uid(1)).expect("known");
        log.fleet.session_valid(agent)
    };
    log.at(TTL - 1).tick(&[(SECOND, FIRST)]);
    assert!(owned(&log) && log.is_live(NODE));
    log.at(TTL);
    let applied = log.apply(Proposal::Tick {
        ttl_ms: TTL,
        renewals: Vec::new(),
    });
    assert!(!owned(&log) && !log.is_live(NODE) && log.is_live(SECOND));
    assert_eq!(applied.effects, [Effect::NodeChanged { node: NODE }]);
    assert_eq!(
        applied.dirty.len(),
        3,
        "head, node and liveness, however much it owned"
    );
    let lost = log.fleet.liveness(NODE).expect("seen").lost_ms;
    assert_eq!(lost, Some(TTL));
    assert_eq!(log.tick(&[(NODE, FIRST)]), [NODE], "too late is fenced");
    let late = batch(NODE, FIRST, 3, vec![claim(2, None)]);
    assert_eq!(log.outcome(late), refused(Rejection::Fenced(FIRST)));
}

#[test]
fn a_renewal_beats_the_expiry_in_its_own_entry() {
    let mut log = Log::with_two();
    let both = [(NODE, FIRST), (SECOND, FIRST)];
    assert_eq!(log.at(3 * TTL).tick(&both), []);
    assert!(log.is_live(NODE) && log.is_live(SECOND));
}

#[test]
fn an_incarnation_that_is_over_renews_nothing() {
    let mut log = Log::with_two();
    assert_eq!(log.at(5_000).register(SECOND), Epoch(2));
    assert_eq!(
        log.at(9_000).tick(&[(SECOND, FIRST), (NODE, FIRST)]),
        [SECOND]
    );
    log.at(15_000).tick(&[(NODE, FIRST)]);
    assert!(
        !log.is_live(SECOND),
        "it registered at 5 s and never renewed since"
    );
    let unknown = NodeId(9);
    assert_eq!(log.tick(&[(unknown, FIRST), (unknown, FIRST)]), [unknown]);
}

#[test]
fn a_new_leader_gives_time() {
    let mut log = Log::with_two();
    log.at(TTL - 1_000);
    let start = |grace_ms| Proposal::LeaderStart { grace_ms };
    assert_eq!(log.outcome(start(2_000)), Outcome::Done);
    assert_eq!(log.outcome(start(0)), Outcome::Done);
    log.at(TTL + 999).tick(&[]);
    assert!(log.is_live(NODE), "nobody expires before the floor");
    log.at(TTL + 1_000).tick(&[]);
    assert!(!log.is_live(NODE));
}

#[test]
fn a_shorter_ttl_takes_nothing_that_was_granted() {
    let mut log = Log::with_two();
    let ticked = log.outcome(Proposal::Tick {
        ttl_ms: 1_000,
        renewals: vec![(NODE, FIRST)],
    });
    assert_eq!(ticked, Outcome::Ticked { fenced: Vec::new() });
    let known = log.fleet.liveness(NODE).expect("seen");
    assert_eq!((known.ttl_ms, known.expires_ms), (1_000, TTL));
}

#[test]
fn a_draining_node_keeps_its_sessions_and_has_to_renew() {
    let mut log = Log::with_two();
    log.agent(1, "prod");
    let drain = |epoch| Proposal::DrainNode { node: NODE, epoch };
    assert_eq!(
        log.outcome(drain(Epoch(2))),
        refused(Rejection::Fenced(Epoch(2)))
    );
    assert_eq!(log.outcome(drain(FIRST)), Outcome::Done);
    assert!(log.fleet.is_draining(NODE) && log.is_live(NODE));
    log.at(TTL - 1).tick(&[(NODE, FIRST), (SECOND, FIRST)]);
    log.at(TTL + 1).tick(&[]);
    assert!(log.is_live(NODE) && log.fleet.is_draining(NODE));
    let leave = Proposal::LeaveNode {
        node: NODE,
        epoch: FIRST,
    };
    assert_eq!(log.outcome(leave.clone()), Outcome::Done);
    assert!(!log.is_live(NODE), "at once");
    assert_eq!(log.outcome(leave), refused(Rejection::Fenced(FIRST)));
    log.register(NODE);
    assert!(!log.fleet.is_draining(NODE) && log.is_live(NODE));
    assert_eq!(log.fleet.liveness(NODE).expect("seen").lost_ms, None);
}

#[test]
fn a_fleet_of_one_drains_without_a_deadline() {
    let mut log = Log::with_node();
    let drain = Proposal::DrainNode {
        node: NODE,
        epoch: FIRST,
    };
    assert_eq!(log.outcome(drain), Outcome::Done);
    log.at(10 * TTL);
    log.register(SECOND);
    log.tick(&[]);
    assert!(log.is_live(NODE), "its first deadline is given, not over");
    assert!(log.fleet.is_draining(NODE));
}

/// More nodes than one entry has rows for die in several.
#[test]
fn the_death_of_many_takes_several_entries() {
    let mut log = Log::default();
    let nodes: Vec<NodeId> = (1..=600).map(NodeId).collect();
    for node in &nodes {
        log.register(*node);
    }
    let mut ticks = |time_ms, many: usize| {
        for _ in 0..many {
            log.at(time_ms);
            let applied = log.apply(Proposal::Tick {
                ttl_ms: TTL,
                renewals: Vec::new(),
            });
            assert!(applied.dirty.len() <= ROWS_MAX);
        }
        let live = log.fleet.nodes().filter(|node| node.live);
        live.count()
    };
    assert_eq!(ticks(0, 2), 600);
    assert!(ticks(TTL, 1) > 300);
    assert_eq!(ticks(TTL, 2), 0);
    let renewals = vec![(NODE, FIRST); RENEWALS_MAX + 1];
    let refusal = log.outcome(Proposal::Tick {
        ttl_ms: TTL,
        renewals,
    });
    assert!(matches!(refusal, Outcome::Rejected(Rejection::TooLarge(_))));
}
