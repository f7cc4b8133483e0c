//! Rows that are not in memory, as a test damages them.

use std::sync::Arc;

use ampora_raft::records::AuditRecord;
use ampora_raft::rows::{Row, RowKey};

use super::Site;

impl Site {
    /// Changes a stored audit record, or takes it away.
    pub(crate) fn tamper(&self, seq: u64, change: impl FnOnce(AuditRecord) -> Option<AuditRecord>) {
        let mut state = self.memory.state.lock();
        let key = RowKey::Audit(seq);
        let Some(Row::Audit(record)) = state.beside.remove(&key) else {
            panic!("no record {seq}");
        };
        if let Some(changed) = change((*record).clone()) {
            state.beside.insert(key, Row::Audit(Arc::new(changed)));
        }
    }

    /// Takes away what is not in memory.
    pub(crate) fn forget_rows_beside_memory(&self) {
        self.memory.state.lock().beside.clear();
    }
}
