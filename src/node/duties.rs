//! What runs beside the doors while a node serves: what every node does for its own agents, and what one node does for
//! all, under a lease.

use std::sync::Arc;

use super::history::History;
use super::leases::{self, Tenure};
use super::{bounds, retention, wall_time};
use crate::agents::room::Room;
use crate::agents::{batches, delivery, enrollment, liveness, reconcile, rollout, sweep, timers};
use crate::config::Config;
use crate::history::postgres::exported::Exported;
use crate::history::postgres::{External, ledger, upkeep};
use crate::tasks::Tasks;

/// Starts what every node does, and what is done under leases: that part ends first when the node leaves.
pub(super) fn start(
    config: &Config,
    room: &Arc<Room>,
    history: &History,
    background: &Tasks,
) -> Tasks {
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
    let exported = Exported::new(config.postgres.url.is_some());
    under_leases(config, room, &exported, &duties);
    if let Some(external) = &history.external {
        of_postgres(config, room, external, &exported, &duties);
    }
    duties
}

/// Starts what is done once in a cluster.
fn under_leases(config: &Config, room: &Arc<Room>, exported: &Exported, duties: &Tasks) {
    let lock_delay = config.dispatch.leader_lease;
    let hold = |name| (room.clone(), name, lock_delay, duties.stopping());
    let (of, name, delay, stop) = hold(leases::ROLLOUT);
    duties.spawn(leases::hold(of, name, delay, stop, rollout::perform));
    let (of, name, delay, stop) = hold(leases::DELIVERIES);
    duties.spawn(leases::hold(of, name, delay, stop, delivery::duty::perform));
    let (of, name, delay, stop) = hold(leases::RETENTION);
    let rules = bounds::Rules::new(config.agents.forget_after, config.dispatch.ownership_ttl);
    let audit_days = config.audit.retention_days;
    let exported = exported.clone();
    duties.spawn(leases::hold(
        of,
        name,
        delay,
        stop,
        move |tenure: Tenure| {
            let exported = exported.clone();
            async move {
                tokio::join!(
                    bounds::perform(tenure.clone(), rules, exported.clone()),
                    retention::perform(tenure.clone(), audit_days, exported),
                    enrollment::perform(tenure),
                );
            }
        },
    ));
}

/// Starts what is done once in a cluster that keeps its history in Postgres.
fn of_postgres(
    config: &Config,
    room: &Arc<Room>,
    external: &External,
    exported: &Exported,
    duties: &Tasks,
) {
    let lock_delay = config.dispatch.leader_lease;
    let to = external.clone();
    let export = move |tenure| ledger::perform(tenure, to.clone());
    let (of, stop) = (room.clone(), duties.stopping());
    duties.spawn(leases::hold(
        of,
        leases::HISTORY_EXPORT,
        lock_delay,
        stop,
        export,
    ));
    let days = upkeep::Days {
        history: config.history.retention_days,
        audit: config.audit.retention_days,
    };
    let of = external.clone();
    let keep = move |tenure| upkeep::perform(tenure, of.clone(), days);
    let (of, stop) = (room.clone(), duties.stopping());
    duties.spawn(leases::hold(
        of,
        leases::HISTORY_RETENTION,
        lock_delay,
        stop,
        keep,
    ));
    duties.spawn(
        exported
            .clone()
            .follow(room.clone(), external.clone(), duties.stopping()),
    );
}
