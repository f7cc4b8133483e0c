//! `ampora agents history`: what happened to one agent.

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::CliError;
use crate::cli::client::args::SpanArgs;
use crate::cli::client::http::Call;
use crate::cli::client::output::View;
use crate::cli::client::text::{Look, cell, found, items, plain, short_hash, table};
use crate::cli::client::{Session, note};

/// Arguments of `agents history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Agent
    uid: Uuid,
    /// Only these: connected, disconnected, health, description, `config_status`, `effective_config`, packages
    #[arg(long, value_name = "KIND,…")]
    kind: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    /// Show this many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

const VIEW: View = View {
    text,
    names: |answer| {
        let items = items(answer, "items").iter();
        items.map(|item| cell(item, "/at")).collect()
    },
};

pub(super) async fn run(session: &Session, args: HistoryArgs) -> Result<(), CliError> {
    let uid = args.uid.to_string();
    let call = Call::get(&["agents", &uid, "history"]).with("kind", args.kind);
    let call = args.span.narrow(call);
    let answer = session
        .client
        .pages(call, "items", Some(args.limit))
        .await?;
    session.show_list(&answer, VIEW)?;
    if answer["complete"] == false {
        note("some of it may be missing: a node or Postgres, which keeps it, was not heard");
    }
    Ok(())
}

fn text(answer: &Value, look: &Look) -> String {
    let mut head = vec!["AT", "KIND", "WHAT"];
    if look.is_wide {
        head = vec!["AT", "NODE", "SEQ", "KIND", "BODY"];
    }
    let rows = items(answer, "items").iter().map(|item| {
        if look.is_wide {
            let mut row: Vec<_> = ["/at", "/node", "/seq", "/kind"]
                .map(|pointer| cell(item, pointer))
                .into();
            // JSON spells out what would steer a terminal, but for some characters beyond ASCII
            row.push(plain(&item["body"].to_string()).into_owned());
            return row;
        }
        vec![cell(item, "/at"), cell(item, "/kind"), what(item)]
    });
    table(&head, rows.collect(), "nothing is known of it")
}

/// What a person wants to read first.
fn what(item: &Value) -> String {
    let body = |field: &str| found(item, &format!("/body/{field}"));
    let told = match item["kind"].as_str() {
        Some("connected") => body("transport"),
        Some("disconnected") => body("reason"),
        Some("health") => {
            let is_healthy = item.pointer("/body/healthy") == Some(&Value::Bool(true));
            let word = if is_healthy { "healthy" } else { "unhealthy" };
            let why = body("last_error").or_else(|| body("status"));
            Some(why.map_or_else(|| word.to_owned(), |why| format!("{word}: {why}")))
        }
        Some("config_status") => {
            let status = body("status").unwrap_or_default();
            let hash = short_hash(item, "/body/hash");
            Some(match body("error") {
                Some(error) => format!("{status} {hash}: {error}"),
                None => format!("{status} {hash}"),
            })
        }
        Some("effective_config") => Some(short_hash(item, "/body/hash")),
        Some("description") => {
            let words = ["name", "agent_type", "agent_version"].into_iter();
            Some(words.filter_map(body).collect::<Vec<_>>().join(" "))
        }
        Some("packages") => {
            let packages = item.pointer("/body/packages").and_then(Value::as_array);
            packages.map(|packages| format!("{} packages", packages.len()))
        }
        Some(_) | None => None,
    };
    told.unwrap_or_else(|| "-".to_owned())
}
