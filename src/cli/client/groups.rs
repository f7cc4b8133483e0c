//! `ampora groups`: which agents run which configuration.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Session;
use super::args::{LimitArgs, VersionName, WatchArgs, name, version_name};
use super::error::ClientError;
use super::http::{Body, Call};
use super::output::View;
use super::text::{Look, age, card, cell, counted, found, items, number, table, version};
use super::watch;
use crate::cli::{CliError, args::Format};

use ways::{PreviewArgs, WayArgs};

mod ways;

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// Make a group or change it; what is not named stays as it is
    #[command(after_help = "\
An agent belongs to the group with the highest priority whose selector matches it.

Examples:
  ampora groups put everyone --selector '*' --config edge
  ampora groups put prod --selector 'env=prod' --priority 10 --config edge@3
  ampora groups put prod --config edge@4 --dry-run")]
    Put(PutArgs),
    /// List groups with how far their agents are
    List(ListArgs),
    /// Show one group
    Show(ShowArgs),
    /// Delete a group; its agents go to the next one that matches them
    Delete(DeleteArgs),
    /// Say who belongs to a group and who would change, for the group as it is or as it might be
    #[command(after_help = "\
Examples:
  ampora groups preview prod
  ampora groups preview prod --selector 'env in (prod,staging)'
  ampora groups preview prod --config edge@4")]
    Preview(PreviewArgs),
    /// Offer what is quarantined in a group again, to ten agents first
    Lift(WayArgs),
    /// Go back to what was settled before, for every agent at once
    Revert(WayArgs),
}

impl GroupsCommand {
    /// The configuration file of the node, where it may be named behind the command. Behind `put` and `preview`,
    /// `--config` means what the group is to run; there the file stands before the command.
    pub(super) fn take_config_file(&mut self) -> Option<PathBuf> {
        match self {
            Self::Put(_) | Self::Preview(_) => None,
            Self::List(args) => args.file.config.take(),
            Self::Show(args) => args.file.config.take(),
            Self::Delete(args) => args.file.config.take(),
            Self::Lift(args) | Self::Revert(args) => args.file.config.take(),
        }
    }
}

/// The configuration file of the node.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// Configuration file that says where the node listens
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Arguments of `groups put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// Group
    #[arg(value_parser = name)]
    name: String,
    /// Which agents belong, such as `env=prod`, or `*` for every agent; needed for a new group
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// The higher wins where several groups match an agent [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// What they run: a configuration, its newest version unless one is named
    #[arg(long = "config", id = "assign", value_name = "NAME[@V]", value_parser = version_name)]
    assign: Option<VersionName>,
    /// Assign nothing: the group offers no configuration
    #[arg(long, conflicts_with = "assign")]
    no_config: bool,
    /// How a change reaches the agents: slow-start (from ten on, doubling as they confirm) or all-at-once
    #[arg(long, value_enum, hide_possible_values = true)]
    pace: Option<Pace>,
    /// Refuse when more agents would change
    #[arg(long, value_name = "N")]
    max_affected: Option<u32>,
    /// Change nothing and say who would change
    #[arg(long)]
    dry_run: bool,
}

/// How a change reaches the agents of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pace {
    /// From ten agents on, doubling as they confirm.
    SlowStart,
    /// To all of them.
    AllAtOnce,
}

/// Arguments of `groups list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Arguments of `groups show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Group
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Arguments of `groups delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Group
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    file: FileArgs,
}

const LIST: View = View {
    text: list_text,
    names: |answer| {
        items(answer, "items")
            .iter()
            .map(|item| cell(item, "/name"))
            .collect()
    },
};

const SHOWN: View = View {
    text: shown_text,
    names: |answer| vec![cell(answer, "/name")],
};

const MADE: View = View {
    text: |answer, _| put_text(answer, "created"),
    names: SHOWN.names,
};

const CHANGED: View = View {
    text: |answer, _| put_text(answer, "changed"),
    names: SHOWN.names,
};

const TRIED: View = View {
    text: |answer, _| tried_text(answer),
    names: |answer| would_change(answer),
};

const DELETED: View = View {
    text: |answer, _| format!("{} deleted\n", cell(answer, "/name")),
    names: SHOWN.names,
};

pub(super) async fn run(session: &Session, command: GroupsCommand) -> Result<(), CliError> {
    match command {
        GroupsCommand::Put(args) => put(session, args).await,
        GroupsCommand::List(args) => {
            let call = Call::get(&["groups"]);
            let ask = async || {
                let call = call.clone();
                session.client.pages(call, "items", args.limit.limit).await
            };
            watch::show(session, args.watch, LIST, ask).await
        }
        GroupsCommand::Preview(args) => ways::preview(session, args).await,
        GroupsCommand::Lift(args) => ways::go(session, args, &["quarantine", "lift"]).await,
        GroupsCommand::Revert(args) => ways::go(session, args, &["revert"]).await,
        GroupsCommand::Show(args) => {
            let ask = async || session.client.get(Call::get(&["groups", &args.name])).await;
            watch::show(session, args.watch, SHOWN, ask).await
        }
        GroupsCommand::Delete(args) => {
            let call = Call::new(Method::DELETE, &["groups", &args.name]);
            session.client.call(call).await?;
            // REST answers nothing, so that nothing is what json and yaml show.
            if matches!(session.output.format, Format::Json | Format::Yaml) {
                return Ok(());
            }
            session.show(&json!({"name": args.name}), DELETED)
        }
    }
}

async fn put(session: &Session, args: PutArgs) -> Result<(), CliError> {
    let body = form(&args)?;
    let call = Call::new(Method::PUT, &["groups", &args.name])
        .with("dry_run", args.dry_run.then_some(true))
        .body(Body::Json(body));
    let answer = session.client.call(call).await?;
    let view = match answer.status {
        _ if args.dry_run => TRIED,
        StatusCode::CREATED => MADE,
        _ => CHANGED,
    };
    session.show(&answer.body, view)
}

