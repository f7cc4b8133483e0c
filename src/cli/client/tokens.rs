//! `ampora tokens`: who may use this interface. A token is printed when it is made and never again.

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::Session;
use super::args::LimitArgs;
use super::http::{Body, Call};
use super::output::View;
use super::text::{Look, age, card, cell, found, items, table};
use crate::cli::{CliError, args::Format};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// List tokens; their texts are not kept and cannot be shown
    List(LimitArgs),
    /// Make a token and print it, this once
    #[command(after_help = "\
Examples:
  ampora tokens create grafana --role viewer
  ampora tokens create ci --role operator --ttl 86400 -o json")]
    Create(CreateArgs),
    /// Revoke a token: the next request with it is refused
    Revoke {
        /// Its id, from `tokens list`
        id: String,
    },
}

/// Arguments of `tokens create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// What it is for: stands as the actor in what is recorded
    name: String,
    /// viewer reads, operator changes the fleet, admin decides who may do what
    #[arg(long, value_enum)]
    role: Role,
    /// Seconds until it stops working [default: never]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// Reads.
    Viewer,
    /// Changes the fleet.
    Operator,
    /// Decides who may do what.
    Admin,
}

const LIST: View = View {
    text: list_text,
    names: ids,
};

const MADE: View = View {
    text: |answer, _| {
        let mut lines = vec![
            ("id", cell(answer, "/id")),
            ("name", cell(answer, "/name")),
            ("role", cell(answer, "/role")),
        ];
        lines.extend(secret(answer));
        card(&lines)
    },
    names: |answer| vec![cell(answer, "/id")],
};

const REVOKED: View = View {
    text: |answer, _| format!("{} revoked\n", cell(answer, "/id")),
    names: |answer| vec![cell(answer, "/id")],
};

/// When it ends, and its text if this answer has it.
pub(super) fn secret(answer: &Value) -> [(&'static str, String); 2] {
    let ends = found(answer, "/expires_at").unwrap_or_else(|| "never".to_owned());
    let text = found(answer, "/token").unwrap_or_else(|| {
        "was shown when the call was answered first; revoke this one and make another".to_owned()
    });
    [("expires", ends), ("token", text)]
}

/// The ids of a list.
pub(super) fn ids(answer: &Value) -> Vec<String> {
    let items = items(answer, "items").iter();
    items.map(|item| cell(item, "/id")).collect()
}

pub(super) async fn run(session: &Session, command: TokensCommand) -> Result<(), CliError> {
    match command {
        TokensCommand::List(limit) => {
            let call = Call::get(&["tokens"]);
            let answer = session.client.pages(call, "items", limit.limit).await?;
            session.show_list(&answer, LIST)
        }
        TokensCommand::Create(args) => {
            let role = match args.role {
                Role::Viewer => "viewer",
                Role::Operator => "operator",
                Role::Admin => "admin",
            };
            let mut form = Map::new();
            form.insert("name".to_owned(), json!(args.name));
            form.insert("role".to_owned(), json!(role));
            form.extend(args.ttl.map(|ttl| ("ttl_seconds".to_owned(), json!(ttl))));
            let call = Call::new(Method::POST, &["tokens"]).body(Body::Json(Value::Object(form)));
            let answer = session.client.call(call).await?.body;
            session.show(&answer, MADE)
        }
        TokensCommand::Revoke { id } => revoke(session, "tokens", &id).await,
    }
}

/// Revokes a token of either kind.
pub(super) async fn revoke(session: &Session, kind: &str, id: &str) -> Result<(), CliError> {
    let call = Call::new(Method::DELETE, &[kind, id]);
    session.client.call(call).await?;
    // REST answers nothing, so that nothing is what json and yaml show.
    if matches!(session.output.format, Format::Json | Format::Yaml) {
        return Ok(());
    }
    session.show(&json!({"id": id}), REVOKED)
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec!["ID", "NAME", "ROLE", "CREATED", "EXPIRES"];
    if look.is_wide {
        head.push("BY");
    }
    let rows = items(answer, "items").iter().map(|item| {
        let mut row = vec![
            cell(item, "/id"),
            cell(item, "/name"),
            cell(item, "/role"),
            age(item, "/created_at", look.now_ms),
            found(item, "/expires_at").unwrap_or_else(|| "never".to_owned()),
        ];
        if look.is_wide {
            row.push(cell(item, "/created_by"));
        }
        row
    });
    table(&head, rows.collect(), "there are no tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_shown_once_and_its_absence_explained() {
        let mut made = json!({"id": "1", "name": "ci", "role": "viewer", "token": "amp_x"});
        let look = Look {
            is_wide: false,
            now_ms: 0,
        };
        let text = (MADE.text)(&made, &look);
        assert_eq!(
            text,
            "id       1\nname     ci\nrole     viewer\nexpires  never\ntoken    amp_x\n"
        );
        made.as_object_mut().expect("an object").remove("token");
        assert!((MADE.text)(&made, &look).contains("revoke this one"));
    }
}
