//! The duty of retention: proposes that what has had its time leaves the fleet. It says where to look; whether
//! something goes is decided by `apply`.
//!
//! Every pass goes through the collections one after the other, a bounded number of records at a time, and proposes
//! nothing when there is nothing to do.

mod duty;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Proposal, Retention};

pub(super) use self::duty::Rules;
use self::duty::{Duty, Step};
use super::leases::Tenure;
use crate::history::postgres::exported::Exported;
use crate::telemetry::history::Dropped;

/// Between two entries of this duty: operators and agents come first.
const ENTRY_PAUSE: Duration = Duration::from_millis(100);

/// Performs the duty while the lease is held.
pub(super) async fn perform(tenure: Tenure, rules: Rules, exported: Exported) {
    let mut duty = Duty::new(rules, exported);
    let mut tick = tokio::time::interval(rules.period());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        pass(&tenure, &mut duty).await;
    }
}

/// Goes through the whole fleet once. A proposal that fails ends the pass; the next one begins anew.
async fn pass(tenure: &Tenure, duty: &mut Duty) {
    let consensus = &tenure.room().consensus;
    duty.begin();
    loop {
        let view = consensus.view();
        let now_ms = consensus.fleet_time_ms();
        let given = match duty.next(&view.fleet, view.applied_index, now_ms) {
            Step::Done => return,
            Step::Looked => {
                tokio::task::yield_now().await;
                continue;
            }
            Step::Propose(given) => given,
        };
        let Some(more) = propose(tenure, given.clone()).await else {
            return;
        };
        let after = consensus.view();
        Dropped::Overdue.count(duty.overdue(&view.fleet, &after.fleet, &given));
        duty.answered(given, more);
        tokio::time::sleep(ENTRY_PAUSE).await;
    }
}

/// Proposes, and says whether the entry left some of it; `None` when it was not applied.
async fn propose(tenure: &Tenure, given: Retention) -> Option<bool> {
    let what = name(&given);
    let room = tenure.room();
    let before = room.consensus.view();
    let proposal = Proposal::Retention(given.clone());
    match tenure.propose(proposal).await {
        Ok(committed) => {
            room.owners_died(&before.fleet, &given);
            let Outcome::Removed { count, more } = committed.outcome else {
                tracing::warn!(outcome = ?committed.outcome, what, "retention was refused");
                return None;
            };
            if count > 0 {
                tracing::info!(what, count, "what has had its time left the fleet");
            }
            Some(more)
        }
        Err(error) => {
            tracing::debug!(%error, what, "retention was not committed");
            None
        }
    }
}

fn name(given: &Retention) -> &'static str {
    match given {
        Retention::ForgetAgents { .. } => "agents",
        Retention::TrimVersions { .. } => "versions",
        Retention::RetireDispatches { .. } => "dispatches",
        Retention::ExpireKeys => "idempotency keys",
        Retention::DropStaged { .. } => "unused uploads",
    }
}
