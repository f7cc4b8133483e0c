//! What operators and time take out of the fleet.

use super::labels::labels;
use super::*;
use crate::fleet::limits::{AGENTS_STEP, DISPATCH_KEPT_MS, KEY_KEPT_MS, ROWS_MAX, VERSIONS_KEPT};
use crate::outcome::Rejection;
use crate::records::{DeliveryError, DispatchState, ReleaseReason};
use crate::rows::RowKey;

const DAY_MS: u64 = 86_400_000;

fn removed(outcome: &Outcome) -> (u32, bool) {
    match outcome {
        Outcome::Removed { count, more } => (*count, *more),
        other => panic!("{other:?}"),
    }
}

impl Log {
    fn leave(&mut self, n: u64) {
        let session = self.fleet.agent(uid(n)).expect("known").session;
        let release = SessionOp::Release {
            uid: uid(n),
            fence: session.expect("owned").fence,
            reason: ReleaseReason::Lost,
            last_sequence: Some(4),
        };
        assert_eq!(self.batch(vec![release]), [OpOutcome::Done]);
    }

    fn forget(&mut self, n: u64, fence: Option<Fence>) -> Outcome {
        self.outcome(Proposal::ForgetAgent {
            agent: uid(n),
            fence,
        })
    }

    /// Proposes until nothing remains, within the rows of an entry each time, and answers how much went.
    fn retain(&mut self, given: Retention) -> u32 {
        let mut all = 0;
        loop {
            let applied = self.apply(Proposal::Retention(given.clone()));
            assert!(applied.dirty.len() + applied.puts.len() <= ROWS_MAX);
            let (count, more) = removed(&applied.outcome);
            all += count;
            if !more {
                return all;
            }
        }
    }
}

#[test]
fn an_agent_is_forgotten_when_nobody_owns_it() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let connected = Outcome::Rejected(Rejection::AgentConnected(uid(1)));
    assert_eq!(log.forget(1, None), connected);
    assert_eq!(log.forget(1, Some(Fence(fence.0 + 1))), connected);
    let dispatch = log.dispatch(Target::Agent(uid(1)));
    let sent = log.dispatch(Target::Agent(uid(1)));
    assert!(log.mark(sent, 1, MarkTo::Sent { fence, hash: None }));
    log.leave(1);
    assert_eq!(
        log.forget(1, None),
        Outcome::Removed {
            count: 1,
            more: false
        }
    );
    assert_eq!(log.fleet.agent(uid(1)), None);
    let forgotten = DeliveryState::Failed(DeliveryError::AgentForgotten);
    assert_eq!(log.state(dispatch, 1), Some(forgotten));
    let done = log.fleet.dispatch(dispatch).expect("kept").state;
    assert!(matches!(done, DispatchState::Done { .. }));
    assert_eq!(log.state(sent, 1), Some(DeliveryState::Sent));
    assert!(
        log.mark(sent, 1, MarkTo::Failed(DeliveryError::Unconfirmed)),
        "its sender ends it"
    );
    let again = log.forget(1, None);
    assert_eq!(again, Outcome::Rejected(Rejection::UnknownAgent(uid(1))));
    let back = log.batch(vec![claim(1, None)]);
    assert!(matches!(
        back[..],
        [OpOutcome::Granted {
            created: true,
            last_sequence: None,
            ..
        }]
    ));
}

#[test]
fn a_silent_session_ends_with_its_agent() {
    let mut log = Log::with_node();
    let fence = log.agent(1, "prod");
    let applied = log.apply(Proposal::ForgetAgent {
        agent: uid(1),
        fence: Some(fence),
    });
    assert_eq!(removed(&applied.outcome), (1, false));
    let moved = crate::effect::Effect::SessionMoved {
        uid: uid(1),
        from: NODE,
        fence,
    };
    assert!(applied.effects.contains(&moved), "its owner lets go of it");
}

#[test]
fn an_agent_with_many_deliveries_is_forgotten_in_steps() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let ids: Vec<_> = (0..600)
        .map(|_| log.dispatch(Target::Agent(uid(1))))
        .collect();
    log.leave(1);
    let mut steps = 0;
    loop {
        let applied = log.apply(Proposal::ForgetAgent {
            agent: uid(1),
            fence: None,
        });
        assert!(applied.dirty.len() <= ROWS_MAX, "{}", applied.dirty.len());
        steps += 1;
        let (count, more) = removed(&applied.outcome);
        assert_eq!(
            (count == 0, log.fleet.agent(uid(1)).is_some()),
            (more, more)
        );
        if !more {
            break;
        }
    }
    assert_eq!(steps, 3);
    let forgotten = Some(DeliveryState::Failed(DeliveryError::AgentForgotten));
    assert!(ids.iter().all(|id| log.state(*id, 1) == forgotten));
}

