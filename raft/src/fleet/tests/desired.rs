//! What an agent should run: priority, name, shadows, and the threshold between two versions.

use proptest::prelude::*;

use super::*;
use crate::records::{Assignment, VersionRef};

fn wanted(log: &Log, n: u64) -> (Option<String>, Option<(String, u32)>) {
    let desired = log.fleet.desired(log.fleet.agent(uid(n)).expect("known"));
    (
        desired.group.map(|group| group.name.to_string()),
        desired
            .version
            .map(|version| (version.configuration.to_string(), version.version)),
    )
}

fn newest(name: &str) -> Assign {
    Assign::Version {
        configuration: name.into(),
        version: None,
    }
}

#[test]
fn the_highest_priority_wins_then_the_smallest_name() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    log.version("edge", 1);
    log.version("edge", 2);
    log.version("core", 3);
    assert_eq!(wanted(&log, 1), (None, None));
    log.group("m", 0, "*", newest("edge"));
    assert_eq!(
        wanted(&log, 1),
        (Some("m".into()), Some(("edge".into(), 2)))
    );
    log.group("z", 1, "env=prod", newest("core"));
    assert_eq!(wanted(&log, 1).0, Some("z".into()));
    log.group("a", 1, "env=prod", Assign::Nothing);
    assert_eq!(wanted(&log, 1), (Some("a".into()), None), "it shadows");
    log.group("a", -1, "env=prod", Assign::Keep);
    assert_eq!(
        wanted(&log, 1),
        (Some("z".into()), Some(("core".into(), 1)))
    );
    log.group("z", 1, "env=dev", Assign::Keep);
    assert_eq!(wanted(&log, 1).0, Some("m".into()));
    let gone = log.outcome(Proposal::DeleteGroup {
        name: "m".into(),
        revision: None,
    });
    assert_eq!(gone, Outcome::Done);
    assert_eq!(wanted(&log, 1), (Some("a".into()), None));
}

#[test]
fn a_group_keeps_what_is_not_given() {
    let mut log = Log::with_node();
    log.version("edge", 1);
    log.group("g", 7, "env=prod", newest("edge"));
    let kept = log.fleet.group("g").expect("made").clone();
    let same = PutGroup {
        name: "g".into(),
        revision: Some(kept.revision),
        selector: None,
        priority: None,
        assign: Assign::Keep,
        pace: None,
    };
    let put = log.apply(Proposal::PutGroup(same.clone()));
    assert!(put.effects.is_empty() && log.fleet.group("g") == Some(&kept));
    let stale = PutGroup {
        revision: Some(kept.revision - 1),
        priority: Some(1),
        ..same
    };
    let refused = log.outcome(Proposal::PutGroup(stale));
    assert!(matches!(
        refused,
        Outcome::Rejected(crate::outcome::Rejection::RevisionMismatch { .. })
    ));
}

#[test]
fn the_threshold_decides_between_settled_and_next() {
    let version = |n: u8| VersionRef {
        configuration: "c".into(),
        version: u32::from(n),
        hash: hash(n),
    };
    let mut log = Log::with_node();
    let mut assignment = Assignment {
        settled: Some(version(1)),
        next: Some(version(2)),
        threshold: 0,
    };
    log.group("g", 0, "*", Assign::Nothing);
    let agents = 400;
    for n in 0..agents {
        log.claim(n);
    }
    let reached = |log: &mut Log, assignment: &Assignment| {
        let mut group = (**log.fleet.group("g").expect("made")).clone();
        group.assignment = Some(assignment.clone());
        log.fleet.groups.insert_cow("g".into(), Arc::new(group));
        (0..agents)
            .filter(|n| wanted(log, *n).1 == Some(("c".into(), 2)))
            .collect::<Vec<_>>()
    };
    assert_eq!(reached(&mut log, &assignment), Vec::<u64>::new());
    let mut before = Vec::new();
    for share in 1..=4_u64 {
        assignment.threshold = share * (u64::MAX / 4);
        let now = reached(&mut log, &assignment);
        assert!(before.iter().all(|n| now.contains(n)), "nobody goes back");
        let expected = usize::try_from(agents * share / 4).expect("small");
        assert!(now.len().abs_diff(expected) < 50, "{share}: {}", now.len());
        before = now;
    }
    assignment.settled = None;
    assignment.threshold = 0;
    reached(&mut log, &assignment);
    assert_eq!(wanted(&log, 0), (Some("g".into()), None));
}

/// Frozen: agents of one version must stand in the same order in every program that applies its log.
#[test]
fn placement_never_changes() {
    let at = |n: u64, h: u8| super::super::placement(uid(n), hash(h));
    let found = [at(0, 0), at(1, 0), at(0, 1), at(u64::MAX - 1, 255)];
    assert_eq!(
        found,
        [
            5_604_704_593_066_371_132,
            14_019_366_298_663_682_474,
            13_219_966_064_991_771_204,
            1_796_934_845_461_431_812,
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn desired_is_the_first_match_by_priority_and_name(
        groups in prop::collection::vec(("[a-f]", -2..3_i32, 0..3_usize), 1..12),
    ) {
        let mut log = Log::with_node();
        log.agent(1, "prod");
        let selectors = ["*", "env=prod", "env=dev"];
        for (name, priority, chosen) in &groups {
            log.group(name, *priority, selectors[*chosen], Assign::Nothing);
        }
        let mut best: Option<(i32, String)> = None;
        for group in log.fleet.groups(None).filter(|group| &*group.selector.source != "env=dev") {
            let better = best.as_ref().is_none_or(|(priority, name)| {
                group.priority > *priority || group.priority == *priority && *group.name < **name
            });
            if better {
                best = Some((group.priority, group.name.to_string()));
            }
        }
        prop_assert_eq!(wanted(&log, 1).0, best.map(|(_, name)| name));
    }
}
