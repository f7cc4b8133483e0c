//! What happened to agents, as tests tell it.

use std::collections::BTreeMap;

use ampora_raft::ids::InstanceUid;
use ampora_storage::history::query::{Item, Part, Query};

use super::Site;
use crate::api::backend::{History, HistoryError};

/// The past.
#[derive(Default)]
pub(super) struct Past {
    items: BTreeMap<InstanceUid, Vec<Item>>,
    fails: Option<HistoryError>,
}

impl Past {
    pub(super) fn answer(&self, query: &Query) -> Result<History, HistoryError> {
        if let Some(error) = &self.fails {
            return Err(error.clone());
        }
        let mut items = self.items.get(&query.agent).cloned().unwrap_or_default();
        items.retain(|item| query.wants(item));
        items.sort_by_key(|item| std::cmp::Reverse(item.position));
        Ok(History {
            page: Part::of(items, query.limit.into()),
            complete: true,
        })
    }
}

impl Site {
    /// What happened to an agent.
    pub(crate) fn happened(&self, uid: InstanceUid, items: Vec<Item>) {
        self.memory.state.lock().past.items.insert(uid, items);
    }

    /// The past cannot be told.
    pub(crate) fn past_fails(&self, error: HistoryError) {
        self.memory.state.lock().past.fails = Some(error);
    }
}
