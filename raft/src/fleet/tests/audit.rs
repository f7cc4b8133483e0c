//! The audit chain: who leaves a record of what, and what never leaves one.

use super::labels::labels;
use super::*;
use crate::fleet::limits::{AUDIT_RECORDS_MAX, TEXT_BYTES_MAX};
use crate::outcome::Rejection;
use crate::proposal::{NoteRead, RawBody};
use crate::records::{AuditHead, AuditRecord, Role, Token};
use crate::rows::{Row, RowKey};

/// The record that an entry left.
fn record(applied: &Applied) -> Option<Arc<AuditRecord>> {
    applied.puts.iter().find_map(|put| match put {
        (RowKey::Audit(seq), Some(Row::Audit(record))) => {
            assert_eq!(*seq, record.seq);
            Some(Arc::clone(record))
        }
        _ => None,
    })
}

fn asked(log: &mut Log, proposal: Proposal) -> Applied {
    log.apply(proposal.asked("192.0.2.7".into()))
}

fn put(priority: i32) -> Proposal {
    Proposal::PutGroup(PutGroup {
        name: "edge".into(),
        revision: None,
        selector: Some(selector("env=prod")),
        priority: Some(priority),
        assign: Assign::Nothing,
        pace: None,
    })
}

#[test]
fn a_change_leaves_who_from_where_what_before_and_after() {
    let mut log = Log {
        time_ms: 9,
        ..Log::default()
    };
    let made = record(&asked(&mut log, put(5))).expect("a record");
    let changed = record(&asked(&mut log, put(6))).expect("a record");
    let group = |priority: i32, revision: u64| {
        format!(
            "{{\"assignment\":null,\"pace\":\"all-at-once\",\"priority\":{priority},\
             \"revision\":{revision},\"selector\":\"env=prod\"}}"
        )
    };
    let mut expected = AuditRecord {
        seq: 2,
        index: 2,
        at_ms: 1_000_009,
        deadline_ms: 9,
        actor: "somebody".into(),
        from: "192.0.2.7".into(),
        request_id: "request".into(),
        action: "group.put".into(),
        target: "edge".into(),
        before: group(5, 1).into(),
        after: group(6, 2).into(),
        previous: made.hash,
        hash: [0; 32],
    };
    expected.hash = expected.digest();
    assert_eq!(*changed, expected);
    assert_eq!(
        (made.seq, made.previous, &*made.before),
        (1, [0; 32], "null")
    );
    let head = AuditHead {
        last: 2,
        hash: changed.hash,
        first: 1,
    };
    assert_eq!(*log.fleet.audit(), head);
}

/// The bytes that auditors compute hashes over are fixed.
#[test]
fn labels_and_forgotten_agents_leave_a_record() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let given = labels(1, &[("team", "core"), ("env", "x\"y")]);
    let applied = asked(&mut log, given.clone());
    let found = record(&applied).expect("a record");
    assert_eq!(
        (&*found.action, &*found.target),
        ("agent.label", &*uid(1).to_string())
    );
    assert_eq!(
        (&*found.before, &*found.after),
        ("[]", "[\"env=x\\\"y\",\"team=core\"]")
    );
    assert_eq!(record(&asked(&mut log, given)), None, "nothing changed");
    log.dispatch(Target::Agent(uid(1)));
    let forget = Proposal::ForgetAgent {
        agent: uid(1),
        fence: None,
    };
    let refused = asked(&mut log, forget.clone());
    assert!(matches!(refused.outcome, Outcome::Rejected(_)));
    assert_eq!(record(&refused), None);
    log.register(NODE);
    let found = record(&asked(&mut log, forget)).expect("a record");
    assert_eq!((&*found.action, &*found.after), ("agent.forget", "null"));
    let before = "{\"agent_type\":\"\",\"labels\":[\"env=x\\\"y\",\"team=core\"],\"name\":\"\",\"queued\":1}";
    assert_eq!(&*found.before, before);
}

#[test]
fn the_digest_is_what_it_was() {
    let record = AuditRecord {
        seq: 3,
        index: 14,
        at_ms: 1_700_000_000_000,
        deadline_ms: 159,
        actor: "ann".into(),
        from: "192.0.2.7".into(),
        request_id: "r-1".into(),
        action: "group.delete".into(),
        target: "édge".into(),
        before: "{\"priority\":5}".into(),
        after: "null".into(),
        previous: [7; 32],
        hash: [0; 32],
    };
    let digest = crate::ids::BodyHash(record.digest());
    assert_eq!(
        digest.to_string(),
        "0e6e44814a471e4469fdfd05bf9c9c49072feb4f2c75f4c449094206cf7a175c"
    );
}

#[test]
fn what_changes_nothing_and_what_is_refused_or_repeated_leaves_none() {
    let mut log = Log::default();
    assert!(record(&asked(&mut log, put(5))).is_some());
    assert_eq!(record(&asked(&mut log, put(5))), None);
    let missing = Proposal::DeleteGroup {
        name: "none".into(),
        revision: None,
    };
    let refused = asked(&mut log, missing);
    assert!(matches!(refused.outcome, Outcome::Rejected(_)));
    let order = put(6).asked("".into());
    let first = log.entry(stamped(0, Some(key("k", 1)), order.clone()));
    assert!(record(&first).is_some());
    let again = log.entry(stamped(0, Some(key("k", 1)), order.clone()));
    assert_eq!((again.outcome, again.puts.len()), (first.outcome, 0));
    let other = log.entry(stamped(0, Some(key("k", 2)), order));
    assert_eq!(other.outcome, Outcome::Rejected(Rejection::KeyReused));
    assert_eq!(log.fleet.audit().last, 2);
}

