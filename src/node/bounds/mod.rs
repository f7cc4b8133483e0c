//! The duty of retention: proposes that what has had its time leaves the fleet. It says where to look; whether
//! something goes is decided by `apply`, so that two nodes that do this at once do no harm.
//!
//! Every pass goes through the collections one after the other, a bounded number of records at a time, and proposes
//! nothing when there is nothing to do.

mod duty;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Proposal, Retention};
use tokio_util::sync::CancellationToken;

pub(super) use self::duty::Rules;
use self::duty::{Duty, Step};
use super::origin;
use crate::agents::room::Room;

/// Between two entries of this duty: operators and agents come first.
const ENTRY_PAUSE: Duration = Duration::from_millis(100);

/// Runs until `stop`.
pub(super) async fn drive(room: Arc<Room>, rules: Rules, stop: CancellationToken) {
    let mut duty = Duty::new(rules, room.consensus.fleet_time_ms());
    let mut tick = tokio::time::interval(rules.period());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = pass(&room, &mut duty) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Goes through the whole fleet once. A proposal that fails ends the pass; the next one begins anew.
async fn pass(room: &Room, duty: &mut Duty) {
    duty.begin();
    loop {
        let view = room.consensus.view();
        let now_ms = room.consensus.fleet_time_ms();
        let given = match duty.next(&view.fleet, view.applied_index, now_ms) {
            Step::Done => return,
            Step::Looked => {
                tokio::task::yield_now().await;
                continue;
            }
            Step::Propose(given) => given,
        };
        let Some(more) = propose(room, given.clone()).await else {
            return;
        };
        duty.answered(given, more);
        tokio::time::sleep(ENTRY_PAUSE).await;
    }
}

/// Proposes, and says whether the entry left some of it; `None` when it was not applied.
async fn propose(room: &Room, given: Retention) -> Option<bool> {
    let node: NodeId = room.author.node;
    let what = name(&given);
    let proposal = Proposal::Retention(given);
    match room
        .consensus
        .propose(origin::of_node(node), proposal)
        .await
    {
        Ok(committed) => {
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
            tracing::warn!(%error, what, "retention was not committed");
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
