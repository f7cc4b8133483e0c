//! A duty of the simulation's own: it writes under its lease as often as it may, so that two holders would show.

use std::time::Duration;

use ampora::node::leases::Tenure;
use ampora_raft::proposal::Proposal;

use crate::invariants::Oracle;
use crate::seat::Seat;

/// The lease.
pub(super) const NAME: &str = "simulated";

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(150);

/// Performs the duty while the lease is held.
pub(super) async fn perform(tenure: Tenure, seat: Seat, oracle: Oracle) {
    seat.with(|doors| doors.tenure = Some(tenure.clone()));
    loop {
        // a proposal that changes nothing when there is nothing to expire
        let step = Proposal::ExpireDeliveries { limit: 1 };
        if tenure.holds()
            && let Ok(committed) = tenure.propose(step).await
        {
            oracle.wrote_under_lease(seat.node, tenure.fence(), committed.index);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
