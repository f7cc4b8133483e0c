//! `ampora serve`: the process around a node. It reads the configuration, starts logging, runs the node, and takes
//! SIGHUP to mean that the configuration should be read again.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, files};
use crate::{
    config::{self, Config, Sources},
    node::{self, Ended},
    telemetry::logs::{Logs, Outlet},
};

/// How long the end of the process waits for a slow reader of its last log lines.
const LAST_LINES_WAIT: Duration = Duration::from_secs(1);

pub(super) fn serve(sources: Sources, outlet: Outlet) -> Result<(), CliError> {
    files::keep_files_private();
    let loaded = config::load(&sources)?;
    let logs = Logs::start(&loaded.config.log, outlet)?;
    for note in &loaded.notes {
        tracing::warn!("configuration: {note}");
    }
    if let Some(note) = files::allow_open_files(loaded.config.opamp.max_connections) {
        tracing::warn!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let ended = runtime.block_on(async {
        let started_with = loaded.config.clone();
        tokio::select! {
            ended = node::run(loaded.config) => ended,
            never = reload(&sources, &started_with, &logs) => match never {},
        }
    });
    logs.flush(LAST_LINES_WAIT);
    match ended? {
        Ended::Stopped => Ok(()),
        Ended::Again => Err(CliError::Again(again(runtime))),
    }
}

/// Starts the program again in the place of this one, with the same arguments and the same id of the process, so
/// that whoever watches it sees no end. Returns only when that fails.
fn again(runtime: tokio::runtime::Runtime) -> std::io::Error {
    // whatever still runs would lose its threads in the middle of something
    runtime.shutdown_timeout(LAST_TASKS_WAIT);
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = std::process::Command::new(program);
    command.args(std::env::args_os().skip(1)).exec()
}

/// How long tasks may take to end before the program starts again.
const LAST_TASKS_WAIT: Duration = Duration::from_secs(1);

/// Reads the configuration again at each SIGHUP. What this version can change while it runs is the log level; for
/// everything else it says that a restart is needed. A configuration that does not load changes nothing.
async fn reload(sources: &Sources, started_with: &Config, logs: &Logs) -> std::convert::Infallible {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!("cannot listen for SIGHUP: {error}");
            return std::future::pending().await;
        }
    };
    while hangups.recv().await.is_some() {
        let config = match config::load(sources) {
            Ok(loaded) => loaded.config,
            Err(error) => {
                tracing::error!("the configuration stays as it is: {error}");
                continue;
            }
        };
        if let Err(error) = logs.set_level(&config.log.level) {
            tracing::error!("the log level stays as it is: {error}");
            continue;
        }
        tracing::info!(log.level = config.log.level, "configuration was read again");
        for key in restart_keys(started_with, &config) {
            tracing::warn!("`{key}` was changed and takes effect with a restart");
        }
    }
    std::future::pending().await
}

/// The keys that differ and cannot be changed while the node runs.
fn restart_keys(before: &Config, after: &Config) -> Vec<&'static str> {
    config::keys()
        .filter(|key| key.name != "log.level" && key.shown(before) != key.shown(after))
        .map(|key| key.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reload_names_the_keys_that_need_a_restart() {
        let before = Config::default();
        let mut after = before.clone();
        after.log.level = "debug".to_owned();
        assert!(restart_keys(&before, &after).is_empty());
        after.opamp.max_connections = 1;
        after.node.drain = Duration::ZERO;
        assert_eq!(
            restart_keys(&before, &after),
            ["node.drain_seconds", "opamp.max_connections"]
        );
    }
}
