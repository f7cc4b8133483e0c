//! Rows about who may do what, and what idempotency keys keep of it.

use std::sync::Arc;

use ampora_raft::outcome::{EnrollmentRefusal, OpOutcome, Outcome, Rejection};
use ampora_raft::records::*;
use ampora_raft::rows::{IdempotencyRow, Row};

use crate::proposals::{enrollment_token, token, uid};

fn outcomes() -> Vec<Outcome> {
    let refusals = [
        EnrollmentRefusal::Revoked,
        EnrollmentRefusal::Foreign,
        EnrollmentRefusal::Expired,
        EnrollmentRefusal::Spent,
        EnrollmentRefusal::TokenLimit,
        EnrollmentRefusal::AgentLimit,
    ];
    vec![
        Outcome::Token(Arc::new(token(Role::Operator))),
        Outcome::EnrollmentToken(Arc::new(enrollment_token())),
        Outcome::Batch(refusals.map(OpOutcome::NotEnrolled).to_vec()),
        Outcome::Rejected(Rejection::UnknownToken("id".into())),
        Outcome::Rejected(Rejection::TokenExists("id".into())),
        Outcome::Rejected(Rejection::LastAdminToken),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let answers = outcomes().into_iter().map(|outcome| {
        Row::Idempotency(Arc::new(IdempotencyRow {
            digest: [1; 32],
            outcome,
            index: 2,
            at_ms: 3,
        }))
    });
    let mut rows: Vec<_> = answers.collect();
    rows.push(Row::EnrollmentToken(Arc::new(enrollment_token())));
    rows.push(Row::Enrollment(Arc::new(Enrollment {
        agent: uid(1),
        token: "id".into(),
        labels: vec![("env".into(), "prod".into())],
        enrolled_ms: 7,
    })));
    rows.push(Row::TokenNote(Arc::new(TokenNote {
        token: "id".into(),
        created_by: "admin".into(),
        expires_wall_ms: Some(8),
    })));
    rows
}
