//! Reported bodies without redaction: for admins alone, and only after the log has the record of who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{NoteRead, Proposal};
use ampora_raft::records::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth;
use crate::api::backend::ReportedFile;
use crate::api::extract::Reader;
use crate::api::problem::Problem;
use crate::api::reject::refused;
use crate::api::{Api, redact};

/// The query of reported bodies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct BodyQuery {
    /// Without redaction: for admins alone, and only after the log has the record of who asks.
    raw: Option<bool>,
}

/// What an agent says that it runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EffectiveConfig {
    pub(super) files: Vec<EffectiveFile>,
    /// SHA-256 of what was reported.
    pub(super) hash: String,
    pub(super) redacted: bool,
}

/// One file of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EffectiveFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    /// In place of `body` where raw bytes are not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body_base64: Option<String>,
    content_type: Arc<str>,
    name: Arc<str>,
}

/// The health of an agent, or of a component of it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct HealthTree {
    /// What the agent adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) attributes: Option<BTreeMap<String, Value>>,
    #[schema(no_recursion)]
    pub(super) components: BTreeMap<String, HealthTree>,
    pub(super) healthy: bool,
    pub(super) last_error: Arc<str>,
    pub(super) start_time: Option<String>,
    pub(super) status: Arc<str>,
    pub(super) status_time: Option<String>,
}

/// The components of an agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Components {
    /// As reported; null when the agent gave the hash alone.
    pub(super) components: Value,
    /// In hexadecimal, as the agent made it.
    pub(super) hash: Option<String>,
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
    pub(super) fn file(self, file: &ReportedFile) -> EffectiveFile {
        let (body, body_base64) = match (self.0, std::str::from_utf8(&file.body)) {
            (false, _) => (Some(redact::body(&file.body)), None),
            (true, Ok(text)) => (Some(text.to_owned()), None),
            (true, Err(_)) => (None, Some(STANDARD.encode(&file.body))),
        };
        EffectiveFile {
            body,
            body_base64,
            content_type: file.content_type.clone(),
            name: file.name.clone(),
        }
    }

    /// Hides what must be hidden.
    pub(super) fn json(self, value: &mut Value) {
        if !self.0 {
            redact::json(value);
        }
    }
}
