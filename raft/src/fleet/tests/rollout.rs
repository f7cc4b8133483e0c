//! Changes of groups as the log sees them: what a step, a failure, a lift and a way back do.

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::QUARANTINED_MAX;
use crate::outcome::Rejection;
use crate::proposal::{ForgetFailures, MoveRollout, RolloutMove};
use crate::records::{ConfigReport, ConfigStatus, Group, Health, Pace, RolloutRules};

/// Four agents that run version 1 of `edge` in the group `g`, which starts slowly; version `n` has hash `n`.
fn settled() -> Log {
    let mut log = Log::with_node();
    for n in 1..=4 {
        log.agent(n, "prod");
        says(&mut log, n, 1, ConfigStatus::Applied);
        feels(&mut log, n, true);
    }
    for n in 1..=3 {
        log.version("edge", n);
    }
    put(&mut log, 1, Pace::AllAtOnce);
    log.time_ms = 1_000_000;
    log
}

fn put(log: &mut Log, version: u32, pace: Pace) {
    let outcome = log.outcome(Proposal::PutGroup(PutGroup {
        name: "g".into(),
        revision: None,
        selector: Some(selector("*")),
        priority: None,
        assign: Assign::Version {
            configuration: "edge".into(),
            version: Some(version),
        },
        pace: Some(pace),
    }));
    assert!(matches!(outcome, Outcome::Group { .. }), "{outcome:?}");
}

fn says(log: &mut Log, n: u64, version: u8, status: ConfigStatus) {
    let update = AgentUpdate {
        config: Some(ConfigReport {
            hash: hash(version).0.to_vec(),
            status,
            error: "broken pipe".into(),
        }),
        ..AgentUpdate::default()
    };
    assert_eq!(log.batch(vec![report(n, update)]), [OpOutcome::Done]);
}

fn feels(log: &mut Log, n: u64, healthy: bool) {
    let health = Health {
        healthy,
        status: "".into(),
        last_error: "exited".into(),
        since_ms: 0,
        body: None,
    };
    let update = AgentUpdate {
        health: Some(health),
        ..AgentUpdate::default()
    };
    assert_eq!(log.batch(vec![report(n, update)]), [OpOutcome::Done]);
}

fn group(log: &Log) -> &Group {
    log.fleet.group("g").expect("made")
}

/// The versions that the four agents want.
fn wanted(log: &Log) -> [Option<u32>; 4] {
    [1, 2, 3, 4].map(|n| {
        let record = log.fleet.agent(uid(n)).expect("known");
        let desired = log.fleet.desired(record);
        desired.version.map(|version| version.version)
    })
}

fn step(log: &Log, to: RolloutMove) -> Proposal {
    Proposal::MoveRollout(MoveRollout {
        group: "g".into(),
        seen: log.fleet.rollout("g").expect("there").revision,
        to,
    })
}

fn all() -> RolloutMove {
    RolloutMove::Window {
        threshold: u64::MAX,
        size: 4,
    }
}

fn moved(log: &mut Log, to: RolloutMove) {
    let step = step(log, to);
    assert_eq!(log.outcome(step), Outcome::Done);
}

fn held(log: &Log) -> Vec<u32> {
    let rollout = log.fleet.rollout("g").expect("there");
    let held = rollout.quarantined.iter();
    held.map(|held| held.version.version).collect()
}

fn lift() -> Proposal {
    Proposal::LiftQuarantine {
        name: "g".into(),
        revision: None,
    }
}

fn revert() -> Proposal {
    Proposal::RevertGroup {
        name: "g".into(),
        revision: None,
    }
}

#[test]
fn a_slow_change_reaches_nobody_by_itself_and_steps_are_compared() {
    let mut log = settled();
    put(&mut log, 2, Pace::SlowStart);
    assert_eq!(wanted(&log), [Some(1); 4]);
    let stale = step(&log, all());
    let revision = group(&log).revision;
    moved(&mut log, all());
    assert_eq!(wanted(&log), [Some(2); 4]);
    let outcome = log.outcome(stale);
    assert_eq!(
        outcome,
        Outcome::Rejected(Rejection::RolloutMoved("g".into()))
    );
    let back = RolloutMove::Window {
        threshold: 5,
        size: 1,
    };
    let back = step(&log, back);
    assert!(
        matches!(log.outcome(back), Outcome::Rejected(_)),
        "it only grows"
    );
    moved(&mut log, RolloutMove::Settle);
    let assignment = group(&log).assignment.clone().expect("assigned");
    assert_eq!(assignment.settled.map(|settled| settled.version), Some(2));
    assert!(assignment.next.is_none());
    assert_eq!(group(&log).revision, revision, "no operator changed it");
    let over = step(&log, RolloutMove::Settle);
    assert!(matches!(log.outcome(over), Outcome::Rejected(_)));
}

