//! What happened to an agent, and how history shows it: JSON with the names of `GET /agents/{uid}`, without secrets,
//! within the bounds of history whatever the agent sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_proto::capabilities;
use ampora_raft::ids::{BodyHash, NodeId};
use ampora_raft::records::{ConfigStatus, Description, ReleaseReason, Transport};
use ampora_storage::history::event::{
    DOCUMENT_BYTES_MAX, Document, EVENT_BYTES_MAX, Event, EventKind,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::queue::Note;
use crate::agents::reported;
use crate::api::{redact, status_name, transport_name};

/// What happened. Bodies are protobuf as the agent sent them, shared with whoever writes them to files.
#[derive(Clone, Debug)]
pub enum Said {
    /// This node took the session.
    Connected {
        /// Over which transport it came.
        transport: Transport,
    },
    /// The session ended.
    Disconnected(Ended),
    /// `ComponentHealth`.
    Health(Bytes),
    /// What it says it is, and can do.
    Description {
        /// As selectors see it.
        description: Arc<Description>,
        /// The bits.
        capabilities: u64,
    },
    /// What became of an offer.
    ConfigStatus {
        /// The hash that it concerns; empty when there is none.
        hash: Box<[u8]>,
        /// The word.
        status: ConfigStatus,
        /// Its text, not cut.
        error: Box<str>,
    },
    /// `EffectiveConfig`.
    EffectiveConfig {
        /// SHA-256 of the body.
        hash: BodyHash,
        /// The body.
        body: Bytes,
    },
    /// `PackageStatuses`.
    Packages(Bytes),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The agent said goodbye.
    Goodbye,
    /// The transport is gone, or polls stopped.
    Lost,
    /// The node stopped.
    Drained,
    /// Another node took it.
    Moved,
    /// An operator had the agent forgotten.
    Forgotten,
    /// This node died, and the agent has not come back.
    OwnerDied(NodeId),
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Lost => "lost",
            Self::Drained => "drained",
            Self::Moved => "moved",
            Self::Forgotten => "forgotten",
            Self::OwnerDied(_) => "owner_died",
        }
    }

    /// The end of a session that its owner released.
    pub fn released(reason: ReleaseReason, owner: NodeId) -> Self {
        match reason {
            ReleaseReason::Goodbye => Self::Goodbye,
            ReleaseReason::Lost => Self::Lost,
            ReleaseReason::Drained => Self::Drained,
            ReleaseReason::OwnerDied => Self::OwnerDied(owner),
        }
    }
}

impl Said {
    /// What kind of event it is.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Connected { .. } => EventKind::Connected,
            Self::Disconnected(_) => EventKind::Disconnected,
            Self::Health(_) => EventKind::Health,
            Self::Description { .. } => EventKind::Description,
            Self::ConfigStatus { .. } => EventKind::ConfigStatus,
            Self::EffectiveConfig { .. } => EventKind::EffectiveConfig,
            Self::Packages(_) => EventKind::Packages,
        }
    }

    /// About what it holds in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Connected { .. } | Self::Disconnected(_) => 0,
            Self::Description { description, .. } => {
                let labels = description.labels.iter();
                let bytes = labels.map(|label| label.key.len() + label.value.len());
                bytes.sum::<usize>() + description.name.len()
            }
            Self::ConfigStatus { hash, error, .. } => hash.len() + error.len(),
            Self::Health(body) | Self::Packages(body) | Self::EffectiveConfig { body, .. } => {
                body.len()
            }
        }
    }
}

/// A note as an event, and the document that belongs to it.
pub fn event(note: &Note) -> (Event, Option<Document>) {
    let mut fields = fields(note);
    let mut document = None;
    if let Said::EffectiveConfig { hash, body } = &note.said {
        document = self::document(*hash, body);
        if document.is_none() {
            fields.insert("document".to_owned(), "too_large".into());
        }
    }
    let event = Event {
        at_ms: note.at_ms,
        agent: note.agent,
        fence: note.fence,
        kind: note.said.kind(),
        body: bounded(fields).into(),
        document: document.as_ref().map(|document| document.hash),
    };
    (event, document)
}