#[test]
fn the_system_leaves_none_and_operators_cannot_speak_for_it() {
    let mut log = Log::default();
    assert_eq!(record(&log.apply(put(5))), None);
    let refused = Outcome::Rejected(Rejection::NotForOperators);
    let found = Proposal::Found { lineage: 7 };
    assert_eq!(asked(&mut log, found).outcome, refused);
    let nested = put(6).asked("a".into());
    assert_eq!(asked(&mut log, nested).outcome, refused);
    let long: Arc<str> = "x".repeat(TEXT_BYTES_MAX + 1).into();
    let refused = log.outcome(put(6).asked(long));
    assert_eq!(
        refused,
        Outcome::Rejected(Rejection::TooLarge("address".into()))
    );
    assert_eq!(*log.fleet.audit(), AuditHead::default());
}

#[test]
fn no_record_holds_the_hash_of_a_token_or_the_data_of_a_message() {
    let mut log = Log::default();
    let token = Token {
        id: "t".into(),
        name: "ann".into(),
        role: Role::Operator,
        hash: [0xab; 32],
        created_ms: 1,
        expires_at_ms: Some(2),
    };
    let left = record(&asked(&mut log, Proposal::PutToken { token })).expect("a record");
    let after = r#"{"expires_at_ms":2,"name":"ann","role":"operator"}"#;
    assert_eq!((&*left.action, &*left.after), ("token.put", after));
    let message = Proposal::CreateDispatch(CreateDispatch {
        action: Action::CustomMessage {
            capability: "c".into(),
            message_type: "t".into(),
            data: b"password".to_vec(),
        },
        target: Target::Selector(selector("*")),
        requires: 0,
        expires_in_ms: 5_000,
    });
    let left = record(&asked(&mut log, message)).expect("a record");
    assert!(
        left.after
            .contains(r#""data":{"bytes":8,"sha256":"5e884898"#),
        "{}",
        left.after
    );
}

#[test]
fn the_oldest_record_leaves_when_there_are_too_many() {
    let head = |first| AuditHead {
        last: AUDIT_RECORDS_MAX,
        hash: [1; 32],
        first,
    };
    let fleet = |head| {
        let rows = [
            (RowKey::Meta, Row::Meta(Arc::default())),
            (RowKey::AuditHead, Row::AuditHead(Arc::new(head))),
        ];
        Fleet::load(rows.into_iter())
    };
    let mut log = Log {
        fleet: fleet(head(1)).expect("a fleet"),
        ..Log::default()
    };
    let applied = asked(&mut log, put(5));
    assert!(applied.puts.contains(&(RowKey::Audit(1), None)));
    assert_eq!(
        (log.fleet.audit().first, log.fleet.audit().last),
        (2, AUDIT_RECORDS_MAX + 1)
    );
    assert!(fleet(head(0)).is_err() && fleet(head(AUDIT_RECORDS_MAX + 2)).is_err());
}

#[test]
fn old_records_leave_in_steps_and_the_chain_goes_on() {
    let mut log = Log::default();
    let trim = |first, count| Proposal::TrimAudit { first, count };
    assert!(log.apply(trim(0, 9)).puts.is_empty());
    for priority in 0..300 {
        asked(&mut log, put(priority));
    }
    let first = |log: &Log| log.fleet.audit().first;
    let left = |from: u64, to: u64| -> Vec<_> {
        (from..to).map(|seq| (RowKey::Audit(seq), None)).collect()
    };
    assert_eq!(log.apply(trim(1, 2)).puts, left(1, 3));
    // somebody was faster
    assert!(log.apply(trim(1, 2)).puts.is_empty());
    assert_eq!(log.apply(trim(3, u16::MAX)).puts, left(3, 259));
    assert_eq!(log.apply(trim(259, 256)).puts, left(259, 301));
    assert_eq!(first(&log), 301);
    let head = log.fleet.audit().clone();
    let next = record(&asked(&mut log, put(1))).expect("a record");
    assert_eq!((next.seq, next.previous), (301, head.hash));
    assert_eq!(first(&log), 301);
}

#[test]
fn what_is_shown_unredacted_leaves_a_record_and_nothing_else() {
    let mut log = Log::with_node();
    log.agent(1, "prod");
    let read = |n| {
        Proposal::NoteRead(NoteRead {
            agent: uid(n),
            body: RawBody::EffectiveConfig,
            hash: Some(crate::ids::BodyHash([5; 32])),
        })
    };
    let left = record(&asked(&mut log, read(1))).expect("a record");
    assert_eq!(
        (&*left.action, &*left.target),
        ("agent.read_raw", &*uid(1).to_string())
    );
    let after = format!(
        "{{\"body\":\"effective-config\",\"hash\":\"{}\"}}",
        "05".repeat(32)
    );
    assert_eq!((&*left.before, &*left.after), ("null", &*after));
    let unknown = asked(&mut log, read(2)).outcome;
    assert_eq!(unknown, Outcome::Rejected(Rejection::UnknownAgent(uid(2))));
}
