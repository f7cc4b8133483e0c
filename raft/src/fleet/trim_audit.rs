//! `TrimAudit`: the oldest audit records leave, in steps. The chain goes on from the head as it was.

use super::Fleet;
use super::context::Context;
use super::limits::AUDIT_TRIM_MAX;
use crate::outcome::Outcome;
use crate::rows::RowKey;

impl Fleet {
    /// Drops `count` records from `first` on, unless somebody was faster.
    pub(super) fn trim_audit(&mut self, cx: &mut Context<'_>, first: u64, count: u16) -> Outcome {
        let mut head = (*self.audit).clone();
        if head.last == 0 || head.first != first {
            return Outcome::Done;
        }
        let kept = (head.last + 1).saturating_sub(first);
        let count = u64::from(count.min(AUDIT_TRIM_MAX)).min(kept);
        if count == 0 {
            return Outcome::Done;
        }
        for seq in first..first + count {
            cx.put(RowKey::Audit(seq), None);
        }
        head.first += count;
        self.put_audit_head(cx, head);
        Outcome::Done
    }
}