fn gone(agents: &[u64]) -> Retention {
    Retention::ForgetAgents {
        agents: agents.iter().map(|n| uid(*n)).collect(),
        after_ms: 7 * DAY_MS,
        bare_after_ms: DAY_MS,
    }
}

#[test]
fn agents_are_forgotten_by_fleet_time() {
    let mut log = Log::with_node();
    for n in 1..=4 {
        log.agent(n, "prod");
    }
    log.outcome(labels(2, &[("team", "core")]));
    let offered = AgentUpdate {
        sent_hash: Some(hash(1)),
        ..AgentUpdate::default()
    };
    assert_eq!(log.batch(vec![report(3, offered)]), [OpOutcome::Done]);
    log.time_ms = 1_000;
    for n in 1..=3 {
        log.leave(n);
    }
    let all = [1, 2, 3, 4, 9];
    let left = |log: &Log| -> Vec<u64> {
        let known = |n: &u64| log.fleet.agent(uid(*n)).is_some();
        all.into_iter().filter(known).collect()
    };
    log.time_ms = DAY_MS + 999;
    assert_eq!(log.retain(gone(&all)), 0);
    log.time_ms += 1;
    assert_eq!(log.retain(gone(&all)), 1);
    assert_eq!(
        left(&log),
        [2, 3, 4],
        "it had neither a label nor a configuration"
    );
    log.time_ms = 7 * DAY_MS + 999;
    assert_eq!(log.retain(gone(&all)), 0);
    log.time_ms += 1;
    assert_eq!(log.retain(gone(&all)), 2);
    assert_eq!(left(&log), [4], "it is connected");
    let many = Proposal::Retention(gone(&vec![1; AGENTS_STEP + 1]));
    assert!(matches!(
        log.outcome(many),
        Outcome::Rejected(Rejection::TooLarge(_))
    ));
}

#[test]
fn an_agent_whose_owner_died_counts_as_gone_from_the_first_look() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    log.time_ms = DAY_MS;
    log.register(NODE);
    assert_eq!(log.retain(gone(&[1])), 0);
    let record = log.fleet.agent(uid(1)).expect("known");
    let released = record.released.expect("noted");
    assert_eq!(
        (released.reason, released.at_ms),
        (ReleaseReason::OwnerDied, DAY_MS)
    );
    assert_eq!(record.session, None);
    log.time_ms = 2 * DAY_MS - 1;
    assert_eq!(log.retain(gone(&[1])), 0, "noted once");
    log.time_ms += 1;
    assert_eq!(log.retain(gone(&[1])), 1);
}

/// A version of many parts, as large bodies are.
fn large(log: &mut Log, name: &str, n: u16, parts: u16) {
    let mut digest = [7; 32];
    digest[..2].copy_from_slice(&n.to_be_bytes());
    for part in 0..parts {
        log.outcome(Proposal::StageBody(StageBody {
            hash: ConfigHash(digest),
            part,
            parts,
            bytes: vec![1; 8].into(),
        }));
    }
    let made = log.outcome(Proposal::CreateVersion(CreateVersion {
        configuration: name.into(),
        hash: ConfigHash(digest),
        files: Vec::new(),
        comment: "".into(),
    }));
    assert!(
        matches!(made, Outcome::Version { created: true, .. }),
        "{made:?}"
    );
}

#[test]
fn old_versions_go_with_their_bodies_unless_something_refers_to_them() {
    let mut log = Log::with_node();
    for n in 0..80 {
        large(&mut log, "edge", n, 20);
    }
    large(&mut log, "other", 2, 20);
    let assign = Assign::Version {
        configuration: "edge".into(),
        version: Some(5),
    };
    log.group("all", 0, "*", assign);
    let numbers = |log: &Log| -> Vec<u32> {
        let edge = log.fleet.configuration("edge").expect("made");
        edge.versions.iter().map(|version| version.number).collect()
    };
    let bodies = log
        .fleet
        .row_keys()
        .filter(|key| matches!(key, RowKey::BodyMeta(_)))
        .count();
    assert_eq!(bodies, 80, "one is shared");
    let trim = || Retention::TrimVersions {
        configuration: "edge".into(),
    };
    assert_eq!(log.retain(trim()), 29);
    let kept: Vec<u32> = [5].into_iter().chain(31..=80).collect();
    assert_eq!((numbers(&log), kept.len()), (kept, VERSIONS_KEPT + 1));
    let body = |log: &Log, n: u8| {
        let mut digest = [7; 32];
        digest[..2].copy_from_slice(&[0, n]);
        log.fleet
            .body(&ConfigHash(digest))
            .map(|body| body.references)
    };
    assert_eq!(
        (body(&log, 0), body(&log, 2), body(&log, 4)),
        (None, Some(1), Some(1))
    );
    assert_eq!(log.retain(trim()), 0);
    let rows = log.fleet.row_keys().map(|key| {
        let row = log.fleet.row(&key).expect("in memory");
        (key, row)
    });
    assert!(
        Fleet::load(rows) == Ok(log.fleet.clone()),
        "its rows are whole"
    );
    // a number is never given again
    large(&mut log, "edge", 900, 1);
    assert_eq!(numbers(&log).last(), Some(&81));
    let unknown = log.outcome(Proposal::Retention(Retention::TrimVersions {
        configuration: "none".into(),
    }));
    assert!(matches!(
        unknown,
        Outcome::Rejected(Rejection::UnknownConfiguration(_))
    ));
}

