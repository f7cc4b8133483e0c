//! The digest says whether two fleets hold the same.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::generate::entry;
use super::model::aim;
use super::*;

fn loaded(fleet: &Fleet) -> Fleet {
    let rows = fleet.row_keys();
    let rows = rows.filter_map(|key| fleet.row(&key).map(|row| (key, row)));
    Fleet::load(rows).expect("the rows of a fleet")
}

proptest! {
    #![proptest_config(Config { cases: 60, failure_persistence: None, ..Config::default() })]

    /// Two replicas of one log agree at every index, also when one came from rows in the middle; two that do not hold
    /// the same never do.
    #[test]
    fn replicas_agree_exactly_when_they_hold_the_same(
        entries in prop::collection::vec(entry(), 1..60),
        at in 0..60_usize,
    ) {
        let (mut log, mut other) = (Log::default(), Log::default());
        for (place, mut entry) in entries.into_iter().enumerate() {
            aim(&mut entry, &log.fleet);
            if place == at {
                other.fleet = loaded(&other.fleet);
            }
            let before = log.fleet.clone();
            log.entry(entry.clone());
            other.entry(entry);
            prop_assert_eq!(log.fleet.digest_now(), other.fleet.digest_now());
            let same = before == log.fleet;
            prop_assert_eq!(before.digest_now() == log.fleet.digest_now(), same);
        }
    }
}

#[test]
fn values_that_change_places_are_not_the_same() {
    let digest = |names: [&str; 2]| {
        let mut log = Log::with_node();
        for (n, name) in (1..).zip(names) {
            log.version(name, n);
        }
        log.fleet.digest_now()
    };
    assert_ne!(digest(["a", "b"]), digest(["b", "a"]));
    assert_eq!(digest(["a", "b"]), digest(["a", "b"]));
}