/// The body of the request: what was not named is not in it.
fn form(args: &PutArgs) -> Result<Value, ClientError> {
    let mut body = Map::new();
    let mut set = |field: &str, value: Option<Value>| {
        body.extend(value.map(|value| (field.to_owned(), value)));
    };
    set("selector", args.selector.as_deref().map(Value::from));
    set("priority", args.priority.map(Value::from));
    let assign = args
        .assign
        .as_ref()
        .map(|VersionName { name, version }| match version {
            Some(version) => json!({"name": name, "version": version}),
            None => json!({"name": name}),
        });
    set(
        "configuration",
        assign.or(args.no_config.then_some(Value::Null)),
    );
    set(
        "pace",
        args.pace.map(|pace| {
            Value::from(match pace {
                Pace::SlowStart => "slow-start",
                Pace::AllAtOnce => "all-at-once",
            })
        }),
    );
    if body.is_empty() {
        return Err(ClientError::Usage(
            "nothing to change: name at least one of --selector, --priority, --config, --no-config and --pace".to_owned(),
        ));
    }
    body.extend(
        args.max_affected
            .map(|max| ("max_affected".to_owned(), Value::from(max))),
    );
    Ok(Value::Object(body))
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec![
        "NAME",
        "PRIORITY",
        "SELECTOR",
        "CONFIG",
        "AGENTS",
        "CONFIRMED",
        "TO CHANGE",
        "FAILED",
    ];
    if look.is_wide {
        head.extend(["PACE", "SETTLED", "NEXT", "CHANGED", "BY"]);
    }
    let rows = items(answer, "items").iter().map(|group| {
        let mut row = vec![
            cell(group, "/name"),
            cell(group, "/priority"),
            cell(group, "/selector"),
            version(group, "/configuration"),
            cell(group, "/matched"),
            cell(group, "/confirmed"),
            cell(group, "/affected"),
            cell(group, "/failed"),
        ];
        if look.is_wide {
            row.extend([
                cell(group, "/pace"),
                version(group, "/settled"),
                version(group, "/next"),
                age(group, "/changed_at", look.now_ms),
                cell(group, "/changed_by"),
            ]);
        }
        row
    });
    let empty = "there are no groups: make one with `ampora groups put NAME --selector '*' --config CONFIGURATION`";
    table(&head, rows.collect(), empty)
}

fn shown_text(group: &Value, look: &Look) -> String {
    let mut lines = vec![
        ("group", cell(group, "/name")),
        ("selector", cell(group, "/selector")),
        ("priority", cell(group, "/priority")),
        ("configuration", assigned(group)),
        ("pace", cell(group, "/pace")),
        ("agents", standing(group)),
        (
            "changed",
            format!(
                "{} by {}",
                age(group, "/changed_at", look.now_ms),
                cell(group, "/changed_by")
            ),
        ),
    ];
    if let Some(window) = group.get("window").filter(|value| !value.is_null()) {
        let text = format!(
            "{}, opened {} ago",
            counted(number(window, "/agents"), "agent", "agents"),
            age(window, "/opened_at", look.now_ms)
        );
        lines.insert(6, ("window", text));
    }
    if let Some(held) = group.get("quarantined").filter(|value| !value.is_null()) {
        let text = format!("{}: {}", version(held, ""), cell(held, "/reason"));
        lines.insert(6, ("quarantined", text));
    }
    card(&lines)
}

/// What the group gives, and what it gave before while a change is under way.
fn assigned(group: &Value) -> String {
    if group.get("configuration").is_none_or(Value::is_null) {
        return "nothing is assigned".to_owned();
    }
    let (assigned, settled) = (version(group, "/configuration"), version(group, "/settled"));
    let is_moving = group.pointer("/next/version").is_some();
    if is_moving && group.get("settled").is_none_or(Value::is_null) {
        format!("{assigned}, on its way")
    } else if is_moving && settled != assigned {
        format!("{assigned}, settled is {settled}")
    } else {
        assigned
    }
}

/// How far the agents of a group are.
fn standing(group: &Value) -> String {
    let mut text = format!(
        "{}, {} confirmed, {} to change",
        counted(number(group, "/matched"), "agent", "agents"),
        number(group, "/confirmed"),
        number(group, "/affected"),
    );
    if let failed @ 1.. = number(group, "/failed") {
        text.push_str(&format!(", {failed} failed"));
    }
    text
}

fn put_text(group: &Value, what: &str) -> String {
    format!(
        "{} {what}: {}\n\
         configuration  {}\n\
         agents         {}\n",
        cell(group, "/name"),
        cell(group, "/selector"),
        assigned(group),
        standing(group)
    )
}

fn would_change(answer: &Value) -> Vec<String> {
    let agents = answer.pointer("/would_change/agents");
    let agents = agents.and_then(Value::as_array);
    agents
        .into_iter()
        .flatten()
        .filter_map(|uid| found(uid, ""))
        .collect()
}

fn tried_text(answer: &Value) -> String {
    let count = number(answer, "/would_change/count");
    let agents = would_change(answer);
    let mut text = format!(
        "nothing was changed\n\
         {} would match {}, {} would change\n",
        cell(answer, "/name"),
        counted(number(answer, "/matched"), "agent", "agents"),
        counted(count, "agent", "agents"),
    );
    for uid in &agents {
        text.push_str(&format!("  {uid}\n"));
    }
    if let rest @ 1.. = count.saturating_sub(agents.len() as u64) {
        text.push_str(&format!("  and {rest} more\n"));
    }
    text
}

#[cfg(test)]
mod tests;
