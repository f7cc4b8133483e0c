//! `SetLabels`: replaces the labels that operators gave to an agent. Its group may change with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Fleet;
use super::audit::Json;
use super::context::{Context, short};
use super::limits::{
    SERVER_LABEL_KEY_BYTES_MAX, SERVER_LABEL_VALUE_BYTES_MAX, SERVER_LABELS_BYTES_MAX,
    SERVER_LABELS_MAX,
};
use super::sizes::record_bytes;
use crate::effect::Effect;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::SetLabels;
use crate::records::AgentRecord;

impl Fleet {
    pub(super) fn set_labels(
        &mut self,
        cx: &mut Context<'_>,
        given: &SetLabels,
    ) -> Result<Outcome, Rejection> {
        let labels: Vec<_> = checked(given)?.into_iter().collect();
        let known = self.agents.get(&given.agent);
        let known = known.ok_or(Rejection::UnknownAgent(given.agent))?;
        if known.server_labels == labels {
            return Ok(Outcome::Done);
        }
        let mut agent = (**known).clone();
        agent.server_labels = labels;
        // only a record whose labels were reported to a program that left no room for these
        if record_bytes(&agent) > AgentRecord::BYTES_MAX {
            return Err(Rejection::TooLarge("record".into()));
        }
        cx.audit(
            "agent.label",
            &given.agent,
            Json::labels(&known.server_labels),
            Json::labels(&agent.server_labels),
        );
        agent.last_change_ms = cx.wall_ms;
        self.put_agent(cx, agent);
        cx.effect(Effect::AgentChanged {
            uid: given.agent,
            placement: true,
        });
        Ok(Outcome::Done)
    }
}

/// The labels sorted by key, each key once.
fn checked(given: &SetLabels) -> Result<BTreeMap<Arc<str>, Arc<str>>, Rejection> {
    if given.labels.len() > SERVER_LABELS_MAX {
        return Err(Rejection::TooLarge("number of labels".into()));
    }
    let mut bytes = 0;
    for (key, value) in &given.labels {
        short(key, SERVER_LABEL_KEY_BYTES_MAX, "key of a label")?;
        short(value, SERVER_LABEL_VALUE_BYTES_MAX, "value of a label")?;
        bytes += key.len() + value.len();
    }
    if bytes > SERVER_LABELS_BYTES_MAX {
        return Err(Rejection::TooLarge("labels".into()));
    }
    Ok(given.labels.iter().cloned().collect())
}
