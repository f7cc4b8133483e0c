//! What one entry may touch and hold, and how repeated requests are answered.

use super::*;
use crate::fleet::limits::{
    BODY_PART_BYTES_MAX, BODY_PARTS_MAX, ENTRY_BYTES_MAX, ENTRY_HEAD_BYTES, IDEMPOTENCY_MAX,
    MARKS_MAX, OPS_MAX, ROWS_MAX, SELECTOR_BYTES_MAX, STAGED_MAX,
};
use crate::fleet::sizes::entry_bytes;
use crate::outcome::Rejection;
use crate::rows::RowKey;

fn rows(applied: &Applied) -> usize {
    applied.dirty.len() + applied.puts.len()
}

fn stage(n: u32, part: u16, parts: u16, bytes: usize) -> Proposal {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    Proposal::StageBody(StageBody {
        hash: ConfigHash(digest),
        part,
        parts,
        bytes: vec![1; bytes].into(),
    })
}

#[test]
fn a_full_batch_of_claims_or_renames_stays_within_the_rows_of_an_entry() {
    let mut log = Log::with_node();
    let all = OPS_MAX as u64;
    let claims: Vec<_> = (0..all).map(|n| claim(n, None)).collect();
    let applied = log.apply(batch(NODE, log.epoch(), 1, claims));
    assert!(rows(&applied) <= ROWS_MAX, "{}", rows(&applied));
    let renames: Vec<_> = (0..all)
        .map(|n| SessionOp::Rename {
            from: uid(n),
            to: uid(n + 10_000),
        })
        .collect();
    let applied = log.apply(batch(NODE, log.epoch(), 2, renames.clone()));
    assert!(rows(&applied) <= ROWS_MAX, "{}", rows(&applied));
    let half = renames.into_iter().take(OPS_MAX / 2 - 1).collect();
    let applied = log.apply(batch(NODE, log.epoch(), 3, half));
    let Outcome::Batch(outcomes) = applied.outcome else {
        panic!("refused");
    };
    assert!(outcomes.iter().all(|outcome| *outcome == OpOutcome::Done));
    let late = batch(NODE, log.epoch(), 4, vec![claim(1, None); OPS_MAX + 1]);
    assert!(matches!(
        log.outcome(late),
        Outcome::Rejected(Rejection::TooLarge(_))
    ));
}

#[test]
fn a_rename_with_more_deliveries_than_an_entry_has_rows_is_refused() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    for _ in 0..200 {
        log.dispatch(Target::Agent(uid(1)));
    }
    let before = log.fleet.agent(uid(1)).cloned();
    let rename = SessionOp::Rename {
        from: uid(1),
        to: uid(2),
    };
    assert_eq!(log.batch(vec![rename]), [OpOutcome::TooLarge]);
    assert_eq!(log.fleet.agent(uid(1)), before.as_ref());
}

#[test]
fn marks_of_as_many_dispatches_are_taken_as_fit() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let marks: Vec<_> = (0..MARKS_MAX)
        .map(|_| Mark {
            dispatch: log.dispatch(Target::Agent(uid(1))),
            agent: uid(1),
            to: MarkTo::Sent { fence, hash: None },
        })
        .collect();
    let given = |marks| {
        Proposal::MarkDeliveries(MarkDeliveries {
            node: NODE,
            epoch: Epoch(1),
            marks,
        })
    };
    let applied = log.apply(given(marks.clone()));
    assert!(rows(&applied) <= ROWS_MAX, "{}", rows(&applied));
    let Outcome::Deliveries { taken, more: true } = applied.outcome else {
        panic!("{:?}", applied.outcome);
    };
    let rest = log.outcome(given(marks[taken.len()..].to_vec()));
    assert!(matches!(rest, Outcome::Deliveries { taken, more: false } if taken.len() == 2));
}

#[test]
fn bodies_come_in_any_order_and_are_bounded() {
    let mut log = Log::default();
    let large = log.outcome(stage(1, 0, 1, BODY_PART_BYTES_MAX + 1));
    assert!(matches!(large, Outcome::Rejected(Rejection::TooLarge(_))));
    for (part, parts) in [(0, 0), (1, 1), (u16::MAX, u16::MAX)] {
        let odd = log.outcome(stage(1, part, parts, 1));
        assert!(matches!(odd, Outcome::Rejected(_)), "{part} of {parts}");
    }
    for part in (0..BODY_PARTS_MAX).rev() {
        assert_eq!(
            log.outcome(stage(1, part, BODY_PARTS_MAX, 10)),
            Outcome::Done
        );
    }
    let again = log.apply(stage(1, 3, BODY_PARTS_MAX, 99));
    assert_eq!((again.outcome, again.puts.len()), (Outcome::Done, 0));
    let mismatch = log.outcome(stage(1, 0, 2, 10));
    assert!(matches!(
        mismatch,
        Outcome::Rejected(Rejection::BodyMismatch(_))
    ));
    let mut parts = 0;
    while log.outcome(stage(2, parts, BODY_PARTS_MAX, BODY_PART_BYTES_MAX)) == Outcome::Done {
        parts += 1;
    }
    assert!(parts < 8, "a body of {parts} parts of 256 KiB");
}