#[test]
fn the_first_assignment_offers_nothing_outside_the_window() {
    let mut log = Log::with_node();
    for n in 1..=4 {
        log.agent(n, "prod");
    }
    log.version("edge", 1);
    put(&mut log, 1, Pace::SlowStart);
    assert_eq!(wanted(&log), [None; 4]);
    for n in 1..=3 {
        says(&mut log, n, 1, ConfigStatus::Failed);
    }
    assert_eq!(
        (held(&log), wanted(&log)),
        (vec![1], [None; 4]),
        "nothing to go back to"
    );
    assert_eq!(
        log.outcome(revert()),
        Outcome::Group {
            group: log.fleet.group("g").expect("made").clone(),
            created: false
        }
    );
    assert!(group(&log).assignment.is_none());
}

#[test]
fn failures_quarantine_in_their_own_entry() {
    let mut log = settled();
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    for n in [1, 1, 2] {
        for word in [
            ConfigStatus::Failed,
            ConfigStatus::Applying,
            ConfigStatus::Failed,
        ] {
            says(&mut log, n, 2, word);
        }
        assert_eq!(wanted(&log), [Some(2); 4], "{n}: each agent counts once");
    }
    log.batches += 1;
    let update = AgentUpdate {
        config: Some(ConfigReport {
            hash: hash(2).0.to_vec(),
            status: ConfigStatus::Failed,
            error: "no such exporter".into(),
        }),
        ..AgentUpdate::default()
    };
    let third = log.apply(batch(
        NODE,
        log.epoch(),
        log.batches,
        vec![report(3, update)],
    ));
    assert_eq!(wanted(&log), [Some(1); 4]);
    assert!(
        third
            .effects
            .contains(&Effect::GroupChanged { name: "g".into() })
    );
    let rollout = log.fleet.rollout("g").expect("there");
    let quarantined = &rollout.quarantined[0];
    assert_eq!(quarantined.failures, 3);
    assert!(quarantined.reason.contains("no such exporter"));
    assert!(log.fleet.is_held(group(&log)));
    assert!(rollout.trial.is_none() && log.fleet.under_way().next().is_none());
    put(&mut log, 2, Pace::AllAtOnce);
    assert_eq!(wanted(&log), [Some(1); 4], "whatever the pace");
    put(&mut log, 1, Pace::AllAtOnce);
    put(&mut log, 2, Pace::AllAtOnce);
    assert_eq!((held(&log), wanted(&log)), (vec![2], [Some(1); 4]));
}

#[test]
fn turning_unhealthy_counts_with_the_version_in_use_alone() {
    let mut log = settled();
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    for n in 1..=4 {
        feels(&mut log, n, false);
        feels(&mut log, n, true);
        says(&mut log, n, 2, ConfigStatus::Applying);
        feels(&mut log, n, false);
        feels(&mut log, n, true);
    }
    assert_eq!(held(&log), [0_u32; 0], "with the old one, or on the way");
    for n in 1..=3 {
        assert_eq!(held(&log), [0_u32; 0]);
        says(&mut log, n, 2, ConfigStatus::Applied);
        feels(&mut log, n, false);
    }
    assert_eq!((held(&log), wanted(&log)), (vec![2], [Some(1); 4]));
}

#[test]
fn all_at_once_is_on_trial_for_a_while() {
    let mut log = settled();
    put(&mut log, 2, Pace::AllAtOnce);
    assert_eq!(wanted(&log), [Some(2); 4]);
    let mut late = log.clone();
    for n in 1..=3 {
        says(&mut log, n, 2, ConfigStatus::Failed);
    }
    assert_eq!((held(&log), wanted(&log)), (vec![2], [Some(1); 4]));
    late.time_ms += RolloutRules::default().confirm_timeout_ms + 1;
    for n in 1..=3 {
        says(&mut late, n, 2, ConfigStatus::Failed);
    }
    assert_eq!(
        wanted(&late),
        [Some(2); 4],
        "a settled version is not judged for ever"
    );
}

#[test]
fn the_rules_are_those_that_were_put() {
    let mut log = settled();
    let rules = RolloutRules {
        quarantine_failures: 1,
        confirm_timeout_ms: 5,
    };
    log.outcome(Proposal::PutRolloutRules { rules });
    put(&mut log, 2, Pace::AllAtOnce);
    says(&mut log, 1, 2, ConfigStatus::Failed);
    assert_eq!(held(&log), [2]);
}

