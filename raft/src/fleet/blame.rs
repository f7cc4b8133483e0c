//! Failures that count: an agent of a group says that the version on trial there failed, or turns unhealthy
//! with it. One too many quarantines the version in the same entry, so that nobody is offered it in between.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use super::limits::{DETAIL_BYTES_MAX, FAILURES_MAX, QUARANTINED_MAX};
use crate::ids::{ConfigHash, InstanceUid};
use crate::records::{AgentRecord, Assignment, ConfigStatus, Group, Quarantined, Rollout};

/// Rows that one failure may touch: the group and its rollout.
const ROWS: usize = 2;

/// A failure that an agent reported.
pub(super) struct Failure {
    hash: ConfigHash,
    text: Arc<str>,
}

impl Fleet {
    /// Counts the failure that a report brought, if it brought one. What the rows of the entry do not allow is
    /// not counted: its agent is then waited for in vain, which holds the change back as well.
    pub(super) fn blame(&mut self, cx: &mut Context<'_>, uid: InstanceUid, failure: &Failure) {
        let hash = failure.hash;
        if !self.is_on_trial(hash) {
            return;
        }
        let group = self.agents.get(&uid);
        let Some(group) = group.and_then(|agent| self.desired(agent).group) else {
            return;
        };
        let rules = self.rollout_rules();
        let mut rollout = self.rollout_of(&group.name);
        let Some(trial) = rollout.trial.as_mut().filter(|trial| trial.hash == hash) else {
            return;
        };
        let is_over = trial.settled_at_ms.is_some_and(|settled_at_ms| {
            cx.time_ms > settled_at_ms.saturating_add(rules.confirm_timeout_ms)
        });
        if is_over || trial.failed.contains(&uid) || cx.rows_left() < ROWS {
            return;
        }
        trial.failed.push(uid);
        let limit = (rules.quarantine_failures as usize).clamp(1, FAILURES_MAX);
        if trial.failed.len() >= limit {
            self.quarantine(cx, &group, &mut rollout, &failure.text);
        }
        self.put_rollout(cx, rollout);
    }

    fn is_on_trial(&self, hash: ConfigHash) -> bool {
        let from = (hash, Arc::<str>::from(""));
        let mut found = self
            .derived
            .trials
            .range::<(ConfigHash, Arc<str>), _>(from..);
        found.next().is_some_and(|(found, _)| *found == hash)
    }

    /// Takes the version on trial away from the group: who has it wants the settled one again, or the one
    /// before when it had settled already.
    fn quarantine(
        &mut self,
        cx: &mut Context<'_>,
        group: &Group,
        rollout: &mut Rollout,
        text: &str,
    ) {
        let Some(trial) = rollout.trial.take() else {
            return;
        };
        let Some(assignment) = group.assignment.clone() else {
            return;
        };
        let has = |version: &crate::records::VersionRef| version.hash == trial.hash;
        let (settled, bad) = if assignment.next.as_ref().is_some_and(has) {
            (assignment.settled, assignment.next)
        } else if assignment.settled.as_ref().is_some_and(has) {
            let previous = self.still_there(rollout.previous.take());
            (previous, assignment.settled)
        } else {
            return;
        };
        let Some(version) = bad else { return };
        let failures = u32::try_from(trial.failed.len()).unwrap_or(u32::MAX);
        rollout
            .quarantined
            .retain(|held| held.version.hash != trial.hash);
        if rollout.quarantined.len() >= QUARANTINED_MAX {
            rollout.quarantined.remove(0);
        }
        rollout.quarantined.push(Quarantined {
            version: version.clone(),
            reason: reason(failures, text),
            failures,
            since_ms: cx.wall_ms,
        });
        let group = Group {
            assignment: Some(Assignment {
                settled,
                next: Some(version),
                threshold: 0,
            }),
            ..group.clone()
        };
        self.put_group_record(cx, Arc::new(group));
    }
}

impl Failure {
    /// What a report blames: the version that it says FAILED of, or the one in use when the healthy bit went. A
    /// word that is only repeated blames nothing.
    pub(super) fn of(before: &AgentRecord, after: &AgentRecord) -> Option<Self> {
        let (was, is) = (&before.config, &after.config);
        if is.status == ConfigStatus::Failed {
            let hash = as_ours(is.reported_hash.as_deref())?;
            let is_new = was.status != ConfigStatus::Failed
                || was.reported_hash != is.reported_hash
                || was.failed_hash != Some(hash);
            let text = || Arc::clone(&is.error);
            return is_new.then(|| Self { hash, text: text() });
        }
        let health = after.health.as_ref().filter(|health| !health.healthy)?;
        before.health.as_ref().filter(|health| health.healthy)?;
        let hash = match &is.reported_hash {
            // on the way to a version many agents are unhealthy for a moment
            Some(_) if is.status != ConfigStatus::Applied => None,
            Some(hash) => as_ours(Some(hash)),
            None => is.sent_hash,
        }?;
        let mut texts = [&health.last_error, &health.status].into_iter();
        let text = texts.find(|text| !text.is_empty()).cloned();
        let text = text.unwrap_or_else(|| "unhealthy".into());
        Some(Self { hash, text })
    }
}

fn as_ours(hash: Option<&[u8]>) -> Option<ConfigHash> {
    <[u8; 32]>::try_from(hash?).ok().map(ConfigHash)
}

fn reason(failures: u32, text: &str) -> Arc<str> {
    let agents = if failures == 1 { "agent" } else { "agents" };
    let reason = format!("{failures} {agents} failed, the last one with: {text}");
    let end = reason.floor_char_boundary(DETAIL_BYTES_MAX.min(reason.len()));
    reason[..end].into()
}
