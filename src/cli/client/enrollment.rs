//! `ampora enrollment`: with which tokens agents may come.

use std::collections::BTreeMap;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::Session;
use super::args::LimitArgs;
use super::http::{Body, Call};
use super::output::View;
use super::text::{Look, age, card, cell, found, items, plain, table};
use super::tokens::{ids, revoke, secret};
use crate::cli::CliError;

/// What can be done with enrollment tokens.
#[derive(Debug, Subcommand)]
pub enum EnrollmentCommand {
    /// List enrollment tokens with how many agents came with each
    List(LimitArgs),
    /// Make an enrollment token and print it, this once
    #[command(after_help = "\
Agents send it in a header: `Authorization: Bearer amp_…`.

Examples:
  ampora enrollment create edge --label env=prod --label site=berlin
  ampora enrollment create rollout --uses 200 --ttl 86400")]
    Create(CreateArgs),
    /// Revoke an enrollment token, and with it every agent that came with it, at once
    Revoke {
        /// Its id, from `enrollment list`
        id: String,
    },
}

/// Arguments of `enrollment create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// What it is for
    name: String,
    /// How many distinct agents may come with it [default: any number]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// Seconds after which no new agents may come; those that came before stay [default: never]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Server label of the agents that come with it; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a label is KEY=VALUE".to_owned()),
    }
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
            ("uses", uses(answer)),
            ("labels", labels(answer)),
        ];
        lines.extend(secret(answer));
        card(&lines)
    },
    names: |answer| vec![cell(answer, "/id")],
};

pub(super) async fn run(session: &Session, command: EnrollmentCommand) -> Result<(), CliError> {
    match command {
        EnrollmentCommand::List(limit) => {
            let call = Call::get(&["enrollment-tokens"]);
            let answer = session.client.pages(call, "items", limit.limit).await?;
            session.show_list(&answer, LIST)
        }
        EnrollmentCommand::Create(args) => {
            let mut form = Map::new();
            form.insert("name".to_owned(), json!(args.name));
            form.extend(args.uses.map(|uses| ("uses".to_owned(), json!(uses))));
            form.extend(args.ttl.map(|ttl| ("ttl_seconds".to_owned(), json!(ttl))));
            let labels: BTreeMap<_, _> = args.labels.into_iter().collect();
            form.insert("labels".to_owned(), json!(labels));
            let call = Call::new(Method::POST, &["enrollment-tokens"])
                .body(Body::Json(Value::Object(form)));
            let answer = session.client.call(call).await?.body;
            session.show(&answer, MADE)
        }
        EnrollmentCommand::Revoke { id } => revoke(session, "enrollment-tokens", &id).await,
    }
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec![
        "ID", "NAME", "STATE", "USED", "LABELS", "CREATED", "EXPIRES",
    ];
    if look.is_wide {
        head.push("BY");
    }
    let rows = items(answer, "items").iter().map(|item| {
        let mut row = vec![
            cell(item, "/id"),
            cell(item, "/name"),
            cell(item, "/state"),
            uses(item),
            labels(item),
            age(item, "/created_at", look.now_ms),
            found(item, "/expires_at").unwrap_or_else(|| "never".to_owned()),
        ];
        if look.is_wide {
            row.push(cell(item, "/created_by"));
        }
        row
    });
    let empty = "there are no enrollment tokens: make one with `ampora enrollment create NAME`";
    table(&head, rows.collect(), empty)
}

/// `3 of 200`, or `3` where any number may come.
fn uses(token: &Value) -> String {
    let used = cell(token, "/used");
    match found(token, "/uses") {
        Some(uses) => format!("{used} of {uses}"),
        None => used,
    }
}

fn labels(token: &Value) -> String {
    let labels = token.get("labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let texts: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if texts.is_empty() {
        return "-".to_owned();
    }
    plain(&texts.join(",")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_says_how_often_a_token_was_used() {
        let answer = json!({"items": [
            {"id": "1", "name": "edge", "state": "active", "uses": null, "used": 7, "labels": {},
                "created_at": "1970-01-01T00:00:00.000Z", "expires_at": null},
            {"id": "2", "name": "lab", "state": "spent", "uses": 2, "used": 2,
                "labels": {"env": "lab", "site": "b"}, "created_at": "1970-01-01T00:00:00.000Z",
                "expires_at": "1970-01-02T00:00:00.000Z"},
        ]});
        let look = Look {
            is_wide: false,
            now_ms: 60_000,
        };
        assert_eq!(
            list_text(&answer, &look),
            "ID  NAME  STATE   USED    LABELS          CREATED  EXPIRES\n\
             1   edge  active  7       -               60s ago  never\n\
             2   lab   spent   2 of 2  env=lab,site=b  60s ago  1970-01-02T00:00:00.000Z\n"
        );
    }

    #[test]
    fn label_has_a_key() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err() && label("=a").is_err());
    }
}
