//! Live numbers of groups: one pass over all agents, in strides, over one copy of the fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::AgentRecord;

use super::WOULD_CHANGE_MAX;
use crate::api::agents::{STRIDE, is_confirmed, standing_of};
use crate::api::backend::View;

/// How far the members of a group are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Members.
    pub(super) matched: usize,
    /// Members that do not run what they should.
    pub(super) affected: usize,
    /// Members that run it by their own word.
    pub(super) confirmed: usize,
    /// Members on which it failed.
    pub(super) failed: usize,
}

/// The numbers of every group that has members.
pub(super) async fn of_groups(view: &View) -> BTreeMap<Arc<str>, Numbers> {
    let mut groups: BTreeMap<Arc<str>, Numbers> = BTreeMap::new();
    let mut walk = Walk::default();
    while let Some(agents) = walk.next(&view.fleet).await {
        for record in agents {
            let desired = view.fleet.desired(&record);
            let Some(group) = desired.group.as_ref() else {
                continue;
            };
            let numbers = groups.entry(Arc::clone(&group.name)).or_default();
            let standing = standing_of(&record, &desired);
            let wants = desired.version.as_ref();
            numbers.matched += 1;
            numbers.affected += usize::from(standing.drifted);
            numbers.failed += usize::from(standing.failed);
            let confirmed = wants.is_some_and(|version| is_confirmed(&record, version.hash));
            numbers.confirmed += usize::from(confirmed);
        }
    }
    groups
}

/// What a change of the fleet does to agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Agents that would be offered something else than before and do not run it already.
    pub(super) agents: usize,
    /// The first of them, in uid order.
    pub(super) first: Vec<InstanceUid>,
}

/// Who would change between two copies of the fleet.
pub(super) async fn change(before: &Fleet, after: &Fleet) -> Change {
    let mut change = Change::default();
    let mut walk = Walk::default();
    while let Some(agents) = walk.next(after).await {
        for record in agents {
            let Some(wants) = after.desired(&record).version else {
                continue;
            };
            let wanted = before.desired(&record).version;
            let is_same = wanted.is_some_and(|wanted| wanted.hash == wants.hash);
            if is_same || is_confirmed(&record, wants.hash) {
                continue;
            }
            change.agents += 1;
            if change.first.len() < WOULD_CHANGE_MAX {
                change.first.push(record.uid);
            }
        }
    }
    change
}

/// Strides over all agents; between them other tasks of the runtime get their turn.
#[derive(Default)]
struct Walk {
    after: Option<InstanceUid>,
    done: bool,
}

impl Walk {
    async fn next(&mut self, fleet: &Fleet) -> Option<Vec<Arc<AgentRecord>>> {
        if self.done {
            return None;
        }
        if self.after.is_some() {
            tokio::task::yield_now().await;
        }
        let stride: Vec<Arc<AgentRecord>> =
            fleet.agents(self.after).take(STRIDE).cloned().collect();
        self.after = stride.last().map(|record| record.uid);
        self.done = stride.len() < STRIDE;
        Some(stride)
    }
}
