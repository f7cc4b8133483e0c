//! Which changes of deciding fields are due to be proposed.
//!
//! Newest wins, the first at once, then one for each agent every five seconds, so that a crash-looping
//! fleet cannot fill the log. Pure: time and the
//! record that the fleet holds are arguments.

use std::collections::{BTreeMap, BTreeSet};

use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{AgentRecord, AgentUpdate, ConfigReport, ConfigStatus};

/// An agent's deciding fields are proposed at most this often (design §4).
const DECIDING_INTERVAL_MS: u64 = 5_000;

/// Texts alone are proposed at most this often (design §4).
const TEXT_INTERVAL_MS: u64 = 60_000;

/// One pending update for each agent at most: bounded by the agents of this node.
#[derive(Debug, Default)]
pub struct Reports {
    pending: BTreeMap<InstanceUid, Pending>,
    due: BTreeSet<(u64, InstanceUid)>,
    proposed: BTreeMap<InstanceUid, Proposed>,
    /// Agents whose claim is on its way: what they said waits until it is known what came of it.
    held: BTreeSet<InstanceUid>,
    /// How many updates of an agent were taken and have not landed: the fleet's record does not show them yet.
    in_flight: BTreeMap<InstanceUid, u32>,
}

#[derive(Debug)]
struct Pending {
    /// A failure that a later status would hide: the fleet remembers it with its text.
    failed: Option<ConfigReport>,
    update: AgentUpdate,
    due_ms: u64,
}

/// What was proposed of an agent last.
#[derive(Clone, Copy, Debug)]
struct Proposed {
    at_ms: u64,
    /// The healthy bit, once one was proposed.
    healthy: Option<bool>,
}

/// How soon an update has to reach the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// What the fleet has already.
    Nothing,
    /// Texts, times and bodies that decide nothing.
    Text,
    /// A deciding field.
    Deciding,
    /// Configuration status: an operator waits for it, and the next offer depends on it.
    Now,
}

impl Reports {
    /// Folds `update` into what is pending for the agent. `record` is what the fleet holds, without what is
    /// in flight for this agent.
    pub fn add(
        &mut self,
        uid: InstanceUid,
        update: AgentUpdate,
        record: Option<&AgentRecord>,
        now_ms: u64,
    ) {
        let (failed, update) = match self.pending.remove(&uid) {
            Some(earlier) => {
                self.due.remove(&(earlier.due_ms, uid));
                let hidden = hidden_failure(&earlier.update, &update);
                (hidden.or(earlier.failed), merged(earlier.update, update))
            }
            None => (None, update),
        };
        let last = self.proposed.get(&uid);
        let last_ms = last.map(|last| last.at_ms);
        let urgency = if failed.is_some() || turns_unhealthy(&update, record, last) {
            Urgency::Now
        } else if self.in_flight.contains_key(&uid) {
            // whatever it is compared with is about to change
            urgency(&update, record).max(urgency(&update, None))
        } else {
            urgency(&update, record)
        };
        let due_ms = match (urgency, last_ms) {
            (Urgency::Nothing, _) => return,
            (Urgency::Now, _) | (_, None) => now_ms,
            (Urgency::Deciding, Some(last)) => now_ms.max(last + DECIDING_INTERVAL_MS),
            (Urgency::Text, Some(last)) => now_ms.max(last + TEXT_INTERVAL_MS),
        };
        if !self.held.contains(&uid) {
            self.due.insert((due_ms, uid));
        }
        let pending = Pending {
            failed,
            update,
            due_ms,
        };
        self.pending.insert(uid, pending);
    }

    /// Takes the update of the agent that has been due longest at `now_ms`.
    pub fn next_due(&mut self, now_ms: u64) -> Option<(InstanceUid, AgentUpdate)> {
        let (due_ms, uid) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        let update = self.take(uid)?;
        let health = update.health.as_ref().map(|health| health.healthy);
        let before = self.proposed.get(&uid).and_then(|last| last.healthy);
        let proposed = Proposed {
            at_ms: now_ms,
            healthy: health.or(before),
        };
        self.proposed.insert(uid, proposed);
        Some((uid, update))
    }

    /// One update that was taken is in the fleet now.
    pub fn landed(&mut self, uid: InstanceUid) {
        if let Some(count) = self.in_flight.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&uid);
            }
        }
    }

    /// Takes the next of what is pending for one agent, due or not: before its session is released.
    pub fn take(&mut self, uid: InstanceUid) -> Option<AgentUpdate> {
        let failed = self.pending.get_mut(&uid)?.failed.take();
        *self.in_flight.entry(uid).or_default() += 1;
        if failed.is_some() {
            return Some(AgentUpdate {
                config: failed,
                ..AgentUpdate::default()
            });
        }
        let pending = self.pending.remove(&uid)?;
        self.due.remove(&(pending.due_ms, uid));
        Some(pending.update)
    }

    /// Holds back what is pending for one agent, and what comes.
    pub fn hold(&mut self, uid: InstanceUid) {
        self.held.insert(uid);
        if let Some(pending) = self.pending.get(&uid) {
            self.due.remove(&(pending.due_ms, uid));
        }
    }

    /// What was held back for one agent is due when it would have been.
    pub fn let_on(&mut self, uid: InstanceUid) {
        if self.held.remove(&uid)
            && let Some(pending) = self.pending.get(&uid)
        {
            self.due.insert((pending.due_ms, uid));
        }
    }

    /// Drops what is pending for one agent: another node speaks for it, or its claim came too late. Whether there was
    /// anything.
    pub fn drop_pending(&mut self, uid: InstanceUid) -> bool {
        let pending = self.pending.remove(&uid);
        if let Some(pending) = &pending {
            self.due.remove(&(pending.due_ms, uid));
        }
        pending.is_some()
    }

    /// Drops everything that is pending, and whose it was.
    pub fn drop_all(&mut self) -> BTreeSet<InstanceUid> {
        self.due.clear();
        self.proposed.clear();
        std::mem::take(&mut self.pending).into_keys().collect()
    }

    /// Forgets when the agent was last proposed: its session here is over.
    pub fn forget(&mut self, uid: InstanceUid) {
        self.proposed.remove(&uid);
    }

    /// Whether nothing waits or is on its way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.in_flight.is_empty()
    }

    /// When the next update is due.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }
}