#[test]
fn finished_dispatches_leave_after_a_week_with_all_their_deliveries() {
    let mut log = Log::with_node();
    for n in 0..900 {
        log.agent(n, "prod");
    }
    let large = log.dispatch(Target::Selector(selector("*")));
    let cursor_of = |log: &Log| match log.fleet.dispatch(large).expect("made").state {
        DispatchState::Expanding { cursor } => Some(cursor),
        _ => None,
    };
    while let Some(cursor) = cursor_of(&log) {
        let dispatch = large;
        log.outcome(Proposal::ExpandDispatch { dispatch, cursor });
    }
    let open = log.dispatch(Target::Agent(uid(1)));
    log.time_ms = 5_000;
    while matches!(
        log.outcome(Proposal::CancelDispatch { dispatch: large }),
        Outcome::Deliveries { more: true, .. }
    ) {}
    let retire = || Retention::RetireDispatches {
        dispatches: vec![large, open, DispatchId(99)],
    };
    log.time_ms = 5_000 + DISPATCH_KEPT_MS - 1;
    assert_eq!(log.retain(retire()), 0);
    assert_eq!(log.fleet.deliveries(large, None).count(), 900);
    log.time_ms += 1;
    assert_eq!(log.retain(retire()), 1);
    let left: Vec<_> = log
        .fleet
        .dispatches(None)
        .map(|dispatch| dispatch.id)
        .collect();
    assert_eq!(left, [open]);
    assert_eq!(log.fleet.deliveries(large, None).count(), 0);
}

#[test]
fn keys_leave_after_a_day() {
    let mut log = Log::with_node();
    let entry = |n: u64, time_ms| {
        let key = Some(key(&n.to_string(), 1));
        stamped(time_ms, key, Proposal::ExpireDeliveries { limit: 1 })
    };
    for n in 0..1_200 {
        log.entry(entry(n, n));
    }
    log.time_ms = KEY_KEPT_MS + 1_100;
    assert_eq!(log.retain(Retention::ExpireKeys), 1_101);
    assert_eq!(log.fleet.oldest_key_ms(), Some(1_101));
    assert_eq!(log.retain(Retention::ExpireKeys), 0);
}

#[test]
fn bodies_that_no_version_used_leave() {
    let mut log = Log::with_node();
    for n in 0..20 {
        for part in 0..40 {
            log.outcome(Proposal::StageBody(StageBody {
                hash: hash(n),
                part,
                parts: 40,
                bytes: vec![1].into(),
            }));
        }
    }
    let until_index = log.index;
    log.version("edge", 100);
    log.outcome(Proposal::StageBody(StageBody {
        hash: hash(101),
        part: 0,
        parts: 1,
        bytes: vec![1].into(),
    }));
    assert_eq!(log.retain(Retention::DropStaged { until_index }), 20);
    assert!(log.fleet.body(&hash(0)).is_none() && log.fleet.body(&hash(19)).is_none());
    assert!(log.fleet.body(&hash(100)).is_some() && log.fleet.body(&hash(101)).is_some());
    assert!(log.fleet.oldest_staged_index() > Some(until_index));
}

#[test]
fn a_version_after_another_is_made_once() {
    let mut log = Log::with_node();
    let after = |log: &mut Log, newest, n: u8| {
        log.outcome(Proposal::StageBody(StageBody {
            hash: hash(n),
            part: 0,
            parts: 1,
            bytes: vec![n].into(),
        }));
        log.outcome(Proposal::CreateVersionAfter {
            newest,
            version: CreateVersion {
                configuration: "edge".into(),
                hash: hash(n),
                files: Vec::new(),
                comment: "".into(),
            },
        })
    };
    let refused =
        |current, expected| Outcome::Rejected(Rejection::RevisionMismatch { current, expected });
    assert_eq!(after(&mut log, 1, 1), refused(0, 1));
    assert!(matches!(
        after(&mut log, 0, 1),
        Outcome::Version { created: true, .. }
    ));
    assert_eq!(after(&mut log, 0, 2), refused(1, 0));
    assert!(matches!(
        after(&mut log, 1, 2),
        Outcome::Version { created: true, .. }
    ));
    assert_eq!(
        after(&mut log, 1, 2),
        refused(2, 1),
        "also for bytes that are there"
    );
}
