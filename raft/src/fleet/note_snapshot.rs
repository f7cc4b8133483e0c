//! `NoteSnapshot`: an operator takes a copy of everything along. It only leaves the audit record.

use super::Fleet;
use super::audit::Json;
use super::context::{Context, short};
use super::limits::KEY_BYTES_MAX;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{NoteSnapshot, SnapshotStep};

impl Fleet {
    pub(super) fn note_snapshot(
        &mut self,
        cx: &mut Context<'_>,
        given: &NoteSnapshot,
    ) -> Result<Outcome, Rejection> {
        short(&given.id, KEY_BYTES_MAX, "id of a snapshot")?;
        let action = match given.step {
            SnapshotStep::Take => "snapshot.take",
            SnapshotStep::Read => "snapshot.read",
        };
        let lineage = format!("{:032x}", self.meta.lineage);
        let of = Json::object([("lineage", Json::from(&*lineage))]);
        cx.audit(action, &given.id, Json::Null, of);
        Ok(Outcome::Done)
    }
}
