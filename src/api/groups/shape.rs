//! A group as REST shows it.

use ampora_raft::fleet::Fleet;
use ampora_raft::records::{Group, Pace, Quarantined, Trial, VersionRef};
use serde_json::{Value, json};

use super::numbers::Numbers;
use crate::api::timestamp::rfc3339;

/// A group with its numbers, and how its change goes.
pub(super) fn group_json(fleet: &Fleet, group: &Group, numbers: &Numbers) -> Value {
    let assignment = group.assignment.as_ref();
    let settled = assignment.and_then(|assignment| assignment.settled.as_ref());
    let next = assignment.and_then(|assignment| assignment.next.as_ref());
    let rollout = fleet.rollout(&group.name);
    let quarantined = rollout.map_or(&[][..], |rollout| &rollout.quarantined);
    let trial = rollout.and_then(|rollout| rollout.trial.as_ref());
    json!({
        "name": group.name,
        "selector": group.selector.source,
        "priority": group.priority,
        "configuration": next.or(settled).map(version_json),
        "pace": pace_name(group.pace),
        "revision": group.revision,
        "settled": settled.map(version_json),
        "next": next.map(version_json),
        "previous": rollout.and_then(|rollout| rollout.previous.as_ref()).map(version_json),
        "window": trial.and_then(window_json),
        "matched": numbers.matched,
        "affected": numbers.affected,
        "confirmed": numbers.confirmed,
        "failed": numbers.failed,
        "quarantined": quarantined.last().map(quarantined_json),
        "quarantined_hashes": quarantined
            .iter()
            .map(|held| held.version.hash.to_string())
            .collect::<Vec<_>>(),
        "changed_at": rfc3339(group.changed_ms),
        "changed_by": group.changed_by,
    })
}

/// The open window of a change that is under way.
fn window_json(trial: &Trial) -> Option<Value> {
    (trial.settled_at_ms.is_none() && trial.size > 0).then(|| {
        json!({
            "agents": trial.size,
            "failed": trial.failed.len(),
            "opened_at": rfc3339(trial.opened_ms),
        })
    })
}

fn quarantined_json(held: &Quarantined) -> Value {
    let mut shown = version_json(&held.version);
    shown["reason"] = json!(crate::api::redact::text(&held.reason));
    shown["failures"] = json!(held.failures);
    shown["since"] = json!(rfc3339(held.since_ms));
    shown
}

/// A version by name, number and hash.
pub(super) fn version_json(version: &VersionRef) -> Value {
    json!({
        "name": version.configuration,
        "version": version.version,
        "hash": version.hash.to_string(),
    })
}

fn pace_name(pace: Pace) -> &'static str {
    match pace {
        Pace::SlowStart => "slow-start",
        Pace::AllAtOnce => "all-at-once",
    }
}
