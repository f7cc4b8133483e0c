//! The duty `rollout`: moves what changes of groups may reach.
//!
//! Level-triggered: a round takes no instruction, it looks at a copy of the fleet and proposes the steps that
//! are due, each as a compare-and-set on what it saw. So it may be woken too often or run twice without harm;
//! the lease under which it runs spares work, and no more than that. Nobody is
//! quarantined here: the entry that carries the failure does that.

pub mod census;
pub mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::fleet::Fleet;
use ampora_raft::fleet::limits::FORGET_MAX;
use ampora_raft::ids::ConfigHash;
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::{ForgetFailures, MoveRollout, Proposal, RolloutMove};

use self::census::Census;
use self::judge::{Case, Verdict, judge};
use crate::node::leases::Tenure;

/// At least this long between two rounds: what arrives meanwhile is looked at together.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// A look that took long is followed by a pause so many times as long, so that the duty costs a twentieth of
/// a processor at most.
const REST_FACTOR: u32 = 20;

/// After a proposal that was not committed.
const RETRY_MS: u64 = 1_000;

/// What a round remembers for the next: since when the window of a group is complete.
type Seen = BTreeMap<Arc<str>, (u64, u64)>;

/// Performs the duty while the lease is held.
pub async fn perform(tenure: Tenure) {
    let room = tenure.room().clone();
    let watched_since_ms = room.consensus.fleet_time_ms();
    let mut seen = Seen::new();
    loop {
        let (until_ms, took) = round(&tenure, &mut seen, watched_since_ms).await;
        let rest = ROUND_PAUSE.max(took.saturating_mul(REST_FACTOR));
        tokio::time::sleep(rest).await;
        let now_ms = room.consensus.fleet_time_ms();
        let left = until_ms.map(|until_ms| Duration::from_millis(until_ms.saturating_sub(now_ms)));
        tokio::select! {
            () = room.changes.next_rollout() => {}
            () = tokio::time::sleep(left.unwrap_or(Duration::MAX)), if left.is_some() => {}
        }
    }
}

/// Looks at every change that is under way once; the fleet time at which to look again at the latest, and how long
/// this node had to work for it. Waiting for the log is no work: a leader that dies then would cost minutes of rest.
async fn round(tenure: &Tenure, seen: &mut Seen, watched_since_ms: u64) -> (Option<u64>, Duration) {
    let room = tenure.room();
    let view = room.consensus.view();
    let fleet = &view.fleet;
    if fleet.under_way().next().is_none() {
        seen.clear();
        return (None, Duration::ZERO);
    }
    let began_ms = room.clock.boot_ms();
    let groups = census::take(fleet).await;
    let took = Duration::from_millis(room.clock.boot_ms().saturating_sub(began_ms));
    let now_ms = room.consensus.fleet_time_ms();
    seen.retain(|name, _| groups.contains_key(name));
    let mut wake: Option<u64> = None;
    for (name, census) in &groups {
        let until_ms = match verdict(fleet, name, census, seen, watched_since_ms, now_ms) {
            Some((verdict, revision, hash)) => {
                act(tenure, name, census, verdict, (revision, hash), now_ms).await
            }
            None => None,
        };
        wake = [wake, until_ms].into_iter().flatten().min();
    }
    (wake, took)
}

/// The verdict on one group, with the revision that it was made on.
fn verdict(
    fleet: &Fleet,
    name: &Arc<str>,
    census: &Census,
    seen: &mut Seen,
    watched_since_ms: u64,
    now_ms: u64,
) -> Option<(Verdict, u64, ConfigHash)> {
    let rollout = fleet.rollout(name)?;
    let trial = rollout.trial.as_ref()?;
    let threshold = fleet.group(name)?.assignment.as_ref()?.threshold;
    let complete = seen
        .get(name)
        .filter(|(revision, _)| *revision == rollout.revision);
    let verdict = judge(&Case {
        members: &census.members,
        threshold,
        trial,
        timeout_ms: fleet.rollout_rules().confirm_timeout_ms,
        since_ms: trial.opened_at_ms.max(watched_since_ms),
        complete_since_ms: complete.map(|(_, since_ms)| *since_ms),
        now_ms,
    });
    match &verdict {
        Verdict::Wait {
            is_complete: true, ..
        } => {
            if complete.is_none() {
                seen.insert(Arc::clone(name), (rollout.revision, now_ms));
            }
        }
        Verdict::Wait { .. } | Verdict::Move(_) => {
            seen.remove(name);
        }
    }
    Some((verdict, rollout.revision, trial.hash))
}

/// Proposes what is due; when to look again.
async fn act(
    tenure: &Tenure,
    name: &Arc<str>,
    census: &Census,
    verdict: Verdict,
    (revision, hash): (u64, ConfigHash),
    now_ms: u64,
) -> Option<u64> {
    let to = match verdict {
        Verdict::Wait { until_ms, .. } => return until_ms,
        Verdict::Move(to) => to,
    };
    if let RolloutMove::Window { threshold, .. } = to {
        let reached = census
            .stale
            .partition_point(|(place, _)| *place < threshold);
        for some in census.stale[..reached].chunks(FORGET_MAX) {
            let agents = some.iter().map(|(_, uid)| *uid).collect();
            let forget = Proposal::ForgetFailures(ForgetFailures { hash, agents });
            if !propose(tenure, name, forget).await {
                return Some(now_ms + RETRY_MS);
            }
        }
    }
    let step = Proposal::MoveRollout(MoveRollout {
        group: Arc::clone(name),
        seen: revision,
        to,
    });
    if propose(tenure, name, step).await {
        None
    } else {
        Some(now_ms + RETRY_MS)
    }
}

/// Whether the proposal is in the log, or is no longer wanted.
async fn propose(tenure: &Tenure, name: &str, proposal: Proposal) -> bool {
    match tenure.propose(proposal).await {
        Ok(committed) => {
            let outcome = committed.outcome;
            let moved = matches!(outcome, Outcome::Rejected(Rejection::RolloutMoved(_)));
            if outcome != Outcome::Done && !moved {
                tracing::error!(group = name, ?outcome, "a step of a change was refused");
            }
            true
        }
        Err(error) => {
            tracing::debug!(group = name, %error, "a step of a change was not committed");
            false
        }
    }
}
