//! What happened to agents, as tests tell it.

use std::collections::BTreeMap;

use ampora_raft::ids::InstanceUid;
use ampora_storage::history::event::EventKind;
use ampora_storage::history::query::{AgentThen, Item, Part, Query};

use super::Site;
use crate::api::backend::{FleetThen, History, HistoryError};

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

    pub(super) fn fleet_at(
        &self,
        at_ms: u64,
        after: Option<InstanceUid>,
        limit: u16,
    ) -> Result<FleetThen, HistoryError> {
        if let Some(error) = &self.fails {
            return Err(error.clone());
        }
        let behind = self.items.iter();
        let behind = behind.filter(|(uid, _)| after.is_none_or(|after| **uid > after));
        let agents = behind.map(|(uid, items)| {
            let mut newest: BTreeMap<EventKind, Item> = BTreeMap::new();
            for item in items.iter().filter(|item| item.position.at_ms <= at_ms) {
                let is_newer = newest
                    .get(&item.kind)
                    .is_none_or(|held| (held.fence, held.position) < (item.fence, item.position));
                if is_newer {
                    newest.insert(item.kind, item.clone());
                }
            }
            AgentThen {
                agent: *uid,
                items: {
                    let mut items: Vec<Item> = newest.into_values().collect();
                    items.sort_by_key(|item| (item.fence, item.position));
                    items
                },
            }
        });
        let known = agents.filter(|then| !then.items.is_empty());
        let mut agents: Vec<AgentThen> = known.take(usize::from(limit) + 1).collect();
        let is_more = agents.len() > limit.into();
        agents.truncate(limit.into());
        let last = agents.last().filter(|_| is_more);
        Ok(FleetThen {
            next: last.map(|then| then.agent),
            agents,
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
