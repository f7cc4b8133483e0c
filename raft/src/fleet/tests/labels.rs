//! Labels that operators give: what they hide, how large they may be, what they survive.

use super::*;
use crate::fleet::limits::{SERVER_LABELS_BYTES_MAX, SERVER_LABELS_MAX};
use crate::fleet::sizes::record_bytes;
use crate::outcome::Rejection;
use crate::records::AgentRecord;

pub(super) fn labels(n: u64, labels: &[(&str, &str)]) -> Proposal {
    let owned = labels
        .iter()
        .map(|(key, value)| (Arc::from(*key), Arc::from(*value)));
    Proposal::SetLabels(SetLabels {
        agent: uid(n),
        labels: owned.collect(),
    })
}

#[test]
fn labels_are_sorted_move_the_agent_and_survive_a_rename() {
    let mut log = Log::with_node();
    log.agent(1, "dev");
    log.group("prod", 0, "env=prod", Assign::Nothing);
    log.group(
        "reported",
        0,
        "reported.env=dev, !server.zone",
        Assign::Nothing,
    );
    let group = |log: &Log, n| {
        let agent = log.fleet.agent(uid(n)).expect("known");
        log.fleet
            .desired(agent)
            .group
            .map(|group| group.name.to_string())
    };
    assert_eq!(group(&log, 1).as_deref(), Some("reported"));
    let given = [("zone", "a"), ("env", "dev"), ("env", "prod")];
    let applied = log.apply(labels(1, &given));
    assert_eq!(applied.outcome, Outcome::Done);
    assert_eq!(
        applied.effects.len(),
        1,
        "who decides about its group is told"
    );
    let kept = log
        .fleet
        .agent(uid(1))
        .expect("known")
        .server_labels
        .clone();
    let pair = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
    assert_eq!(kept, [pair("env", "prod"), pair("zone", "a")]);
    assert_eq!(
        group(&log, 1).as_deref(),
        Some("prod"),
        "hides what was reported"
    );
    assert_eq!(log.apply(labels(1, &given)).effects, [], "nothing new");
    let rename = SessionOp::Rename {
        from: uid(1),
        to: uid(2),
    };
    assert_eq!(log.batch(vec![rename]), [OpOutcome::Done]);
    assert_eq!(log.fleet.agent(uid(2)).expect("known").server_labels, kept);
    assert_eq!(log.outcome(labels(2, &[])), Outcome::Done);
    assert_eq!(group(&log, 2).as_deref(), Some("reported"));
    let nobody = log.outcome(labels(1, &[]));
    assert_eq!(nobody, Outcome::Rejected(Rejection::UnknownAgent(uid(1))));
}

#[test]
fn labels_have_a_number_and_a_size() {
    let mut log = Log::with_node();
    log.agent(1, "dev");
    let many: Vec<_> = (0..=SERVER_LABELS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), "")).collect();
    assert_eq!(log.outcome(labels(1, &many[1..])), Outcome::Done);
    let (long_key, long) = ("k".repeat(65), "v".repeat(129));
    let fits = "v".repeat(SERVER_LABELS_BYTES_MAX / 4 - 1);
    let full = ["a", "b", "c", "d"].map(|key| (key, fits.as_str()));
    assert_eq!(log.outcome(labels(1, &full)), Outcome::Done);
    let over: Vec<_> = full.into_iter().chain([("e", "")]).collect();
    let bad = [&many[..], &[(&long_key, "")], &[("k", &long)], &over];
    let before = log.fleet.agent(uid(1)).cloned();
    for given in bad {
        let refused = log.outcome(labels(1, given));
        assert!(
            matches!(refused, Outcome::Rejected(Rejection::TooLarge(_))),
            "{given:?}"
        );
    }
    assert_eq!(log.fleet.agent(uid(1)), before.as_ref());
}

#[test]
fn labels_count_in_the_record() {
    let mut log = Log::with_node();
    log.agent(1, "dev");
    let mut update = described("dev");
    let label = |n: usize, bytes: usize| Label {
        key: n.to_string().into(),
        value: "x".repeat(bytes).into(),
        scalar: true,
    };
    let bare = record_bytes(log.fleet.agent(uid(1)).expect("known"));
    update.description = Some(Arc::new(Description {
        labels: vec![
            label(1, 1_000),
            label(2, AgentRecord::BYTES_MAX - bare - 1_030),
        ],
        ..Description::default()
    }));
    assert_eq!(log.batch(vec![report(1, update)]), [OpOutcome::Done]);
    let refused = log.outcome(labels(
        1,
        &[("zone", "somewhere"), ("team", "somebody-else")],
    ));
    assert!(
        matches!(refused, Outcome::Rejected(Rejection::TooLarge(_))),
        "{refused:?}"
    );
}
