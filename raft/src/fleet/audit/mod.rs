//! The audit chain as `apply` writes it: what an operator changed becomes a record in the same entry.
//!
//! A proposal file that is an operator's names its change once, after everything was checked:
//!
//! ```text
//! cx.audit("group.put", &group.name, Json::of(before), Json::of(after));
//! ```
//!
//! What changes nothing names nothing. Shapes of records are in `shapes`; secrets and their hashes are in none
//! of them, bodies and long texts are there by hash.

mod json;
mod shapes;

use std::sync::Arc;

pub use json::Json;

use super::Fleet;
use super::context::Context;
use super::limits::AUDIT_RECORDS_MAX;
use crate::records::{AuditHead, AuditRecord};
use crate::rows::{Row, RowKey};

/// What a proposal file says of its change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) action: &'static str,
    pub(super) target: Arc<str>,
    pub(super) before: Json,
    pub(super) after: Json,
}

impl Fleet {
    /// The head of the audit chain.
    pub fn audit(&self) -> &AuditHead {
        &self.audit
    }

    /// Appends the record of what the entry changed, if it named a change; the oldest leaves when there are too
    /// many.
    pub(super) fn record(&mut self, cx: &mut Context<'_>) {
        let Some((from, change)) = cx.take_change() else {
            return;
        };
        let mut head = (*self.audit).clone();
        head.last = head.last.saturating_add(1);
        let mut record = AuditRecord {
            seq: head.last,
            index: cx.index,
            at_ms: cx.wall_ms,
            deadline_ms: cx.deadline_ms,
            actor: cx.recorded_actor(),
            from: Arc::clone(from),
            request_id: Arc::clone(cx.request_id),
            action: change.action.into(),
            target: change.target,
            before: change.before.canonical().into(),
            after: change.after.canonical().into(),
            previous: head.hash,
            hash: [0; 32],
        };
        record.hash = record.digest();
        head.hash = record.hash;
        head.first = head.first.max(1);
        cx.put(RowKey::Audit(record.seq), Some(Row::Audit(record.into())));
        if head.last - head.first >= AUDIT_RECORDS_MAX {
            cx.put(RowKey::Audit(head.first), None);
            head.first += 1;
        }
        self.put_audit_head(cx, head);
    }
}
