//! Leases under clocks that drift and jump, suspends, isolation and changes of leader: the production `Fleet`,
//! `Stamper` and `LeaseClock` in a small world of five nodes, from one seed.
//!
//! What holds (`engineering.md` §4.3): no two nodes act for one thing at once, what is written under a lease is never written
//! under an older one, replicas are equal, nobody is flagged dead while it may act, after healing everything is owned again,
//! and fleet time never runs faster than the fastest clock. Each rule of the design is then left out on purpose, and
//! the world has to notice within a stated number of seeds: else it would prove nothing.

mod clocks;
mod leader;
mod nodes;
mod world;

use std::collections::BTreeMap;

use world::{Broken, Left, World};

/// How far rates of clocks are off, in millionths: what the margin of a lease is made for.
const DRIFT_PPM: u64 = 50_000;

fn run(seeds: std::ops::Range<u64>, drift_ppm: u64, left: Left) -> BTreeMap<Broken, usize> {
    let mut all = BTreeMap::new();
    for seed in seeds {
        for (broken, count) in World::new(seed, drift_ppm, left).run() {
            *all.entry(broken).or_default() += count;
        }
    }
    all
}

/// A kind of breach is found within so many seeds.
fn finds(broken: Broken, within: u64, left: Left) {
    for seed in 0..within {
        if World::new(seed, DRIFT_PPM, left)
            .run()
            .contains_key(&broken)
        {
            return;
        }
    }
    panic!("{left:?} left out, and no {broken:?} in {within} seeds");
}

#[test]
fn nothing_breaks_while_clocks_drift_within_the_bound() {
    let broken = run(0..200, DRIFT_PPM, Left::Nothing);
    assert_eq!(broken, BTreeMap::new());
}

#[test]
fn what_is_written_is_fenced_whatever_clocks_do() {
    let mut broken = run(1_000..1_040, 500_000, Left::BootTime);
    let unsafe_clocks = broken.remove(&Broken::TwoAct).unwrap_or_default();
    assert!(unsafe_clocks > 0, "clocks that are no bound make two act");
    for kind in [Broken::StaleWrite, Broken::ReplicasDiffer] {
        assert_eq!(broken.get(&kind), None, "{kind:?}");
    }
}

#[test]
fn stamps_by_wall_clock_are_noticed() {
    finds(Broken::DeadWhileValid, 20, Left::BootStamps);
    finds(Broken::TimeRuns, 20, Left::BootStamps);
}

#[test]
fn a_clamp_without_a_rebase_is_noticed() {
    finds(Broken::DeadWhileValid, 40, Left::Rebase);
    finds(Broken::TimeRuns, 40, Left::Rebase);
}

#[test]
fn a_lease_kept_to_its_full_ttl_is_noticed() {
    finds(Broken::DeadWhileValid, 120, Left::Margin);
}

#[test]
fn a_lease_counted_from_its_answer_is_noticed() {
    finds(Broken::DeadWhileValid, 80, Left::SentTime);
}

#[test]
fn a_clock_that_stops_in_suspend_is_noticed() {
    finds(Broken::TwoAct, 20, Left::BootTime);
}

#[test]
fn a_fence_that_nobody_checks_is_noticed() {
    finds(Broken::StaleWrite, 20, Left::Fences);
}
