//! What may be typed after `ampora`. Only shapes and help texts; nothing here acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::client::args::ClientCommand;
use super::simulate::SimulateCommand;

/// Control plane for fleets of telemetry agents that speak OpAMP.
#[derive(Debug, Parser)]
#[command(
    name = "ampora",
    version,
    propagate_version = true,
    max_term_width = 100,
    // At the root these options may stand before the first word; there they are not for every command.
    mut_args(|arg| arg.global(false)),
    after_help = "Start with `ampora serve`; in another terminal of the same machine: `ampora status`."
)]
pub struct Cli {
    /// Which node is meant.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The first word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until it is told to stop
    #[command(after_help = "\
Examples:
  ampora serve
  ampora serve --config /etc/ampora/ampora.yaml
  ampora serve --data-dir ./n1 --set opamp.listen=127.0.0.1:0")]
    Serve(SourceArgs),
    /// Bring the tables of the history in Postgres to what this program knows
    #[command(after_help = "\
A node does it at its start. Behind a pooler that gives each transaction another connection it cannot: give this command
a direct connection.

Examples:
  ampora migrate
  ampora migrate --set postgres.url=postgres://owner@db/ampora")]
    Migrate(SourceArgs),
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

/// Where the configuration of a node comes from, besides the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct SourceArgs {
    /// Configuration file [default: `./ampora.yaml`, else `/etc/ampora/ampora.yaml`] [env: `AMPORA_CONFIG`]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Directory of everything that the node keeps (`node.data_dir`)
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Set a configuration key, such as `opamp.listen=127.0.0.1:0`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

impl SourceArgs {
    /// These, and where they say nothing, what was typed before the first word.
    pub(super) fn or(self, before: Self) -> Self {
        Self {
            config: self.config.or(before.config),
            data_dir: self.data_dir.or(before.data_dir),
            // what stands after the first word is seen before it as well
            set: if self.set.starts_with(&before.set) {
                self.set
            } else {
                [before.set, self.set].concat()
            },
        }
    }
}

/// Which node a command talks to, and how it shows the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ReachArgs {
    /// Options of every command that asks a node.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The configuration that says where the node listens.
    #[command(flatten)]
    pub source: SourceArgs,
}

impl ReachArgs {
    /// These, and where they say nothing, what was typed before the first word.
    pub(super) fn or(self, before: Self) -> Self {
        Self {
            client: self.client.or(before.client),
            source: self.source.or(before.source),
        }
    }
}

/// Options of every command that asks a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Which node, and how to show its answer")]
pub struct ClientArgs {
    /// Admin address of the node [default: `admin.listen` of the configuration] [env: `AMPORA_URL`]
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// Token to send [default: `admin.token` of the data directory, for loopback URLs] [env: `AMPORA_TOKEN`]
    #[arg(long, value_name = "TOKEN", global = true)]
    pub token: Option<String>,
    /// Authorities that an https address is checked against, PEM [default: those of the system; for the node of this
    /// machine its own certificate] [env: `AMPORA_CA_FILE`]
    #[arg(long, value_name = "FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// Certificate to show, with its key, PEM: where `admin.tls.client_ca_file` asks for one [env:
    /// `AMPORA_CLIENT_CERT`]
    #[arg(long, value_name = "FILE", global = true)]
    pub client_cert: Option<PathBuf>,
    /// table, wide, json, yaml or name; json and yaml are what REST answers, all pages in one [default: table]
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        global = true,
        value_enum,
        hide_possible_values = true
    )]
    pub output: Option<Format>,
}

impl ClientArgs {
    fn or(self, before: Self) -> Self {
        Self {
            url: self.url.or(before.url),
            token: self.token.or(before.token),
            ca_file: self.ca_file.or(before.ca_file),
            client_cert: self.client_cert.or(before.client_cert),
            output: self.output.or(before.output),
        }
    }
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people, with more columns.
    Wide,
    /// What REST answers.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names alone, one on a line.
    Name,
}
