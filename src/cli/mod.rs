//! The command line: what was typed, turned into a call of the room that does it, and its end into an exit code.
//! What the process has (environment, host name, terminal) comes as an argument.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;

use self::{
    args::{CheckCommand, Cli, ClientArgs, Command, ReachArgs, SourceArgs},
    client::ClientError,
    simulate::SimulateCommand,
};
use crate::{
    config::{self, ConfigError, Loaded, Sources},
    node::RunError,
    simulate::PlanError,
    telemetry::logs::{LogsError, Outlet},
};

pub mod args;
pub mod client;
mod files;
mod migrate;
mod serve;
mod simulate;
#[cfg(test)]
mod tests;

/// What a command needs from the process that runs it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The name of this machine, when it has one.
    pub host_name: Option<String>,
    /// Standard error.
    pub outlet: Outlet,
    /// Whether standard output is a terminal.
    pub is_output_terminal: bool,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration cannot be used; its text says everything.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node did not start, or ended badly.
    #[error("the node does not run")]
    Node(#[from] RunError),
    /// The program could not be started again in its own place.
    #[error("cannot start again as a member of the cluster: start it by hand")]
    Again(#[source] io::Error),
    /// Logging did not start.
    #[error("cannot start logging")]
    Logs(#[from] LogsError),
    /// The runtime did not start.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The simulation cannot be done as asked.
    #[error(transparent)]
    Plan(PlanError),
    /// The simulation did not start.
    #[error("cannot simulate")]
    Simulate(#[source] io::Error),
    /// A running node was asked in vain.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The tables in Postgres are not what this program knows.
    #[error("cannot migrate: {0}")]
    Migrate(String),
    /// Options that mean nothing to this command.
    #[error("{0}")]
    Usage(&'static str),
    /// Standard output took nothing more.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl CliError {
    /// 2 for what was asked wrongly, 1 for what failed; 0 is success, and there is no other.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Plan(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Client(error) if error.is_usage() => ExitCode::from(2),
            Self::Client(_)
            | Self::Node(_)
            | Self::Again(_)
            | Self::Migrate(_)
            | Self::Logs(_)
            | Self::Simulate(_)
            | Self::Runtime(_)
            | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

/// Does what was typed.
///
/// # Errors
/// When it could not be done; [`CliError::exit_code`] is what the process should end with.
pub fn run(cli: Cli, surroundings: &Surroundings) -> Result<(), CliError> {
    let before = cli.reach;
    match cli.command {
        Command::Serve(from) => {
            let from = from.or(without_client(before)?);
            serve::serve(sources(from, surroundings), surroundings.outlet)
        }
        Command::Migrate(from) => {
            let from = from.or(without_client(before)?);
            migrate::migrate(&sources(from, surroundings))
        }
        Command::Check(CheckCommand::Config(from)) => {
            let from = from.or(without_client(before)?);
            let loaded = config::load(&sources(from, surroundings))?;
            print(&checked(&loaded))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ampora", &mut script);
            print_bytes(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(CliError::Output)?;
            print_bytes(&page)
        }
        Command::Simulate(SimulateCommand::Agents(args)) => {
            without_client(before)?;
            simulate::agents(args)
        }
        Command::Client(command) => client::run(command, before, surroundings),
    }
}

/// What was typed before the first word of a command that asks no node.
fn without_client(before: ReachArgs) -> Result<SourceArgs, CliError> {
    if before.client == ClientArgs::default() {
        Ok(before.source)
    } else {
        Err(CliError::Usage(
            "--url, --token and --output are for commands that ask a running node",
        ))
    }
}

/// The sources that a command reads its configuration from: what was typed, and the process.
pub fn sources(from: SourceArgs, surroundings: &Surroundings) -> Sources {
    Sources {
        file: from.config,
        default_files: config::default_files(),
        environment: surroundings.environment.clone(),
        set: from.set,
        data_dir: from.data_dir,
        host_name: surroundings.host_name.clone(),
    }
}

/// The effective configuration, below comments about where it came from and what of it has no effect.
fn checked(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(path) => format!("# read from {}\n", path.display()),
        None => "# no file was read\n".to_owned(),
    };
    for note in &loaded.notes {
        text.push_str(&format!("# note: {}\n", note.replace('\n', " ")));
    }
    text.push_str(&config::effective(&loaded.config));
    text
}

fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
