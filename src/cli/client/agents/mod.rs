//! `ampora agents`: what runs out there, and what it is told to do.

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::Session;
use super::args::{LimitArgs, WatchArgs, time};
use super::http::Call;
use super::instruct::{self, Action, InstructArgs};
use super::watch;
use crate::cli::CliError;

mod bodies;
mod card;
mod history;
mod list;
mod manage;
mod past;

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// List agents
    #[command(after_help = "\
Examples:
  ampora agents list
  ampora agents list --selector 'env in (prod,staging), !legacy' --state connected
  ampora agents list -q collector -o wide
  ampora agents list --at 2026-11-24T17:00:00Z")]
    List(ListArgs),
    /// Show one agent: what it is, what it runs, and what keeps it from running what it should
    #[command(after_help = "\
Examples:
  ampora agents show UID
  ampora agents show UID --effective-config")]
    Show(ShowArgs),
    /// Show what happened to an agent, newest first
    #[command(after_help = "\
Examples:
  ampora agents history UID --since 2026-11-24T00:00:00Z
  ampora agents history UID --kind health,config_status -o wide")]
    History(history::HistoryArgs),
    /// Show the list of agents again whenever it changes, until Ctrl-C
    Watch(FilterArgs),
    /// Restart agents, and wait until they are back
    #[command(after_help = "\
Examples:
  ampora agents restart UID
  ampora agents restart --selector 'env=prod' --expires-in 600")]
    Restart(InstructArgs),
    /// Offer agents their configuration once more, even when it failed before, and wait for what they say
    #[command(after_help = "\
Examples:
  ampora agents push UID
  ampora agents push --selector '*' --no-wait")]
    Push(InstructArgs),
    /// Send agents a message of a custom capability, and wait until it was written
    #[command(after_help = "\
Examples:
  ampora agents message UID --capability org.example.cache --type flush
  ampora agents message --selector '*' --capability org.example.cache --type set --data 'size=1'")]
    Message(MessageArgs),
    /// Give an agent labels, or take them away; they hide those that it reports
    #[command(after_help = "\
Examples:
  ampora agents label UID team=core env=prod
  ampora agents label UID zone- --dry-run")]
    Label(manage::LabelArgs),
    /// Forget an agent that is disconnected; if it comes back, it is new
    Forget(manage::ForgetArgs),
}

/// Arguments of `agents message`.
#[derive(Debug, Args)]
pub struct MessageArgs {
    #[command(flatten)]
    instruct: InstructArgs,
    /// Capability that the agent announced
    #[arg(long, value_name = "NAME")]
    capability: String,
    /// Type of the message within it
    #[arg(long = "type", value_name = "NAME")]
    message_type: String,
    /// What it says
    #[arg(long, value_name = "TEXT", default_value = "")]
    data: String,
}

/// Arguments of `agents list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// As they were at this time, in RFC 3339, told from the history in Postgres
    #[arg(
        long,
        value_name = "TIME",
        value_parser = time,
        conflicts_with_all = ["selector", "text", "state", "group", "watch"]
    )]
    at: Option<String>,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Which agents are listed.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Those whose labels match, such as `env=prod`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Those with this text in name, uid, type or version
    #[arg(short = 'q', long = "query", value_name = "TEXT")]
    text: Option<String>,
    /// Those that are connected, stale or disconnected
    #[arg(long, value_enum, hide_possible_values = true)]
    state: Option<State>,
    /// Those that belong to this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    limit: LimitArgs,
}

/// Whether an agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// It has a session and its connection is up.
    Connected,
    /// It has been silent for too long, or its node went away.
    Stale,
    /// It is gone.
    Disconnected,
}

/// Arguments of `agents show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Agent
    uid: Uuid,
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// What of an agent to show instead of the whole.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
struct PartArgs {
    /// Show the configuration that it runs by its own word, secrets left out
    #[arg(long)]
    effective_config: bool,
    /// Show its health with that of its components
    #[arg(long)]
    health: bool,
    /// Show the components that it is built of
    #[arg(long)]
    components: bool,
}

pub(super) async fn run(session: &Session, command: AgentsCommand) -> Result<(), CliError> {
    match command {
        AgentsCommand::List(ListArgs {
            filter,
            at: Some(at),
            ..
        }) => past::run(session, &at, filter.limit.limit).await,
        AgentsCommand::List(args) => list(session, args.filter, args.watch).await,
        AgentsCommand::Watch(filter) => list(session, filter, WatchArgs { watch: true }).await,
        AgentsCommand::Show(args) => show(session, args).await,
        AgentsCommand::History(args) => history::run(session, args).await,
        AgentsCommand::Restart(args) => instruct::run(session, Action::Restart, args).await,
        AgentsCommand::Push(args) => instruct::run(session, Action::PushConfig, args).await,
        AgentsCommand::Message(args) => {
            let action = Action::Message {
                capability: args.capability,
                message_type: args.message_type,
                data: args.data.into_bytes(),
            };
            instruct::run(session, action, args.instruct).await
        }
        AgentsCommand::Label(args) => manage::label(session, args).await,
        AgentsCommand::Forget(args) => manage::forget(session, args).await,
    }
}

async fn list(session: &Session, filter: FilterArgs, watch: WatchArgs) -> Result<(), CliError> {
    let state = filter.state.map(|state| match state {
        State::Connected => "connected",
        State::Stale => "stale",
        State::Disconnected => "disconnected",
    });
    let call = Call::get(&["agents"])
        .with("selector", filter.selector)
        .with("q", filter.text)
        .with("state", state)
        .with("group", filter.group);
    let ask = async || {
        let call = call.clone();
        session
            .client
            .pages(call, "items", filter.limit.limit)
            .await
    };
    watch::show(session, watch, list::VIEW, ask).await
}

async fn show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let uid = args.uid.to_string();
    let mut path = vec!["agents", &uid];
    let PartArgs {
        effective_config,
        health,
        components,
    } = args.part;
    let view = if effective_config {
        path.push("effective-config");
        bodies::EFFECTIVE_CONFIG
    } else if health {
        path.push("health");
        bodies::HEALTH
    } else if components {
        path.push("components");
        bodies::COMPONENTS
    } else {
        card::VIEW
    };
    let ask = async || session.client.get(Call::get(&path)).await;
    watch::show(session, args.watch, view, ask).await
}
