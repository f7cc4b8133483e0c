//! `ampora audit`: what operators changed, and whether the chain of records is whole.

mod export;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Session;
use super::args::SpanArgs;
use super::error::ClientError;
use super::http::Call;
use super::output::View;
use super::text::{Look, card, cell, items, number, table};
use crate::cli::CliError;

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List records, newest first
    #[command(after_help = "\
Examples:
  ampora audit list --actor ann --since 2026-11-24T00:00:00Z
  ampora audit list --action group.put --target prod -o wide")]
    List(ListArgs),
    /// Check the chain of records; ends with 1 and says where when it is broken
    Verify,
    /// Print records as JSON, one on a line, newest first, and check each hash here
    #[command(after_help = "\
Examples:
  ampora audit export > audit.jsonl
  ampora audit export --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z")]
    Export(SpanArgs),
}

/// Arguments of `audit list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only what this token's name did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only this action, such as `group.put`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only what was done to this
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    /// Show this many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// The question for the records of this span.
fn of(span: &SpanArgs) -> Call<'static> {
    span.narrow(Call::get(&["audit"]))
}

const LIST: View = View {
    text: list_text,
    names: |answer| {
        let items = items(answer, "items").iter();
        items.map(|item| cell(item, "/seq")).collect()
    },
};

const VERIFIED: View = View {
    text: |answer, _| {
        card(&[
            (
                "chain",
                if is_whole(answer) { "whole" } else { "broken" }.to_owned(),
            ),
            ("records", cell(answer, "/records")),
            ("first", cell(answer, "/first")),
            ("last", cell(answer, "/last")),
            ("hash", cell(answer, "/hash")),
        ])
    },
    names: |answer| vec![cell(answer, "/hash")],
};

pub(super) async fn run(session: &Session, command: AuditCommand) -> Result<(), CliError> {
    match command {
        AuditCommand::List(args) => {
            let call = of(&args.span)
                .with("actor", args.actor)
                .with("action", args.action)
                .with("target", args.target);
            let answer = session
                .client
                .pages(call, "items", Some(args.limit))
                .await?;
            session.show_list(&answer, LIST)
        }
        AuditCommand::Verify => verify(session).await,
        AuditCommand::Export(span) => export::run(session, &span).await,
    }
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec!["SEQ", "AT", "ACTOR", "FROM", "ACTION", "TARGET"];
    if look.is_wide {
        head.extend(["REQUEST", "INDEX", "BEFORE", "AFTER"]);
    }
    let rows = items(answer, "items").iter().map(|item| {
        if item.get("damaged").is_some() {
            let mut row = vec![cell(item, "/seq"), cell(item, "/damaged")];
            row.resize(head.len(), "-".to_owned());
            return row;
        }
        let mut row: Vec<_> = ["/seq", "/at", "/actor", "/from", "/action", "/target"]
            .map(|pointer| cell(item, pointer))
            .into();
        if look.is_wide {
            row.extend(["/request_id", "/index"].map(|pointer| cell(item, pointer)));
            // JSON spells out what would steer a terminal, but for some characters beyond ASCII
            let state = |field| super::text::plain(&item[field].to_string()).into_owned();
            row.extend(["before", "after"].map(state));
        }
        row
    });
    table(&head, rows.collect(), "no records")
}

fn is_whole(answer: &Value) -> bool {
    answer.get("ok").and_then(Value::as_bool) == Some(true)
}

/// Lets the node walk its chain, call by call, and adds up what it found.
async fn verify(session: &Session) -> Result<(), CliError> {
    let mut records = 0;
    let mut token: Option<String> = None;
    let answer = loop {
        let call = Call::get(&["audit", "verify"]).with("continue", token.as_ref());
        let mut answer = session.client.get(call).await?;
        records += number(&answer, "/records");
        match answer.get("continue").and_then(Value::as_str) {
            Some(next) if token.as_deref() != Some(next) => token = Some(next.to_owned()),
            Some(_) | None => {
                answer["records"] = json!(records);
                break answer;
            }
        }
    };
    session.show(&answer, VERIFIED)?;
    if is_whole(&answer) {
        return Ok(());
    }
    let (at, why) = (cell(&answer, "/broken_at"), cell(&answer, "/why"));
    Err(ClientError::Audit(format!("the audit chain is broken at record {at}: {why}")).into())
}
