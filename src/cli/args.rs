//! What may be typed after `ampora`. Only shapes and help texts; nothing here acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::client_args::ClientCommand;
use crate::simulate::Profile;

/// Control plane for fleets of telemetry agents that speak OpAMP.
#[derive(Debug, Parser)]
#[command(
    name = "ampora",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The first word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until it is told to stop
    Serve(SourceArgs),
    /// Check files before they are used
    #[command(subcommand)]
    Check(CheckCommand),
    /// Print a completion script
    Completions {
        /// The shell that is to read it
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Make load
    #[command(subcommand)]
    Simulate(SimulateCommand),
    /// Commands for a running node
    #[command(flatten)]
    Client(ClientCommand),
}

/// What can be checked.
#[derive(Debug, Subcommand)]
pub enum CheckCommand {
    /// Check the configuration of a node and print the effective one, secrets left out
    Config(SourceArgs),
}

/// What can be simulated.
#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// Connect simulated agents until Ctrl-C or for a time, then print a summary as JSON
    Agents(SimulateAgents),
}

/// How many simulated agents, and how they behave.
#[derive(Debug, Args)]
pub struct SimulateAgents {
    /// Where the server is
    #[arg(long, default_value = "ws://127.0.0.1:4320/v1/opamp")]
    pub url: url::Url,
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

/// Where the configuration of a node comes from, besides the environment.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// Configuration file [default: `./ampora.yaml`, else `/etc/ampora/ampora.yaml`] [env: `AMPORA_CONFIG`]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything that the node keeps (`node.data_dir`)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Set a configuration key, such as `opamp.listen=127.0.0.1:0`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
