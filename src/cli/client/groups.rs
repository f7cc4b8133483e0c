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
use super::text::{Look, age, card, cell, counted, found, items, number, plain, table, version};
use super::watch;
use crate::cli::{CliError, args::Format};

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
}

impl GroupsCommand {
    /// The configuration file of the node, where it may be named behind the command. Behind `put`, `--config` means
    /// what the group is to run; there the file stands before `put`.
    pub(super) fn take_config_file(&mut self) -> Option<PathBuf> {
        match self {
            Self::Put(_) => None,
            Self::List(args) => args.file.config.take(),
            Self::Show(args) => args.file.config.take(),
            Self::Delete(args) => args.file.config.take(),
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
    if let Some(quarantined) = group.get("quarantined").filter(|value| !value.is_null()) {
        lines.insert(
            6,
            ("quarantined", plain(&quarantined.to_string()).into_owned()),
        );
    }
    card(&lines)
}

/// What the group gives, and what it gave before while a change is under way.
fn assigned(group: &Value) -> String {
    if group.get("configuration").is_none_or(Value::is_null) {
        return "nothing is assigned".to_owned();
    }
    let (assigned, settled) = (version(group, "/configuration"), version(group, "/settled"));
    if group.pointer("/next/version").is_some() && settled != assigned {
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
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(subcommand)]
        command: GroupsCommand,
    }

    fn typed(words: &[&str]) -> Result<Value, String> {
        let words = [&["groups", "put", "g"], words].concat();
        let typed = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
        let GroupsCommand::Put(args) = typed.command else {
            panic!("put");
        };
        form(&args).map_err(|error| error.to_string())
    }

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 0,
    };

    #[test]
    fn body_holds_what_was_named_and_nothing_else() {
        assert_eq!(typed(&["--selector", "*"]), Ok(json!({"selector": "*"})));
        assert_eq!(
            typed(&[
                "--priority",
                "-3",
                "--config",
                "edge@2",
                "--pace",
                "all-at-once",
                "--max-affected",
                "0",
            ]),
            Ok(json!({
                "priority": -3, "configuration": {"name": "edge", "version": 2}, "pace": "all-at-once",
                "max_affected": 0,
            }))
        );
        assert_eq!(
            typed(&["--config", "edge"]),
            Ok(json!({"configuration": {"name": "edge"}}))
        );
        assert_eq!(typed(&["--no-config"]), Ok(json!({"configuration": null})));
    }

    #[test]
    fn words_that_cannot_be_meant_are_refused() {
        for bad in [
            &[][..],
            &["--dry-run"],
            &["--max-affected", "1"],
            &["--pace", "fast"],
            &["--config", "edge", "--no-config"],
            &["--config", "edge@0"],
            &["--priority", "high"],
            &["--max-affected", "-1"],
        ] {
            assert!(typed(bad).is_err(), "{bad:?}");
        }
    }

    fn group() -> Value {
        json!({
            "name": "prod", "selector": "env=prod", "priority": 10, "pace": "all-at-once",
            "configuration": {"name": "edge", "version": 2, "hash": "h"},
            "settled": {"name": "edge", "version": 2, "hash": "h"}, "next": null, "quarantined": null,
            "matched": 3, "affected": 2, "confirmed": 1, "failed": 1,
            "changed_at": "1970-01-01T00:00:00.000Z", "changed_by": "admin",
        })
    }

    #[test]
    fn put_says_how_many_agents_match_and_change() {
        assert_eq!(
            put_text(&group(), "created"),
            "prod created: env=prod\n\
             configuration  edge@2\n\
             agents         3 agents, 1 confirmed, 2 to change, 1 failed\n"
        );
        let mut none = group();
        none["configuration"] = Value::Null;
        assert!(put_text(&none, "changed").contains("nothing is assigned"));
    }

    #[test]
    fn settled_version_is_named_while_a_change_is_under_way() {
        let mut moving = group();
        moving["next"] = json!({"name": "edge", "version": 3, "hash": "i"});
        moving["configuration"] = moving["next"].clone();
        assert!(shown_text(&moving, &LOOK).contains("configuration  edge@3, settled is edge@2\n"));
    }

    #[test]
    fn dry_run_lists_who_would_change_and_counts_the_rest() {
        let mut answer = group();
        answer["would_change"] = json!({"count": 3, "agents": ["u1", "u2"]});
        assert_eq!(
            tried_text(&answer),
            "nothing was changed\n\
             prod would match 3 agents, 3 agents would change\n\
             \u{20} u1\n\u{20} u2\n\u{20} and 1 more\n"
        );
        assert_eq!(would_change(&answer), ["u1", "u2"]);
    }
}
