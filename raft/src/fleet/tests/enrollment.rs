//! Who may come with which token, and what becomes of it.

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::{OPS_MAX, ROWS_MAX, SWEEP_STEP};
use crate::fleet::{EnrollmentLimits, Standing};
use crate::outcome::{EnrollmentRefusal, Rejection};
use crate::records::{EnrollmentToken, Role, Token};

const LIMITS: EnrollmentLimits = EnrollmentLimits {
    agents: 250_000,
    per_token: None,
};

fn labels(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, Arc<str>)> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| (Arc::from(*key), Arc::from(*value)))
        .collect()
}

fn token(id: &str, uses: Option<u32>, expires_at_ms: Option<u64>) -> EnrollmentToken {
    EnrollmentToken {
        id: id.into(),
        name: "edge".into(),
        hash: [id.as_bytes()[0]; 32],
        uses,
        expires_at_ms,
        expires_wall_ms: None,
        labels: labels(&[("env", id)]),
        created_ms: 1,
        created_by: "".into(),
    }
}

fn enroll(n: u64, token: &str) -> SessionOp {
    SessionOp::Enroll {
        uid: uid(n),
        token: token.into(),
        per_token_max: None,
    }
}

impl Log {
    fn make(&mut self, token: EnrollmentToken) {
        let made = self.outcome(Proposal::CreateEnrollmentToken { token });
        assert!(matches!(made, Outcome::EnrollmentToken(_)), "{made:?}");
    }

    fn enrolled(&mut self, n: u64, token: &str) -> OpOutcome {
        self.batch(vec![enroll(n, token)]).remove(0)
    }

    fn revoke(&mut self, id: &str) -> Applied {
        self.apply(Proposal::DeleteEnrollmentToken { id: id.into() })
    }

    fn server_labels(&self, n: u64) -> Vec<(Arc<str>, Arc<str>)> {
        self.fleet
            .agent(uid(n))
            .expect("known")
            .server_labels
            .clone()
    }
}

fn refused(why: EnrollmentRefusal) -> OpOutcome {
    OpOutcome::NotEnrolled(why)
}

#[test]
fn uses_count_distinct_agents_and_bind_none_that_came_before() {
    let mut log = Log::with_node();
    log.make(token("a", Some(2), None));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    assert_eq!(log.enrolled(2, "a"), OpOutcome::Done);
    assert_eq!(log.enrolled(3, "a"), refused(EnrollmentRefusal::Spent));
    assert_eq!(log.enrolled(2, "a"), OpOutcome::Done);
    assert!(log.fleet.agent(uid(3)).is_none());
    assert_eq!(log.server_labels(1), labels(&[("env", "a")]));
    assert_eq!(log.fleet.enrolled_len("a"), 2);
}

#[test]
fn expiry_stops_new_agents_alone() {
    let mut log = Log::with_node();
    log.make(token("a", None, Some(1_000)));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    log.time_ms = 1_000;
    assert_eq!(log.enrolled(2, "a"), refused(EnrollmentRefusal::Expired));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
}

#[test]
fn an_agent_belongs_to_its_token_until_that_is_revoked() {
    let mut log = Log::with_node();
    for id in ["a", "b"] {
        log.make(token(id, None, None));
    }
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    assert_eq!(log.enrolled(1, "b"), refused(EnrollmentRefusal::Foreign));
    assert_eq!(log.revoke("a").effects, [Effect::TokensChanged]);
    assert_eq!(log.enrolled(1, "a"), refused(EnrollmentRefusal::Revoked));
    assert_eq!(log.enrolled(1, "b"), OpOutcome::Done);
    assert_eq!(log.server_labels(1), labels(&[("env", "b")]));
    let again = log.outcome(Proposal::DeleteEnrollmentToken { id: "a".into() });
    assert_eq!(
        again,
        Outcome::Rejected(Rejection::UnknownToken("a".into()))
    );
}

#[test]
fn bounds_of_cluster_and_token_are_kept() {
    let mut log = Log::with_node();
    log.make(token("a", None, None));
    let bounded = |n| SessionOp::Enroll {
        uid: uid(n),
        token: "a".into(),
        per_token_max: Some(1),
    };
    assert_eq!(log.batch(vec![bounded(1)]), [OpOutcome::Done]);
    let second = log.batch(vec![bounded(2), bounded(1)]);
    assert_eq!(
        second,
        [refused(EnrollmentRefusal::TokenLimit), OpOutcome::Done]
    );
    let full = EnrollmentLimits {
        agents: 1,
        per_token: None,
    };
    let standing = |n| log.fleet.standing(uid(n), "a", 0, full);
    assert_eq!(standing(1), Standing::Enrolled);
    assert_eq!(
        standing(2),
        Standing::Refused(EnrollmentRefusal::AgentLimit)
    );
}

#[test]
fn a_forgotten_agent_keeps_its_place_where_uses_are_counted() {
    let mut log = Log::with_node();
    log.make(token("a", Some(1), None));
    log.make(token("b", None, None));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    assert_eq!(log.enrolled(2, "b"), OpOutcome::Done);
    let entry = stamped(0, None, Proposal::SweepTokens { limit: 1 });
    let mut cx = crate::fleet::context::Context::new(99, 0, 0, &entry);
    for n in [1, 2] {
        log.fleet.remove_agent(&mut cx, uid(n));
    }
    assert_eq!(log.fleet.enrolled_len("a"), 1);
    assert_eq!(log.fleet.enrolled_len("b"), 0);
    assert_eq!(log.enrolled(3, "a"), refused(EnrollmentRefusal::Spent));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    assert_eq!(log.server_labels(1), labels(&[("env", "a")]));
}

