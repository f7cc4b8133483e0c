//! A record as REST shows it: everything that its hash is made of, so that whoever exported it can compute it.

use std::sync::Arc;

use ampora_raft::records::AuditRecord;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::timestamp::rfc3339;

/// One change, or what is known of a record that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AuditItem)]
pub(super) enum Item {
    Record(Box<Record>),
    Damaged(Damaged),
}

/// One change that somebody made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub(super) struct Record {
    /// What was done.
    action: Arc<str>,
    /// The name of the token.
    actor: Arc<str>,
    /// The state after it; bodies as hashes.
    after: Value,
    /// Wall time, for people.
    at: String,
    at_ms: u64,
    /// The state before it.
    before: Value,
    /// Deadline time of the fleet, in milliseconds.
    deadline_ms: u64,
    /// The address of the client.
    from: Arc<str>,
    /// SHA-256 of everything else here.
    hash: String,
    /// The entry of the log that made the change.
    index: u64,
    /// The hash of the record before.
    previous: String,
    request_id: Arc<str>,
    /// Numbers without gaps, from 1.
    seq: u64,
    /// What it was done to.
    target: Arc<str>,
}

/// In place of a record that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditDamaged)]
pub(super) struct Damaged {
    /// What is wrong with it.
    damaged: String,
    seq: u64,
}

impl Item {
    pub(super) fn of(record: &AuditRecord) -> Item {
        Item::Record(Box::new(Record {
            action: record.action.clone(),
            actor: record.actor.clone(),
            after: state(&record.after),
            at: rfc3339(record.at_ms),
            at_ms: record.at_ms,
            before: state(&record.before),
            deadline_ms: record.deadline_ms,
            from: record.from.clone(),
            hash: hex::encode(record.hash),
            index: record.index,
            previous: hex::encode(record.previous),
            request_id: record.request_id.clone(),
            seq: record.seq,
            target: record.target.clone(),
        }))
    }

    pub(super) fn damaged(seq: u64, why: &str) -> Item {
        let damaged = why.to_owned();
        Item::Damaged(Damaged { damaged, seq })
    }
}

/// Canonical JSON as JSON; a text that is none was damaged, and stays as it is.
fn state(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
