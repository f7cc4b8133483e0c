//! Named leases: what a cluster does once, one node does while it holds the lease of that name.
//!
//! A holder looks before each step whether it may still act, and everything that it proposes carries its fence, which
//! the fleet refuses once somebody else holds the lease. So two holders do not act together, and never write together.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{Committed, ProposeError};
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Epoch, Fence};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::planted::{self, Bug};
use ampora_raft::proposal::Proposal;
use tokio_util::sync::CancellationToken;

use super::origin;
use crate::agents::room::Room;
use crate::telemetry::names;

/// Between two looks at who holds a lease: at a copy of the fleet, so that looking costs nothing.
const LOOK: Duration = Duration::from_millis(200);

/// After a lease was refused or could not be asked for.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// The feature level from which on a fleet knows leases.
const LEASES_LEVEL: u16 = 2;

/// Moves changes of configuration on.
pub const ROLLOUT: &str = "rollout";
/// Expands, expires and finishes deliveries for which nobody else does.
pub const DELIVERIES: &str = "deliveries";
/// Lets go of what has had its time.
pub const RETENTION: &str = "retention";
/// Brings audit and finished deliveries into Postgres.
pub const HISTORY_EXPORT: &str = "history-export";
/// Lets go of what has had its time in Postgres.
pub const HISTORY_RETENTION: &str = "history-retention";

/// A lease that this node holds.
#[derive(Clone, Debug)]
pub struct Tenure {
    room: Arc<Room>,
    name: &'static str,
    /// None in a fleet that knows no leases yet: it has one node.
    fence: Option<Fence>,
    epoch: Epoch,
    over: CancellationToken,
}

impl Tenure {
    /// The room that the duty is about.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The proof of the lease; none in a fleet that knows no leases yet.
    pub fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// Whether the next step may be taken.
    pub fn holds(&self) -> bool {
        // a fleet that has learnt of leases has other holders from the same entry on
        let is_kept = self.fence.is_some() || !knows_leases(&self.room.consensus.view().fleet);
        if planted::is(Bug::HolderSure) {
            return is_kept && !self.over.is_cancelled();
        }
        is_kept
            && !self.over.is_cancelled()
            && self.room.liveness.epoch() == self.epoch
            && self.room.may_act()
    }

    /// Proposes in the name of the lease.
    ///
    /// # Errors
    /// As any proposal; `Unavailable` when the lease may not be acted under at this moment.
    pub async fn propose(&self, proposal: Proposal) -> Result<Committed, ProposeError> {
        if !self.holds() {
            return Err(ProposeError::Unavailable(format!(
                "the lease {} may not be acted under",
                self.name
            )));
        }
        let proposal = match self.fence {
            Some(fence) => proposal.under_lease(self.name.into(), fence),
            None => proposal,
        };
        let origin = origin::of_node(self.room.author.node);
        let committed = self.room.consensus.propose(origin, proposal).await?;
        if matches!(
            committed.outcome,
            Outcome::Rejected(Rejection::StaleLease(_))
        ) {
            self.over.cancel();
            return Err(ProposeError::Unavailable(format!(
                "the lease {} is another node's",
                self.name
            )));
        }
        Ok(committed)
    }

    /// Waits until the lease is lost for good.
    async fn lost(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.over.cancelled() => return,
            }
            let view = self.room.consensus.view();
            let is_ours = match self.fence {
                Some(fence) => view.fleet.holds(self.name, fence),
                None => !knows_leases(&view.fleet),
            };
            if !is_ours || self.room.liveness.epoch() != self.epoch {
                return;
            }
        }
    }
}

/// Acquires the lease whenever it can be had and performs the duty while it is held, until `stop`. `lock_delay` is
/// how long a lease stays unheld whose holder ended without a word.
pub async fn hold<F>(
    room: Arc<Room>,
    name: &'static str,
    lock_delay: Duration,
    stop: CancellationToken,
    duty: impl Fn(Tenure) -> F,
) where
    F: Future<Output = ()>,
{
    let held = metrics::gauge!(names::LEADER_LEASE_HELD, "leader" => name);
    held.set(0.0);
    loop {
        let tenure = tokio::select! {
            tenure = acquire(&room, name, lock_delay) => tenure,
            () = stop.cancelled() => return,
        };
        held.set(1.0);
        tracing::debug!(lease = name, fence = ?tenure.fence, "a lease is held");
        tokio::select! {
            () = duty(tenure.clone()) => {}
            () = tenure.lost() => {}
            () = stop.cancelled() => {}
        }
        held.set(0.0);
        if stop.is_cancelled() {
            // a node that shuts down gives up everything in one entry
            return;
        }
        tracing::debug!(lease = name, fence = ?tenure.fence, "a lease is lost");
    }
}

async fn acquire(room: &Arc<Room>, name: &'static str, lock_delay: Duration) -> Tenure {
    let tenure = |fence, epoch| Tenure {
        room: room.clone(),
        name,
        fence,
        epoch,
        over: CancellationToken::new(),
    };
    loop {
        let epoch = room.liveness.epoch();
        if !room.may_act() || !is_free(room, name, epoch) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if !knows_leases(&room.consensus.view().fleet) {
            acquired(name);
            return tenure(None, epoch);
        }
        let proposal = Proposal::AcquireLease {
            name: name.into(),
            node: room.author.node,
            epoch,
            lock_delay_ms: u64::try_from(lock_delay.as_millis()).unwrap_or(u64::MAX),
        };
        let origin = origin::of_node(room.author.node);
        match room.consensus.propose(origin, proposal).await {
            Ok(committed) => {
                if let Outcome::Lease { fence } = committed.outcome {
                    acquired(name);
                    return tenure(Some(fence), epoch);
                }
                if matches!(committed.outcome, Outcome::Rejected(Rejection::Fenced(_))) {
                    room.liveness.doubt(epoch);
                }
                tracing::debug!(lease = name, outcome = ?committed.outcome, "a lease was not had");
            }
            Err(error) => tracing::debug!(lease = name, %error, "a lease was not asked for"),
        }
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
}

fn knows_leases(fleet: &Fleet) -> bool {
    fleet.meta().feature_level >= LEASES_LEVEL
}

/// Whether it is worth asking for a lease, as far as this node knows.
fn is_free(room: &Room, name: &str, epoch: Epoch) -> bool {
    let view = room.consensus.view();
    let Some(lease) = view.fleet.lease(name) else {
        return true;
    };
    let own = lease.node == room.author.node;
    if view.fleet.is_lease_held(lease) {
        return own && lease.epoch == epoch;
    }
    // what this node was before is over: nobody needs to be waited for
    own || room.consensus.fleet_time_ms() >= lease.not_before_ms
}

fn acquired(name: &'static str) {
    metrics::counter!(names::LEADER_LEASE_ACQUISITIONS, "leader" => name).increment(1);
    metrics::counter!(names::LEADER_LEASE_ACQUISITIONS_OLD, "leader" => name).increment(1);
}

#[cfg(test)]
mod tests;
