//! A node from start to stop: opens its store, joins its log, registers its incarnation, serves agents and
//! operators, and leaves in order. The one place where the rooms are wired together.

pub mod admin_token;
mod backend;
mod banner;
mod bounds;
pub mod cluster;
mod doors;
mod drain;
mod duties;
mod health;
mod history;
pub mod identity;
mod join;
pub mod leases;
pub mod origin;
mod restore;
mod retention;
mod run;
mod wall_time;

pub use backend::NodeBackend;
pub use restore::{RestoreError, Restored, restore};
pub use run::{Ended, RunError, run};

/// Ends the process because going on could corrupt what was acknowledged. The log has everything; the next
/// start goes on from there.
fn fatal(what: &str, why: &dyn std::fmt::Display) -> ! {
    tracing::error!(reason = %why, "{what}: the process ends so that nothing half works");
    // the log writer is given no chance to block: this line is for whoever reads standard error
    drop(std::io::Write::write_all(
        &mut std::io::stderr().lock(),
        format!("ampora: {what}: {why}\n").as_bytes(),
    ));
    std::process::exit(1)
}