/// The failure that the status of `later` would replace.
fn hidden_failure(earlier: &AgentUpdate, later: &AgentUpdate) -> Option<ConfigReport> {
    let failed = earlier.config.as_ref()?;
    let hidden = failed.status == ConfigStatus::Failed
        && later.config.as_ref().is_some_and(|config| config != failed);
    hidden.then(|| failed.clone())
}

/// Later values replace earlier ones, field by field.
fn merged(earlier: AgentUpdate, later: AgentUpdate) -> AgentUpdate {
    AgentUpdate {
        description: later.description.or(earlier.description),
        capabilities: later.capabilities.or(earlier.capabilities),
        health: later.health.or(earlier.health),
        config: later.config.or(earlier.config),
        sent_hash: later.sent_hash.or(earlier.sent_hash),
        effective: later.effective.or(earlier.effective),
        components: later.components.or_else(|| {
            // a list belongs to its hash: another hash forgets an earlier list
            let hash = later.components_hash.as_ref();
            let same = hash.is_none() || hash == earlier.components_hash.as_ref();
            same.then_some(earlier.components).flatten()
        }),
        components_hash: later.components_hash.or(earlier.components_hash),
        packages: later.packages.or(earlier.packages),
        custom_capabilities: later.custom_capabilities.or(earlier.custom_capabilities),
    }
}

fn urgency(update: &AgentUpdate, record: Option<&AgentRecord>) -> Urgency {
    let Some(record) = record else {
        return if update.config.is_some() || update.sent_hash.is_some() {
            Urgency::Now
        } else {
            Urgency::Deciding
        };
    };
    let config = &record.config;
    let status_differs = update.config.as_ref().is_some_and(|report| {
        report.status != config.status
            || Some(report.hash.as_slice()).filter(|hash| !hash.is_empty())
                != config
                    .reported_hash
                    .as_deref()
                    .filter(|hash| !hash.is_empty())
    });
    if status_differs
        || is_news(update, record)
        || differs(update.sent_hash.as_ref(), config.sent_hash.as_ref())
    {
        return Urgency::Now;
    }
    let healthy_differs = update
        .health
        .as_ref()
        .is_some_and(|new| record.health.as_ref().map(|old| old.healthy) != Some(new.healthy));
    let deciding = healthy_differs
        || differs(update.description.as_ref(), Some(&record.description))
        || differs(update.capabilities.as_ref(), Some(&record.capabilities))
        || differs(update.effective.as_ref(), record.effective.as_ref())
        || differs(
            update.components_hash.as_ref(),
            record.components_hash.as_ref(),
        )
        || differs(update.components.as_ref(), record.components.as_ref())
        || differs(update.packages.as_ref(), record.packages.as_ref())
        || differs(
            update.custom_capabilities.as_ref(),
            Some(&record.custom_capabilities),
        );
    if deciding {
        return Urgency::Deciding;
    }
    let text_differs = update.health.as_ref().is_some_and(|new| {
        record.health.as_ref().is_none_or(|old| {
            (&old.status, &old.last_error, &old.body) != (&new.status, &new.last_error, &new.body)
        })
    }) || update
        .config
        .as_ref()
        .is_some_and(|report| !report.error.is_empty() && report.error != config.error);
    if text_differs {
        Urgency::Text
    } else {
        Urgency::Nothing
    }
}

/// A failure that the fleet does not remember.
fn is_news(update: &AgentUpdate, record: &AgentRecord) -> bool {
    update.config.as_ref().is_some_and(|report| {
        let hash = <[u8; 32]>::try_from(report.hash.as_slice()).ok();
        report.status == ConfigStatus::Failed
            && hash.is_some()
            && hash != record.config.failed_hash.map(|hash| hash.0)
    })
}

/// The agent is not well any more, and nothing proposed says so: a change that is under way must not go
/// further before it is heard. One that goes up and down costs one proposal more than its pace.
fn turns_unhealthy(
    update: &AgentUpdate,
    record: Option<&AgentRecord>,
    last: Option<&Proposed>,
) -> bool {
    let held = record.and_then(|record| record.health.as_ref());
    let was_healthy = last
        .and_then(|last| last.healthy)
        .or(held.map(|held| held.healthy));
    let is_unhealthy = update.health.as_ref().is_some_and(|new| !new.healthy);
    was_healthy == Some(true) && is_unhealthy
}

/// Whether a value was given and is another one than the fleet has.
fn differs<T: PartialEq>(given: Option<&T>, held: Option<&T>) -> bool {
    given.is_some() && given != held
}

#[cfg(test)]
mod tests;
