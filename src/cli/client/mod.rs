//! Commands that talk to a running node: one file for each noun, over one way to ask and one way to answer.
//!
//! What a command shows is what REST answers; nothing here knows more of a fleet than that.

use tokio::runtime;

use self::{
    args::ClientCommand,
    http::Client,
    output::{Output, View, note},
};
use super::{CliError, Surroundings, args::ReachArgs};
use crate::clock::SystemClock;
use ampora_raft::time::Clock;
use serde_json::Value;

mod agents;
pub mod args;
mod audit;
mod backup;
mod cluster;
mod configs;
mod connect;
mod dispatch;
mod enrollment;
mod error;
mod groups;
mod http;
mod instruct;
mod output;
mod problem;
mod status;
mod text;
mod tokens;
mod watch;

pub use error::ClientError;

/// What every command has.
#[derive(Debug)]
struct Session {
    client: Client,
    output: Output,
}

impl Session {
    /// Shows an answer.
    fn show(&self, answer: &Value, view: View) -> Result<(), CliError> {
        self.output.show(answer, view, SystemClock.wall_ms())
    }

    /// Shows a list, and says when it is not the whole list.
    fn show_list(&self, answer: &Value, view: View) -> Result<(), CliError> {
        self.show(answer, view)?;
        if self.output.is_for_people() && answer.get("continue").is_some_and(Value::is_string) {
            note("there are more: raise --limit");
        }
        Ok(())
    }
}

/// Does a command for a running node.
///
/// # Errors
/// When it could not be done.
pub(super) fn run(
    mut command: ClientCommand,
    before: ReachArgs,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let reach = command.take_reach().or(before);
    let format = reach.client.output.unwrap_or_default();
    let output = Output {
        format,
        is_terminal: surroundings.is_output_terminal,
        shows_progress: surroundings.outlet.is_terminal,
    };
    if let ClientCommand::Backup(noun) = &command
        && let Some(ended) = backup::run_offline(&noun.command, &reach.source, output, surroundings)
    {
        return ended;
    }
    let client = Client::new(connect::find(reach, surroundings)?)?;
    let session = Session { client, output };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let ended = runtime.block_on(act(command, &session));
    // A name that is being looked up holds a thread that nobody needs to wait for.
    runtime.shutdown_background();
    ended
}

async fn act(command: ClientCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ClientCommand::Status(args) => status::run(session, args).await,
        ClientCommand::Agents(noun) => agents::run(session, noun.command).await,
        ClientCommand::Configs(noun) => configs::run(session, noun.command).await,
        ClientCommand::Groups(noun) => groups::run(session, noun.command).await,
        ClientCommand::Dispatch(noun) => dispatch::run(session, noun.command).await,
        ClientCommand::Cluster(noun) => cluster::run(session, noun.command).await,
        ClientCommand::Audit(noun) => audit::run(session, noun.command).await,
        ClientCommand::Tokens(noun) => tokens::run(session, noun.command).await,
        ClientCommand::Enrollment(noun) => enrollment::run(session, noun.command).await,
        ClientCommand::Backup(noun) => backup::run(session, noun.command).await,
    }
}
