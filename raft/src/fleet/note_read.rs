//! `NoteRead`: an operator is about to see what an agent reported, unredacted. It only leaves the audit record.

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{NoteRead, RawBody};

impl Fleet {
    pub(super) fn note_read(
        &mut self,
        cx: &mut Context<'_>,
        given: &NoteRead,
    ) -> Result<Outcome, Rejection> {
        if self.agent(given.agent).is_none() {
            return Err(Rejection::UnknownAgent(given.agent));
        }
        let body = match given.body {
            RawBody::EffectiveConfig => "effective-config",
            RawBody::Health => "health",
            RawBody::Components => "components",
        };
        let shown = Json::object([
            ("body", Json::from(body)),
            ("hash", Json::of(given.hash.map(Json::text))),
        ]);
        cx.audit("agent.read_raw", &given.agent, Json::Null, shown);
        Ok(Outcome::Done)
    }
}
