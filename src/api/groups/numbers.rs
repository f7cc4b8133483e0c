//! Live numbers of groups: one pass over all agents, in strides, over one copy of the fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::{Desired, Fleet};
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{AgentRecord, Group, VersionRef};

use crate::agents::confirmed::{accepts, is_confirmed};
use crate::api::agents::STRIDE;
use crate::api::backend::View;

/// Uids in the answer of a dry run; the number is exact beyond it.
const WOULD_CHANGE_MAX: usize = 1000;

/// How far the members of a group are with what it is to run in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Members.
    pub(super) matched: usize,
    /// Members that take configuration and do not run it.
    pub(super) affected: usize,
    /// Members that run it by their own word.
    pub(super) confirmed: usize,
    /// Members on which the assigned version failed.
    pub(super) failed: usize,
}

/// What a group runs when its change has gone through; what is quarantined does not go through.
pub(super) fn eventual<'a>(fleet: &Fleet, group: &'a Group) -> Option<&'a VersionRef> {
    let assignment = group.assignment.as_ref()?;
    let next = assignment.next.as_ref();
    next.filter(|_| !fleet.is_held(group))
        .or(assignment.settled.as_ref())
}

/// Whether an agent takes configuration and does not run what it is to run in the end.
pub(super) fn falls_short(fleet: &Fleet, desired: &Desired, record: &AgentRecord) -> bool {
    let group = desired.group.as_deref();
    let version = group.and_then(|group| eventual(fleet, group));
    version.is_some_and(|version| accepts(record) && !is_confirmed(record, version.hash))
}

/// The numbers of every group that has members.
pub(super) async fn of_groups(view: &View) -> BTreeMap<Arc<str>, Numbers> {
    let mut groups: BTreeMap<Arc<str>, Numbers> = BTreeMap::new();
    let mut walk = Walk::default();
    while let Some(agents) = walk.next(&view.fleet).await {
        for record in agents {
            let desired = view.fleet.desired(&record);
            if let Some(group) = desired.group.as_ref() {
                let numbers = groups.entry(Arc::clone(&group.name)).or_default();
                numbers.add(&view.fleet, group, &desired, &record);
            }
        }
    }
    groups
}

/// The numbers of one group: looks at those alone whom its selector finds.
pub(super) async fn of_group(view: &View, group: &Group) -> Numbers {
    let search = view.fleet.search(Some(&group.selector));
    let (mut numbers, mut after) = (Numbers::default(), None);
    loop {
        let stride = search.stride(after, STRIDE);
        for record in stride.agents {
            let desired = view.fleet.desired(record);
            if desired
                .group
                .as_ref()
                .is_some_and(|found| found.name == group.name)
            {
                numbers.add(&view.fleet, group, &desired, record);
            }
        }
        match stride.next {
            Some(next) => after = Some(next),
            None => return numbers,
        }
        tokio::task::yield_now().await;
    }
}

impl Numbers {
    fn add(&mut self, fleet: &Fleet, group: &Group, desired: &Desired, record: &AgentRecord) {
        let is_affected = falls_short(fleet, desired, record);
        let version = eventual(fleet, group);
        let is_done = version.is_some_and(|version| is_confirmed(record, version.hash));
        self.matched += 1;
        self.affected += usize::from(is_affected);
        self.confirmed += usize::from(is_done);
        self.failed += usize::from(has_failed(fleet, group, record));
    }
}

/// Whether the assigned version failed on the agent, or it turned unhealthy with it.
fn has_failed(fleet: &Fleet, group: &Group, record: &AgentRecord) -> bool {
    let assignment = group.assignment.as_ref();
    let assigned = assignment.and_then(|given| given.next.as_ref().or(given.settled.as_ref()));
    let rollout = fleet.rollout(&group.name);
    let trial = rollout.and_then(|rollout| rollout.trial.as_ref());
    assigned.is_some_and(|version| record.config.failed_hash == Some(version.hash))
        || trial.is_some_and(|trial| trial.failed.contains(&record.uid))
}

/// What a change of the fleet does to agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Agents that would end with something else than before and do not run it already.
    pub(crate) agents: usize,
    /// The first of them, in uid order.
    pub(crate) first: Vec<InstanceUid>,
}

/// Who would change between two copies of the fleet, in the end.
pub(crate) async fn change(before: &Fleet, after: &Fleet) -> Change {
    let mut change = Change::default();
    let mut walk = Walk::default();
    while let Some(agents) = walk.next(after).await {
        for record in agents {
            if !changes(before, after, &record) {
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

/// Whether an agent would end with something else than before and does not run it already. What it wants at
/// this moment counts too: a way back changes agents that a change has reached.
pub(crate) fn changes(before: &Fleet, after: &Fleet, record: &AgentRecord) -> bool {
    // its labels may have changed too
    let was = before.agent(record.uid);
    let was = was.map_or_else(Desired::default, |record| before.desired(record));
    let is = after.desired(record);
    let ends = |fleet: &Fleet, desired: &Desired| {
        let group = desired.group.as_deref();
        group
            .and_then(|group| eventual(fleet, group))
            .map(|version| version.hash)
    };
    let Some(end) = ends(after, &is) else {
        return false;
    };
    let wants = |desired: &Desired| desired.version.as_ref().map(|version| version.hash);
    let is_same = ends(before, &was) == Some(end);
    let is_turned = wants(&was).is_some_and(|hash| hash != end) && wants(&is) == Some(end);
    (!is_same || is_turned) && !is_confirmed(record, end)
}

/// Strides over all agents; between them other tasks of the runtime get their turn.
#[derive(Default)]
pub(super) struct Walk {
    after: Option<InstanceUid>,
    done: bool,
}

impl Walk {
    pub(super) async fn next(&mut self, fleet: &Fleet) -> Option<Vec<Arc<AgentRecord>>> {
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
