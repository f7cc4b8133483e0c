//! What an assignment becomes of: settled at once, on its way, held back, or nothing to do. A pure function
//! of what the group has and what it is to have.

use super::Fleet;
use crate::records::{Assignment, Pace, Rollout, Trial, VersionRef};

/// What a group is to have.
pub(super) struct Wanted {
    /// The version; `None` assigns nothing.
    pub(super) version: Option<VersionRef>,
    /// How it gets there.
    pub(super) pace: Pace,
    /// Other agents belong to the group than before: who was reached says nothing any more.
    pub(super) begins_again: bool,
    /// Fleet time.
    pub(super) time_ms: u64,
}

/// The assignment of a group that had `old`; `rollout` becomes what goes with it.
///
/// A newer version replaces one that is on its way: agents that had got it want the settled one, or the newest
/// once they are reached.
pub(super) fn arrange(
    old: Option<&Assignment>,
    rollout: &mut Rollout,
    wanted: Wanted,
) -> Option<Assignment> {
    let settled = old.and_then(|old| old.settled.clone());
    let next = old.and_then(|old| old.next.clone());
    let Some(version) = wanted.version else {
        rollout.previous = settled.or(rollout.previous.take());
        rollout.trial = None;
        return None;
    };
    let is_settled = settled
        .as_ref()
        .is_some_and(|settled| settled.hash == version.hash);
    if is_settled {
        if next.is_some() {
            rollout.trial = None;
        }
        return Some(Assignment {
            settled: Some(version),
            next: None,
            threshold: 0,
        });
    }
    let is_next = next.is_some_and(|next| next.hash == version.hash);
    if is_quarantined(rollout, &version) {
        rollout.trial = None;
        return Some(Assignment {
            settled,
            next: Some(version),
            threshold: 0,
        });
    }
    let mut trial = rollout.trial.take().filter(|_| is_next);
    match wanted.pace {
        Pace::AllAtOnce => {
            let mut trial = trial.unwrap_or_else(|| Trial::new(version.hash));
            trial.settled_at_ms = Some(wanted.time_ms);
            rollout.trial = Some(trial);
            rollout.previous = settled.or(rollout.previous.take());
            Some(Assignment {
                settled: Some(version),
                next: None,
                threshold: 0,
            })
        }
        Pace::SlowStart => {
            let mut threshold = old.filter(|_| is_next).map_or(0, |old| old.threshold);
            if wanted.begins_again {
                threshold = 0;
                trial = trial.map(|trial| Trial {
                    failed: trial.failed,
                    ..Trial::new(version.hash)
                });
            }
            rollout.trial = Some(trial.unwrap_or_else(|| Trial::new(version.hash)));
            Some(Assignment {
                settled,
                next: Some(version),
                threshold,
            })
        }
    }
}

fn is_quarantined(rollout: &Rollout, version: &VersionRef) -> bool {
    let mut quarantined = rollout.quarantined.iter();
    quarantined.any(|held| held.version.hash == version.hash)
}

impl Fleet {
    /// The rollout of a group, or the one with which it begins.
    pub(super) fn rollout_of(&self, name: &std::sync::Arc<str>) -> Rollout {
        let known = self.rollouts.get(name);
        known.map_or_else(
            || Rollout {
                group: std::sync::Arc::clone(name),
                revision: 0,
                previous: None,
                trial: None,
                quarantined: Vec::new(),
            },
            |known| (**known).clone(),
        )
    }

    /// A remembered version, if it has not left the fleet.
    pub(super) fn still_there(&self, version: Option<VersionRef>) -> Option<VersionRef> {
        let version = version?;
        let configuration = self.configurations.get(&version.configuration)?;
        let mut versions = configuration.versions.iter();
        versions
            .any(|known| known.number == version.version && known.hash == version.hash)
            .then_some(version)
    }
}