#[test]
fn the_oldest_unused_upload_leaves_with_its_rows() {
    let mut log = Log::default();
    log.outcome(stage(0, 0, 2, 10));
    log.outcome(stage(0, 1, 2, 10));
    log.version("kept", 9);
    for n in 1..u32::try_from(STAGED_MAX).expect("small") {
        assert_eq!(log.apply(stage(n, 0, 1, 1)).puts.len(), 1);
    }
    let last = log.apply(stage(u32::MAX, 0, 1, 1));
    let gone: Vec<_> = last
        .puts
        .iter()
        .filter(|(_, bytes)| bytes.is_none())
        .collect();
    assert_eq!(gone.len(), 2, "both parts of the first");
    assert!(last.dirty.contains(&RowKey::BodyMeta(ConfigHash([0; 32]))));
    assert!(log.fleet.body(&hash(9)).is_some(), "a version refers to it");
}

#[test]
fn a_version_needs_its_body_and_old_bytes_are_the_old_version() {
    let mut log = Log::default();
    let create = |n: u8| {
        Proposal::CreateVersion(CreateVersion {
            configuration: "edge".into(),
            hash: hash(n),
            files: Vec::new(),
            comment: "".into(),
        })
    };
    assert_eq!(
        log.outcome(create(1)),
        Outcome::Rejected(Rejection::BodyIncomplete(hash(1)))
    );
    assert_eq!(log.version("edge", 1), 1);
    assert_eq!(log.version("edge", 2), 2);
    let Outcome::Version { version, created } = log.outcome(create(1)) else {
        panic!("refused");
    };
    assert_eq!((version.number, created), (1, false));
    assert_eq!(log.fleet.configuration("edge").expect("made").newest, 2);
}

#[test]
fn a_key_answers_what_it_answered_and_stands_for_one_request() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let order = || dispatch(Target::Agent(uid(1)), 5_000);
    let first = log.entry(stamped(0, Some(key("k", 1)), order())).outcome;
    let before = log.fleet.dispatches(None).count();
    let again = log.entry(stamped(0, Some(key("k", 1)), order()));
    assert_eq!(again.outcome, first);
    assert_eq!(again.dirty, []);
    assert_eq!(log.fleet.dispatches(None).count(), before);
    let other = log.entry(stamped(0, Some(key("k", 2)), order())).outcome;
    assert_eq!(other, Outcome::Rejected(Rejection::KeyReused));
    // a refusal is not an answer: the next try may succeed
    let unknown = dispatch(Target::Agent(uid(5)), 5_000);
    let refused = log
        .entry(stamped(0, Some(key("l", 3)), unknown.clone()))
        .outcome;
    assert!(matches!(refused, Outcome::Rejected(_)));
    log.agent(5, "prod");
    let made = log.entry(stamped(0, Some(key("l", 3)), unknown)).outcome;
    assert!(matches!(made, Outcome::Dispatch(_)));
}

#[test]
fn the_oldest_key_leaves() {
    let mut log = Log::default();
    let expire = || Proposal::ExpireDeliveries { limit: 1 };
    for n in 0..IDEMPOTENCY_MAX {
        log.entry(stamped(0, Some(key(&n.to_string(), 1)), expire()));
    }
    let last = log.entry(stamped(0, Some(key("last", 1)), expire()));
    assert!(last.dirty.contains(&RowKey::Idempotency("0".into())));
    let reused = |log: &mut Log, name: &str| {
        let other = log.entry(stamped(0, Some(key(name, 2)), expire())).outcome;
        other == Outcome::Rejected(Rejection::KeyReused)
    };
    assert!(reused(&mut log, "last") && reused(&mut log, "1"));
    assert!(!reused(&mut log, "0"));
}

#[test]
fn a_selector_larger_than_a_text_can_mean_is_refused() {
    let mut log = Log::default();
    let mut large = selector("env=prod");
    large.source = "x".repeat(SELECTOR_BYTES_MAX).into();
    let put = PutGroup {
        name: "g".into(),
        revision: None,
        selector: Some(large.clone()),
        priority: None,
        assign: Assign::Nothing,
        pace: None,
    };
    let too_large = Outcome::Rejected(Rejection::TooLarge("selector".into()));
    assert_eq!(log.outcome(Proposal::PutGroup(put)), too_large);
    let order = dispatch(Target::Selector(large), 1);
    assert_eq!(log.outcome(order), too_large);
}

#[test]
fn what_the_fleet_takes_is_what_the_log_takes() {
    let ops = vec![claim(1, None); OPS_MAX];
    let part = stage(1, 0, 1, BODY_PART_BYTES_MAX);
    for proposal in [batch(NODE, Epoch(1), 1, ops), part] {
        let bytes = entry_bytes(&stamped(0, Some(key("k", 1)), proposal));
        assert!(bytes <= ENTRY_BYTES_MAX + ENTRY_HEAD_BYTES, "{bytes}");
    }
}

#[test]
fn a_fleet_is_founded_once() {
    let mut log = Log::default();
    assert_eq!(log.outcome(Proposal::Found { lineage: 7 }), Outcome::Done);
    assert_eq!(
        log.outcome(Proposal::Found { lineage: 8 }),
        Outcome::Rejected(Rejection::AlreadyFounded)
    );
    assert_eq!(log.fleet.meta().lineage, 7);
}
