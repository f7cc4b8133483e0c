//! What a restored fleet keeps, what it gives up, and that it can be loaded.

use super::*;
use crate::fleet::{JUMP, Restore};
use crate::proposal::{NoteSnapshot, SnapshotStep};
use crate::records::{DeliveryError, DispatchState, ReleaseReason};
use crate::rows::{Row, RowKey};

fn restored(fleet: &Fleet) -> (Fleet, Applied) {
    let mut fleet = fleet.clone();
    let applied = fleet.restore(&Restore {
        lineage: 77,
        index: 900,
        wall_ms: 5_000_000,
        made_ms: 4_000_000,
        source: "snap".into(),
    });
    let rows = fleet
        .row_keys()
        .filter_map(|key| fleet.row(&key).map(|row| (key, row)));
    let loaded = Fleet::load(rows).expect("rows of a fleet");
    assert_eq!(loaded, fleet, "its indices are those of its rows");
    (fleet, applied)
}

#[test]
fn sessions_are_void_and_what_comes_after_is_beyond_what_was_before() {
    let mut log = Log::with_node();
    log.outcome(Proposal::Found { lineage: 5 });
    let last = log.agent(1, "prod");
    log.agent(2, "prod");
    let release = SessionOp::Release {
        uid: uid(2),
        fence: log.fleet.agent(uid(2)).unwrap().session.unwrap().fence,
        reason: ReleaseReason::Goodbye,
        last_sequence: Some(9),
    };
    assert_eq!(log.batch(vec![release]), [OpOutcome::Done]);
    let epoch = log.epoch();
    let (fleet, _) = restored(&log.fleet);
    assert_eq!(fleet.meta().lineage, 77);
    assert_eq!(fleet.meta().time_ms, log.fleet.meta().time_ms);
    let first = fleet.agent(uid(1)).unwrap();
    assert_eq!(first.session, None);
    let released = first.released.unwrap();
    assert_eq!(
        (released.reason, released.wall_ms),
        (ReleaseReason::OwnerDied, 4_000_000)
    );
    let second = fleet.agent(uid(2)).unwrap().released.unwrap();
    assert_eq!(
        (second.reason, second.last_sequence),
        (ReleaseReason::Goodbye, None)
    );
    let mut after = Log {
        fleet,
        ..log.clone()
    };
    assert_eq!(after.register(NODE), Epoch(epoch.0 + JUMP + 1));
    let granted = after.batch(vec![claim(2, None)]);
    match &granted[..] {
        [
            OpOutcome::Granted {
                fence,
                last_sequence: None,
                created: false,
            },
        ] => assert!(fence.0 > last.0 + JUMP),
        other => panic!("{other:?}"),
    }
}

#[test]
fn restarts_are_not_given_again_and_pushes_are() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let mut order = |action, target| {
        let order = CreateDispatch {
            action,
            target,
            requires: 0,
            expires_in_ms: 3_600_000,
        };
        match log.outcome(Proposal::CreateDispatch(order)) {
            Outcome::Dispatch(dispatch) => dispatch.id,
            other => panic!("{other:?}"),
        }
    };
    let restart = order(Action::Restart, Target::Agent(uid(1)));
    let push = order(Action::PushConfig, Target::Agent(uid(1)));
    let many = order(Action::Restart, Target::Selector(selector("*")));
    let (fleet, _) = restored(&log.fleet);
    let state = |id| fleet.delivery(id, uid(1)).map(|found| found.state.clone());
    let unknown = DeliveryState::Failed(DeliveryError::OutcomeUnknown);
    assert_eq!(state(restart), Some(unknown));
    assert_eq!(state(push), Some(DeliveryState::Queued));
    assert_eq!(state(many), None);
    let done = |id| {
        matches!(
            fleet.dispatch(id).unwrap().state,
            DispatchState::Done { .. }
        )
    };
    assert_eq!([restart, push, many].map(done), [true, false, true]);
    assert_eq!(fleet.expanding().count(), 0);
}

#[test]
fn the_audit_chain_goes_on_with_the_change_of_lineage() {
    let mut log = Log::with_node();
    log.outcome(Proposal::Found { lineage: 5 });
    let note = Proposal::NoteSnapshot(NoteSnapshot {
        id: "snap".into(),
        step: SnapshotStep::Take,
    });
    let noted = log.apply(note.asked("192.0.2.7".into()));
    let Some((_, Some(Row::Audit(noted)))) = noted.puts.first() else {
        panic!("no record");
    };
    assert_eq!((&*noted.action, &*noted.target), ("snapshot.take", "snap"));
    let (fleet, applied) = restored(&log.fleet);
    let Some((RowKey::Audit(2), Some(Row::Audit(record)))) = applied.puts.first() else {
        panic!("{:?}", applied.puts);
    };
    assert_eq!(
        (&*record.action, &*record.target),
        ("cluster.restore", "snap")
    );
    assert_eq!(
        &*record.before,
        "{\"lineage\":\"00000000000000000000000000000005\"}"
    );
    assert_eq!(
        (record.previous, record.hash),
        (noted.hash, fleet.audit().hash)
    );
    assert_eq!((record.digest(), record.index), (record.hash, 900));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 60,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    /// Whatever a fleet holds, it can be restored, and nobody owns anything in it.
    #[test]
    fn any_fleet_can_be_restored(
        entries in proptest::collection::vec(super::generate::entry(), 1..80),
    ) {
        let mut log = Log::default();
        for mut entry in entries {
            super::model::aim(&mut entry, &log.fleet);
            log.entry(entry);
        }
        let (fleet, applied) = restored(&log.fleet);
        proptest::prop_assert!(fleet.agents(None).all(|agent| agent.session.is_none()));
        proptest::prop_assert!(fleet.nodes().all(|node| !node.live));
        proptest::prop_assert_eq!(applied.puts.len(), 1);
    }
}
