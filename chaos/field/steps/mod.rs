//! What is done, one question after the other.

mod kills;
mod paces;
mod partitions;
mod quiet;

use crate::ground::Ground;
use crate::report::note;
use crate::wait::{Since, seconds};

/// Everything, in this order: each step leaves the cluster whole and every agent owned.
pub(crate) async fn all(ground: &mut Ground) -> anyhow::Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(2).collect();
    ground.report.figure(
        "load of the machine before, over one minute and five",
        &load.join(", "),
    );
    note("the fleet without agents");
    quiet::log(ground, "no agents").await?;
    let took = ground.crowd_comes().await?;
    let (agents, rate) = (ground.agents(), ground.arguments.rate);
    ground.report.figure(
        &format!("{agents} agents, {rate} new sockets a second asked for: until all are owned"),
        &seconds(took),
    );
    quiet::settled(ground).await?;
    quiet::log(ground, &format!("{agents} idle agents")).await?;
    paces::hundred_a_second(ground).await?;
    kills::owner(ground).await?;
    kills::leaders(ground).await?;
    note("the agents come again, a third to each node");
    ground.spread().await?;
    partitions::all(ground).await?;
    paces::learner(ground).await?;
    partitions::loss(ground).await?;
    let began = Since::now();
    let codes = ground.end().await?;
    ground.report.must(
        "SIGTERM to all at once, with all agents connected: until the last has ended",
        &format!("{}, exit codes {codes:?}", seconds(began.elapsed())),
        "0",
        codes.iter().all(|code| *code == 0),
    );
    Ok(())
}