#[test]
fn a_rename_takes_the_place_along() {
    let mut log = Log::with_node();
    log.make(token("a", Some(1), None));
    log.batch(vec![enroll(1, "a"), claim(1, None)]);
    let rename = SessionOp::Rename {
        from: uid(1),
        to: uid(2),
    };
    assert_eq!(log.batch(vec![rename]), [OpOutcome::Done]);
    let standing = |n| log.fleet.standing(uid(n), "a", 0, LIMITS);
    assert_eq!(standing(2), Standing::Enrolled);
    assert_eq!(standing(1), Standing::Refused(EnrollmentRefusal::Spent));
}

#[test]
fn a_large_token_leaves_in_steps_and_is_void_at_once() {
    let mut log = Log::with_node();
    log.make(token("a", None, None));
    for step in 0..4_u64 {
        let ops = (0..OPS_MAX as u64 / 2).map(|n| enroll(step * 1_000 + n, "a"));
        let outcomes = log.batch(ops.collect());
        assert!(outcomes.iter().all(|outcome| *outcome == OpOutcome::Done));
    }
    let revoked = log.revoke("a");
    assert!(revoked.dirty.len() <= ROWS_MAX, "{}", revoked.dirty.len());
    let standing = log.fleet.standing(uid(3_001), "a", 0, LIMITS);
    assert_eq!(standing, Standing::Refused(EnrollmentRefusal::Revoked));
    let mut sweeps = 0;
    while log.fleet.has_tokens_to_sweep(0) {
        let swept = log.apply(Proposal::SweepTokens { limit: u16::MAX });
        assert!((1..=SWEEP_STEP + 1).contains(&swept.dirty.len()));
        sweeps += 1;
    }
    assert!((2..10).contains(&sweeps), "{sweeps}");
    assert_eq!(log.fleet.enrolled_len("a"), 0);
}

fn operator(id: &str, role: Role, expires_at_ms: Option<u64>) -> Proposal {
    Proposal::CreateToken {
        token: Token {
            id: id.into(),
            name: id.into(),
            role,
            hash: [id.as_bytes()[0]; 32],
            created_ms: 5,
            expires_at_ms,
        },
        expires_wall_ms: expires_at_ms,
    }
}

#[test]
fn the_last_administrator_stays_and_what_is_over_leaves() {
    let mut log = Log::default();
    for (id, role, expires) in [
        ("a", Role::Admin, None),
        ("b", Role::Admin, Some(100)),
        ("v", Role::Viewer, Some(50)),
    ] {
        let made = log.outcome(operator(id, role, expires));
        assert!(matches!(made, Outcome::Token(_)), "{made:?}");
    }
    let exists = log.outcome(operator("a", Role::Viewer, None));
    assert_eq!(
        exists,
        Outcome::Rejected(Rejection::TokenExists("a".into()))
    );
    let delete = |id: &str| Proposal::DeleteToken { id: id.into() };
    log.time_ms = 100;
    let last = log.outcome(delete("a"));
    assert_eq!(last, Outcome::Rejected(Rejection::LastAdminToken));
    assert_eq!(
        log.fleet.token_note("v").map(|note| &*note.created_by),
        Some("somebody")
    );
    assert!(log.fleet.has_tokens_to_sweep(100));
    log.outcome(Proposal::SweepTokens { limit: 100 });
    let left: Vec<_> = log.fleet.tokens().map(|token| &*token.id).collect();
    assert_eq!(left, ["a"]);
    assert!(log.fleet.token_note("v").is_none() && log.fleet.token(&[b'v'; 32]).is_none());
    log.outcome(operator("c", Role::Admin, None));
    assert_eq!(log.outcome(delete("a")), Outcome::Done);
    assert!(log.fleet.token(&[b'a'; 32]).is_none());
}

#[test]
fn labels_of_a_token_stay_where_a_record_has_no_room_for_all() {
    let mut log = Log::with_node();
    for id in ["a", "b"] {
        log.make(EnrollmentToken {
            labels: labels(&[(&format!("{id}-{}", "k".repeat(40)), &"v".repeat(128))]),
            ..token(id, None, None)
        });
    }
    let large = EnrollmentToken {
        labels: labels(&[("k", &"v".repeat(129))]),
        ..token("c", None, None)
    };
    let refused = log.outcome(Proposal::CreateEnrollmentToken { token: large });
    assert!(matches!(refused, Outcome::Rejected(Rejection::TooLarge(_))));
    assert_eq!(log.enrolled(1, "a"), OpOutcome::Done);
    // an operator has given as much as there is room for
    let mut record = (**log.fleet.agent(uid(1)).expect("known")).clone();
    let given = (0..3).map(|n| (Arc::from(format!("o{n}")), Arc::from("x".repeat(128))));
    record.server_labels = given.collect();
    let entry = stamped(0, None, Proposal::SweepTokens { limit: 1 });
    let mut cx = crate::fleet::context::Context::new(99, 0, 0, &entry);
    log.fleet.put_agent(&mut cx, record);
    log.revoke("a");
    assert_eq!(log.enrolled(1, "b"), OpOutcome::Done);
    assert_eq!(log.server_labels(1).len(), 1);
}
