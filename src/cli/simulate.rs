//! `ampora simulate`: load for a server, with a summary as JSON at the end.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::SimulateAgents;
use super::{CliError, print};
use crate::simulate::{Crowd, Plan, Progress, Summary};

/// Runs simulated agents for as long as was asked, or until Ctrl-C.
pub(super) fn agents(args: SimulateAgents) -> Result<(), CliError> {
    let length = args.seconds.map(Duration::from_secs);
    let plan = plan(args);
    plan.check().map_err(CliError::Plan)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let summary = runtime.block_on(async {
        let progress = progress(&plan);
        let mut crowd = Crowd::start(plan).await.map_err(CliError::Simulate)?;
        let interrupted = tokio::select! {
            () = crowd.run(Some(length.unwrap_or(Duration::MAX)), &progress) => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        };
        interrupted.map_err(CliError::Simulate)?;
        Ok::<_, CliError>(crowd.stop().await)
    })?;
    let text = serde_json::to_string_pretty(&summary)
        .map_err(|error| CliError::Output(std::io::Error::other(error)))?;
    print(&format!("{text}\n"))
}

fn plan(args: SimulateAgents) -> Plan {
    Plan {
        url: args.url,
        agents: args.count,
        per_socket: args.per_socket,
        profile: args.profile,
        connects_per_second: args.rate,
        heartbeat: Duration::from_secs(args.heartbeat_seconds),
        in_flight: args.in_flight,
        effective_bytes: args.effective_bytes,
        labels: args.label,
        seed: args.seed,
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(plan: &Plan) -> Progress {
    if !std::io::stderr().is_terminal() {
        return Box::new(|_| {});
    }
    let bar = ProgressBar::new(u64::try_from(plan.sockets()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} sockets  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    Box::new(move |summary: &Summary| {
        bar.set_position(summary.sockets_connected);
        bar.set_message(format!(
            "{} sent, {} answered, {} applied, {} lost",
            summary.messages_sent,
            summary.replies,
            summary.offers_applied,
            summary.connections_lost
        ));
    })
}
