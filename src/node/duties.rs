//! What runs beside the doors while a node serves: what every node does for its own agents, and what one node does for
//! all, under a lease.

use std::sync::Arc;

use super::leases::{self, Tenure};
use super::{bounds, retention, wall_time};
use crate::agents::room::Room;
use crate::agents::{batches, delivery, enrollment, liveness, reconcile, rollout, sweep, timers};
use crate::config::Config;
use crate::tasks::Tasks;

/// Starts what every node does, and what is done under leases: that part ends first when the node leaves.
pub(super) fn start(config: &Config, room: &Arc<Room>, background: &Tasks) -> Tasks {
    background.spawn(reconcile::drive(room.clone(), background.stopping()));
    background.spawn(timers::drive(room.clone(), background.stopping()));
    background.spawn(enrollment::drive(room.clone(), background.stopping()));
    background.spawn(sweep::drive(room.clone(), background.stopping()));
    background.spawn(delivery::drive_deliveries(
        room.clone(),
        background.stopping(),
    ));
    background.spawn(delivery::drive_marks(room.clone(), background.stopping()));
    background.spawn(wall_time::drive(room.clone(), background.stopping()));
    // what ends last: the node is alive until nothing is left to take to the log
    let last = &room.tasks;
    last.spawn(batches::drive(room.clone(), last.stopping()));
    last.spawn(liveness::drive(room.clone(), last.stopping()));
    room.changes.everything();
    let duties = background.group();
    under_leases(config, room, &duties);
    duties
}

/// Starts what is done once in a cluster.
fn under_leases(config: &Config, room: &Arc<Room>, duties: &Tasks) {
    let lock_delay = config.dispatch.leader_lease;
    let hold = |name| (room.clone(), name, lock_delay, duties.stopping());
    let (of, name, delay, stop) = hold(leases::ROLLOUT);
    duties.spawn(leases::hold(of, name, delay, stop, rollout::perform));
    let (of, name, delay, stop) = hold(leases::DELIVERIES);
    duties.spawn(leases::hold(of, name, delay, stop, delivery::duty::perform));
    let (of, name, delay, stop) = hold(leases::RETENTION);
    let rules = bounds::Rules::new(config.agents.forget_after, config.dispatch.ownership_ttl);
    let audit_days = config.audit.retention_days;
    duties.spawn(leases::hold(
        of,
        name,
        delay,
        stop,
        move |tenure: Tenure| async move {
            tokio::join!(
                bounds::perform(tenure.clone(), rules),
                retention::perform(tenure.clone(), audit_days),
                enrollment::perform(tenure),
            );
        },
    ));
}
