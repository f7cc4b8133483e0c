//! Deadline time: what people's deadlines are compared with, also while nobody led.

use super::*;
use crate::fleet::limits::DOWNTIME_MAX_MS;

const HOUR_MS: u64 = 3_600_000;
const WALL_MS: u64 = 1_700_000_000_000;

/// A leader notes its wall clock; gives what deadline time has beyond fleet time.
fn note(log: &mut Log, begins: bool, fleet_ms: u64, wall_ms: u64) -> u64 {
    let mut entry = stamped(fleet_ms, None, Proposal::NoteWallTime { begins });
    entry.wall_ms = wall_ms;
    log.time_ms = fleet_ms;
    assert_eq!(log.entry(entry).outcome, Outcome::Done);
    log.fleet.downtime().total_ms
}

/// A fleet whose first leader stopped at this fleet time, with a wall clock that ran along.
fn stopped_at(fleet_ms: u64) -> Log {
    let mut log = Log::with_node();
    assert_eq!(note(&mut log, true, 0, WALL_MS), 0);
    log.agent(1, "prod");
    log.time_ms = fleet_ms;
    log.outcome(Proposal::ExpireDeliveries { limit: 1 });
    log
}

#[test]
fn a_dispatch_expires_while_nobody_leads() {
    let mut log = stopped_at(0);
    let order = |hours| dispatch(Target::Agent(uid(1)), hours * HOUR_MS);
    let ids = [1, 3].map(|hours| match log.outcome(order(hours)) {
        Outcome::Dispatch(dispatch) => dispatch.id,
        other => panic!("{other:?}"),
    });
    log.time_ms = 5_000;
    log.outcome(Proposal::ExpireDeliveries { limit: 9 });
    assert_eq!(log.state(ids[0], 1), Some(DeliveryState::Queued));
    assert_eq!(
        note(&mut log, true, 5_000, WALL_MS + 5_000 + HOUR_MS),
        HOUR_MS
    );
    log.outcome(Proposal::ExpireDeliveries { limit: 9 });
    assert_eq!(log.state(ids[0], 1), Some(DeliveryState::Expired));
    assert_eq!(log.state(ids[1], 1), Some(DeliveryState::Queued));
    // what is made from here on has its whole time
    let Outcome::Dispatch(made) = log.outcome(order(1)) else {
        panic!("refused");
    };
    assert_eq!(made.expires_at_ms, 5_000 + 2 * HOUR_MS);
}

#[test]
fn time_under_a_leader_is_not_counted_twice() {
    let mut log = stopped_at(7 * HOUR_MS);
    let wall_ms = WALL_MS + 7 * HOUR_MS;
    assert_eq!(note(&mut log, true, 7 * HOUR_MS, wall_ms + 90), 90);
    // asked twice, or by a leader that followed at once
    assert_eq!(note(&mut log, true, 7 * HOUR_MS, wall_ms + 90), 90);
}

#[test]
fn a_wall_clock_that_went_back_adds_nothing() {
    let mut log = stopped_at(HOUR_MS);
    assert_eq!(note(&mut log, true, HOUR_MS, WALL_MS - HOUR_MS), 0);
    // from there on it is the clock to compare with
    assert_eq!(note(&mut log, true, HOUR_MS, WALL_MS), HOUR_MS);
}

#[test]
fn a_jump_ahead_adds_no_more_than_the_limit_and_none_while_somebody_leads() {
    let mut log = stopped_at(0);
    let far_ms = WALL_MS + 400 * 24 * HOUR_MS;
    assert_eq!(note(&mut log.clone(), true, 0, far_ms), DOWNTIME_MAX_MS);
    assert_eq!(note(&mut log.clone(), true, 0, u64::MAX), DOWNTIME_MAX_MS);
    assert_eq!(note(&mut log, false, 0, far_ms), 0);
    assert_eq!(note(&mut log, true, 0, far_ms + HOUR_MS), HOUR_MS);
}
