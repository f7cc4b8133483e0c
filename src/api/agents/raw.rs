//! Reported bodies without redaction: for admins alone, and only after the log has the record of who asks.

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{NoteRead, Proposal};
use ampora_raft::records::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::auth;
use crate::api::backend::ReportedFile;
use crate::api::extract::Reader;
use crate::api::problem::Problem;
use crate::api::reject::refused;
use crate::api::{Api, redact};

/// The query of reported bodies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BodyQuery {
    raw: Option<bool>,
}

/// Whether a body is shown as it was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw(pub(super) bool);

impl BodyQuery {
    /// What is asked for, if this reader may have it.
    ///
    /// # Errors
    /// 403 for raw bodies and a role below admin.
    pub(super) fn wants(&self, reader: &Reader) -> Result<Raw, Problem> {
        let raw = self.raw == Some(true);
        if raw {
            auth::authorise(&reader.caller, Role::Admin)?;
        }
        Ok(Raw(raw))
    }
}

impl Raw {
    /// Leaves the audit record before anything is shown; without a quorum nothing is.
    ///
    /// # Errors
    /// The log did not take the record.
    pub(super) async fn note(
        self,
        api: &Api,
        reader: &Reader,
        read: NoteRead,
    ) -> Result<(), Problem> {
        if !self.0 {
            return Ok(());
        }
        let committed = reader.note(api, Proposal::NoteRead(read)).await?;
        if committed.outcome == Outcome::Done {
            Ok(())
        } else {
            Err(refused(committed.outcome))
        }
    }

    /// A file of an effective configuration; bytes that are not text are given in base64, raw, and as replacement
    /// characters otherwise.
    pub(super) fn file(self, file: &ReportedFile) -> Value {
        let mut shown = json!({"name": file.name, "content_type": file.content_type});
        match (self.0, std::str::from_utf8(&file.body)) {
            (false, _) => shown["body"] = json!(redact::body(&file.body)),
            (true, Ok(text)) => shown["body"] = json!(text),
            (true, Err(_)) => shown["body_base64"] = json!(STANDARD.encode(&file.body)),
        }
        shown
    }

    /// Hides what must be hidden.
    pub(super) fn json(self, value: &mut Value) {
        if !self.0 {
            redact::json(value);
        }
    }
}
