//! `ampora groups preview`, `lift` and `revert`: before a change, and after one that went wrong.

use http::Method;
use serde_json::Value;

use super::{CHANGED, FileArgs, TRIED};
use crate::cli::CliError;
use crate::cli::client::Session;
use crate::cli::client::args::{LimitArgs, VersionName, name, version_name};
use crate::cli::client::http::Call;
use crate::cli::client::output::View;
use crate::cli::client::text::{Look, cell, counted, items, number, table, version};

/// Arguments of `groups preview`.
#[derive(Debug, clap::Args)]
pub struct PreviewArgs {
    /// Group; it need not exist when a selector is named
    #[arg(value_parser = name)]
    name: String,
    /// Which agents would belong
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// With which priority
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// What they would run: a configuration, its newest version unless one is named
    #[arg(long = "config", id = "assign", value_name = "NAME[@V]", value_parser = version_name)]
    assign: Option<VersionName>,
    #[command(flatten)]
    limit: LimitArgs,
}

/// Arguments of `groups lift` and `groups revert`.
#[derive(Debug, clap::Args)]
pub struct WayArgs {
    /// Group
    #[arg(value_parser = name)]
    name: String,
    /// Refuse when more agents would change
    #[arg(long, value_name = "N")]
    max_affected: Option<u32>,
    /// Change nothing and say who would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) file: FileArgs,
}

const PREVIEW: View = View {
    text: |answer, _: &Look| preview_text(answer),
    names: |answer| {
        items(answer, "items")
            .iter()
            .filter(|item| item["changes"] == Value::Bool(true))
            .map(|item| cell(item, "/instance_uid"))
            .collect()
    },
};

/// Shows who belongs and who would change.
pub(super) async fn preview(session: &Session, args: PreviewArgs) -> Result<(), CliError> {
    let assign = args.assign.as_ref();
    let assign = assign.map(|VersionName { name, version }| match version {
        Some(version) => format!("{name}@{version}"),
        None => name.clone(),
    });
    let call = Call::get(&["groups", &args.name, "preview"])
        .with("selector", args.selector.as_ref())
        .with("priority", args.priority)
        .with("configuration", assign);
    let limit = args.limit.limit;
    let answer = session.client.pages(call, "items", limit).await?;
    session.show(&answer, PREVIEW)
}

/// Lifts a quarantine or goes back.
pub(super) async fn go(session: &Session, args: WayArgs, way: &[&str]) -> Result<(), CliError> {
    let path = [&["groups", args.name.as_str()], way].concat();
    let call = Call::new(Method::POST, &path)
        .with("dry_run", args.dry_run.then_some(true))
        .with("max_affected", args.max_affected);
    let answer = session.client.call(call).await?;
    session.show(&answer.body, if args.dry_run { TRIED } else { CHANGED })
}

fn preview_text(answer: &Value) -> String {
    let rows = items(answer, "items").iter().map(|item| {
        vec![
            cell(item, "/instance_uid"),
            cell(item, "/name"),
            cell(item, "/group"),
            cell(item, "/matches"),
            cell(item, "/changes"),
            version(item, "/from"),
            version(item, "/to"),
        ]
    });
    let head = ["UID", "NAME", "GROUP", "MATCHES", "CHANGES", "FROM", "TO"];
    format!(
        "{}{} would match {}, {} would change\n",
        table(&head, rows.collect(), "nobody would belong or change"),
        cell(answer, "/name"),
        counted(number(answer, "/matched"), "agent", "agents"),
        counted(number(answer, "/would_change"), "agent", "agents"),
    )
}