#[test]
fn lifted_it_begins_with_the_first_window_again() {
    let mut log = settled();
    let nothing = Outcome::Rejected(Rejection::NothingQuarantined("g".into()));
    assert_eq!(log.outcome(lift()), nothing);
    put(&mut log, 2, Pace::AllAtOnce);
    for n in 1..=3 {
        says(&mut log, n, 2, ConfigStatus::Failed);
    }
    let before = group(&log).revision;
    assert!(matches!(log.outcome(lift()), Outcome::Group { .. }));
    assert!(group(&log).revision > before, "an operator changed it");
    assert_eq!(wanted(&log), [Some(1); 4], "nobody is in the window yet");
    let (_, _, trial) = log.fleet.under_way().next().expect("under way");
    assert_eq!((trial.size, trial.failed.len()), (0, 0));
    let forgotten = log.apply(Proposal::ForgetFailures(ForgetFailures {
        hash: hash(2),
        agents: vec![uid(1), uid(4), uid(77)],
    }));
    let told: Vec<_> = forgotten.effects.iter().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        log.fleet.agent(uid(1)).expect("known").config.failed_hash,
        None
    );
    moved(&mut log, all());
    assert_eq!(wanted(&log), [Some(2); 4]);
    for n in 1..=3 {
        assert_eq!(wanted(&log), [Some(2); 4]);
        says(&mut log, n, 2, ConfigStatus::Applying);
        says(&mut log, n, 2, ConfigStatus::Failed);
    }
    assert_eq!((held(&log), wanted(&log)), (vec![2], [Some(1); 4]));
}

#[test]
fn a_newer_change_replaces_the_one_under_way() {
    let mut log = settled();
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    put(&mut log, 3, Pace::SlowStart);
    assert_eq!(wanted(&log), [Some(1); 4]);
    for n in 1..=4 {
        says(&mut log, n, 2, ConfigStatus::Failed);
    }
    assert_eq!(held(&log), [0_u32; 0], "nobody judges what was given up");
    put(&mut log, 1, Pace::SlowStart);
    let assignment = group(&log).assignment.clone().expect("assigned");
    assert!(assignment.next.is_none() && log.fleet.under_way().next().is_none());
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    put(&mut log, 2, Pace::SlowStart);
    assert_eq!(wanted(&log), [Some(2); 4], "the same again changes nothing");
    put(&mut log, 2, Pace::AllAtOnce);
    let assignment = group(&log).assignment.clone().expect("assigned");
    assert!(assignment.next.is_none(), "the pace is given up");
}

#[test]
fn other_members_begin_again() {
    let mut log = settled();
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    log.group("g", 0, "env=prod", Assign::Keep);
    assert_eq!(wanted(&log), [Some(1); 4]);
    assert_eq!(log.fleet.under_way().next().expect("under way").2.size, 0);
}

#[test]
fn the_way_back_is_one_step() {
    let mut log = settled();
    let nothing = Outcome::Rejected(Rejection::NothingToRevert("g".into()));
    assert_eq!(log.outcome(revert()), nothing);
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    log.outcome(revert());
    assert_eq!(wanted(&log), [Some(1); 4], "under way");
    assert_eq!(log.outcome(revert()), nothing);
    put(&mut log, 2, Pace::SlowStart);
    moved(&mut log, all());
    moved(&mut log, RolloutMove::Settle);
    log.outcome(revert());
    assert_eq!(wanted(&log), [Some(1); 4], "settled");
    assert_eq!(
        log.outcome(revert()),
        nothing,
        "never forth again by accident"
    );
    log.group("g", 0, "*", Assign::Nothing);
    assert_eq!(wanted(&log), [None; 4]);
    log.outcome(revert());
    assert_eq!(wanted(&log), [Some(1); 4], "unassigned");
}

#[test]
fn quarantine_and_failures_are_bounded() {
    let mut log = settled();
    for n in 4..=40 {
        log.version("edge", n);
        put(&mut log, u32::from(n), Pace::AllAtOnce);
        for agent in 1..=3 {
            says(&mut log, agent, n, ConfigStatus::Failed);
        }
        assert_eq!(wanted(&log), [Some(1); 4]);
    }
    assert_eq!(held(&log).len(), QUARANTINED_MAX);
    log.outcome(Proposal::DeleteGroup {
        name: "g".into(),
        revision: None,
    });
    assert!(log.fleet.rollout("g").is_none());
}