fn fields(note: &Note) -> Map<String, Value> {
    let mut shown = match &note.said {
        Said::Connected { transport } => json!({
            "transport": transport_name(*transport),
            "fence": note.fence.0,
        }),
        Said::Disconnected(ended) => {
            let mut shown = json!({ "reason": ended.word(), "fence": note.fence.0 });
            if let Ended::OwnerDied(owner) = ended {
                shown["owner_node"] = owner.0.into();
            }
            shown
        }
        Said::Health(body) => {
            let mut tree = reported::health(body.to_vec()).unwrap_or_default();
            redact::json(&mut tree);
            tree
        }
        Said::Description {
            description,
            capabilities,
        } => self::description(description, *capabilities),
        Said::ConfigStatus {
            hash,
            status,
            error,
        } => json!({
            "hash": hex::encode(hash),
            "status": status_name(*status),
            "error": redact::text(error),
        }),
        Said::EffectiveConfig { hash, body } => effective(*hash, body),
        Said::Packages(body) => {
            let mut list = reported::packages(body.to_vec()).unwrap_or_default();
            redact::json(&mut list);
            list
        }
    };
    shown
        .as_object_mut()
        .map(std::mem::take)
        .unwrap_or_default()
}

fn description(description: &Description, capabilities: u64) -> Value {
    // as REST shows them, and without what looks like a secret even so: history is kept for long
    let labels: BTreeMap<_, _> = description
        .labels
        .iter()
        .map(|label| (&*label.key, redact::text(&label.value)))
        .collect();
    json!({
        "name": description.name,
        "agent_type": description.agent_type,
        "agent_version": description.agent_version,
        "labels": labels,
        "labels_truncated": description.truncated,
        "capabilities": capabilities::names(capabilities),
    })
}

fn effective(hash: BodyHash, body: &Bytes) -> Value {
    let files = reported::files(body.to_vec()).unwrap_or_default();
    let files: Vec<_> = files
        .into_iter()
        .map(|(name, file)| {
            json!({
                "name": name,
                "content_type": file.content_type,
                "bytes": file.body.len(),
            })
        })
        .collect();
    json!({ "hash": hash.to_string(), "files": files })
}

/// What `GET /agents/{uid}/effective-config` answers; `None` when it is too large for history.
fn document(hash: BodyHash, body: &Bytes) -> Option<Document> {
    // nothing that is larger as it came gets smaller by much, and reading it would take long
    if body.len() > DOCUMENT_BYTES_MAX {
        return None;
    }
    let files = reported::files(body.to_vec()).ok()?;
    let files: Vec<_> = files
        .into_iter()
        .map(|(name, file)| {
            json!({
                "name": name,
                "content_type": file.content_type,
                "body": redact::body(&file.body),
            })
        })
        .collect();
    let shown = json!({ "hash": hash.to_string(), "files": files, "redacted": true }).to_string();
    (shown.len() <= DOCUMENT_BYTES_MAX).then(|| Document {
        hash,
        body: shown.into(),
    })
}

/// The JSON of an event; what is too large goes without its largest parts.
fn bounded(mut fields: Map<String, Value>) -> String {
    loop {
        let text = Value::Object(std::mem::take(&mut fields));
        let shown = text.to_string();
        if shown.len() <= EVENT_BYTES_MAX {
            return shown;
        }
        let Value::Object(parts) = text else {
            return shown;
        };
        fields = parts;
        let sizes = fields.iter();
        let largest = sizes.max_by_key(|(_, part)| part.to_string().len());
        let Some(largest) = largest.map(|(name, _)| name.clone()) else {
            return "{}".to_owned();
        };
        fields.remove(&largest);
        fields.insert("truncated".to_owned(), true.into());
    }
}

#[cfg(test)]
mod tests;
