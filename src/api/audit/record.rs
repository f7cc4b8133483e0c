//! A record as REST shows it: everything that its hash is made of, so that whoever exported it can compute it.

use ampora_raft::records::AuditRecord;
use serde_json::{Value, json};

use super::super::timestamp::rfc3339;

pub(super) fn record_json(record: &AuditRecord) -> Value {
    json!({
        "seq": record.seq,
        "index": record.index,
        "at": rfc3339(record.at_ms),
        "at_ms": record.at_ms,
        "deadline_ms": record.deadline_ms,
        "actor": record.actor,
        "from": record.from,
        "request_id": record.request_id,
        "action": record.action,
        "target": record.target,
        "before": state(&record.before),
        "after": state(&record.after),
        "previous": hex::encode(record.previous),
        "hash": hex::encode(record.hash),
    })
}

/// Canonical JSON as JSON; a text that is none was damaged, and stays as it is.
fn state(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// In place of a record that cannot be read.
pub(super) fn damaged_json(seq: u64, why: &str) -> Value {
    json!({ "seq": seq, "damaged": why })
}
