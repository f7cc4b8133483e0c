//! `ampora simulate`: load for a server, with a summary as JSON at the end.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, print};
use crate::simulate::{Crowd, Plan, Profile, Progress, Summary};
use crate::trust::Trust;

/// What can be simulated.
#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// Connect simulated agents until Ctrl-C or for a time, then print a summary as JSON
    Agents(SimulateAgents),
}

/// How many simulated agents, and how they behave.
#[derive(Debug, Args)]
pub struct SimulateAgents {
    /// Where agents connect; several spread them over the nodes of a cluster
    #[arg(
        long = "opamp-url",
        value_name = "URL",
        default_value = "ws://127.0.0.1:4320/v1/opamp"
    )]
    pub urls: Vec<url::Url>,
    /// Authorities that the server of a wss:// address is checked against, PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<std::path::PathBuf>,
    /// Agents in all
    #[arg(long, default_value_t = 100)]
    pub count: usize,
    /// Agents that share one socket
    #[arg(long, default_value_t = 1)]
    pub per_socket: usize,
    /// How they behave
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// New sockets in a second
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// Seconds between two heartbeats of an agent
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_seconds: u64,
    /// Heartbeats under way on each socket, with `--profile flat-out`
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
    /// Bytes of the effective configuration that each agent reports
    #[arg(long, default_value_t = 300)]
    pub effective_bytes: usize,
    /// After a lost connection go on where it was, as newer clients do, instead of sending everything again
    #[arg(long)]
    pub resume: bool,
    /// A further attribute of each agent; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// Agents with the same number are the same agents
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// End after so many seconds instead of with Ctrl-C
    #[arg(long)]
    pub seconds: Option<u64>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Runs simulated agents for as long as was asked, or until Ctrl-C.
pub(super) fn agents(args: SimulateAgents) -> Result<(), CliError> {
    let length = args.seconds.map(Duration::from_secs);
    let ca_file = args.ca_file.clone();
    let trust = ca_file.map_or(Trust::System, Trust::Authorities);
    let plan = plan(args);
    plan.check().map_err(CliError::Plan)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let summary = runtime.block_on(async {
        let progress = progress(&plan);
        let mut crowd = Crowd::trusting(plan, &trust)
            .await
            .map_err(CliError::Simulate)?;
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
        urls: args.urls,
        agents: args.count,
        per_socket: args.per_socket,
        profile: args.profile,
        connects_per_second: args.rate,
        heartbeat: Duration::from_secs(args.heartbeat_seconds),
        in_flight: args.in_flight,
        effective_bytes: args.effective_bytes,
        resume: args.resume,
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
