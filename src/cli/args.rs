//! What may be typed after `ampora`. Only shapes and help texts; nothing here acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::client_args::ClientCommand;

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
