//! A group as REST shows it.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{Group, Pace, Quarantined, Trial, VersionRef};
use serde::Serialize;
use utoipa::ToSchema;

use super::numbers::{Change, Numbers};
use crate::api::redact;
use crate::api::timestamp::rfc3339;

/// A page of groups, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    pub(super) applied_index: u64,
    pub(super) r#continue: Option<String>,
    pub(super) items: Vec<GroupShown>,
}

/// A group with its numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupShown {
    /// Members that do not run what they should.
    affected: usize,
    /// In answers about one group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) applied_index: Option<u64>,
    changed_at: String,
    /// The name of a token.
    changed_by: Arc<str>,
    /// What is assigned: `next`, else `settled`.
    configuration: Option<VersionShown>,
    /// Members that run it by their own word.
    confirmed: usize,
    /// True in answers that changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) dry_run: Option<bool>,
    /// Members on which it failed.
    failed: usize,
    /// Members.
    matched: usize,
    name: Arc<str>,
    next: Option<VersionShown>,
    /// `slow-start` or `all-at-once`.
    pace: &'static str,
    /// What was settled before: where `revert` goes.
    previous: Option<VersionShown>,
    priority: i32,
    /// The newest that is stopped here.
    quarantined: Option<QuarantineShown>,
    /// All that are stopped here.
    quarantined_hashes: Vec<String>,
    /// What the `ETag` is made of.
    revision: u64,
    selector: Arc<str>,
    settled: Option<VersionShown>,
    /// In answers to `dry_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) would_change: Option<WouldChange>,
    /// How far a change that is under way has come.
    window: Option<Window>,
}

/// The open window of a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupWindow)]
pub(crate) struct Window {
    /// How many may have it.
    agents: u32,
    failed: usize,
    opened_at: String,
}

/// A version that failed on too many agents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(crate) struct QuarantineShown {
    /// Agents on which it failed.
    failures: u32,
    hash: String,
    name: Arc<str>,
    /// How many failed, and what the last one said.
    reason: String,
    since: String,
    version: u32,
}

/// What a deletion would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryDelete {
    pub(super) dry_run: bool,
    pub(super) name: Arc<str>,
    pub(super) would_change: WouldChange,
}

/// A version by name, number and hash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupVersion)]
pub(crate) struct VersionShown {
    hash: String,
    name: Arc<str>,
    version: u32,
}

/// Who would change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WouldChange {
    /// The first 1000, in uid order.
    #[schema(value_type = Vec<String>)]
    pub(crate) agents: Vec<InstanceUid>,
    /// All of them.
    pub(crate) count: usize,
}

impl GroupShown {
    /// A group with its numbers.
    pub(super) fn of(fleet: &Fleet, group: &Group, numbers: &Numbers) -> GroupShown {
        let assignment = group.assignment.as_ref();
        let settled = assignment.and_then(|assignment| assignment.settled.as_ref());
        let next = assignment.and_then(|assignment| assignment.next.as_ref());
        let rollout = fleet.rollout(&group.name);
        let quarantined = rollout.map_or(&[][..], |rollout| &rollout.quarantined);
        let trial = rollout.and_then(|rollout| rollout.trial.as_ref());
        let previous = rollout.and_then(|rollout| rollout.previous.as_ref());
        GroupShown {
            affected: numbers.affected,
            applied_index: None,
            changed_at: rfc3339(group.changed_ms),
            changed_by: group.changed_by.clone(),
            configuration: next.or(settled).map(VersionShown::of),
            confirmed: numbers.confirmed,
            dry_run: None,
            failed: numbers.failed,
            matched: numbers.matched,
            name: group.name.clone(),
            next: next.map(VersionShown::of),
            pace: pace_name(group.pace),
            previous: previous.map(VersionShown::of),
            priority: group.priority,
            quarantined: quarantined.last().map(QuarantineShown::of),
            quarantined_hashes: quarantined
                .iter()
                .map(|held| held.version.hash.to_string())
                .collect(),
            revision: group.revision,
            selector: group.selector.source.clone(),
            settled: settled.map(VersionShown::of),
            would_change: None,
            window: trial.and_then(Window::of),
        }
    }
}

impl Window {
    /// The open window of a change that is under way.
    fn of(trial: &Trial) -> Option<Window> {
        (trial.settled_at_ms.is_none() && trial.size > 0).then(|| Window {
            agents: trial.size,
            failed: trial.failed.len(),
            opened_at: rfc3339(trial.opened_ms),
        })
    }
}

impl QuarantineShown {
    fn of(held: &Quarantined) -> QuarantineShown {
        let version = VersionShown::of(&held.version);
        QuarantineShown {
            failures: held.failures,
            hash: version.hash,
            name: version.name,
            reason: redact::text(&held.reason).into_owned(),
            since: rfc3339(held.since_ms),
            version: version.version,
        }
    }
}

impl VersionShown {
    /// A version by name, number and hash.
    pub(super) fn of(version: &VersionRef) -> VersionShown {
        VersionShown {
            hash: version.hash.to_string(),
            name: version.configuration.clone(),
            version: version.version,
        }
    }
}

impl WouldChange {
    /// Who would change.
    pub(super) fn of(change: Change) -> WouldChange {
        WouldChange {
            agents: change.first,
            count: change.agents,
        }
    }
}

fn pace_name(pace: Pace) -> &'static str {
    match pace {
        Pace::SlowStart => "slow-start",
        Pace::AllAtOnce => "all-at-once",
    }
}
