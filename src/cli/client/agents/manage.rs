//! `ampora agents label` and `forget`: what operators say of an agent, and that they no longer want to hear of it.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cli::client::Session;
use crate::cli::client::http::{Body, Call};
use crate::cli::client::output::View;
use crate::cli::client::text::{cell, number, plain};
use crate::cli::{CliError, args::Format};

/// Arguments of `agents label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Agent
    uid: Uuid,
    /// `KEY=VALUE` gives a label, `KEY-` takes it away; others stay
    #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = change)]
    changes: Vec<Change>,
    /// Say whether the agent would be offered another configuration, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Refuse when more agents than this would change: 0 or 1
    #[arg(long, value_name = "N")]
    max_affected: Option<u32>,
}

/// Arguments of `agents forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// Agent
    uid: Uuid,
}

/// What becomes of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Set(String, String),
    Remove(String),
}

/// Reads `KEY=VALUE` or `KEY-`; what keys and values may be is for the node to say.
fn change(text: &str) -> Result<Change, String> {
    if let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) {
        return Ok(Change::Set(key.to_owned(), value.to_owned()));
    }
    match text
        .strip_suffix('-')
        .filter(|key| !key.is_empty() && !key.contains('='))
    {
        Some(key) => Ok(Change::Remove(key.to_owned())),
        None => Err("expected KEY=VALUE, or KEY- to take a label away".to_owned()),
    }
}

const LABELLED: View = View {
    text: |agent, _| labelled_text(agent),
    names: |agent| vec![cell(agent, "/instance_uid")],
};

const FORGOTTEN: View = View {
    text: |answer, _| format!("{} forgotten\n", cell(answer, "/instance_uid")),
    names: |answer| vec![cell(answer, "/instance_uid")],
};

/// Changes some labels: REST replaces all of them, so the others are read first.
pub(super) async fn label(session: &Session, args: LabelArgs) -> Result<(), CliError> {
    let uid = args.uid.to_string();
    let agent = session.client.get(Call::get(&["agents", &uid])).await?;
    let labels = changed(&agent, args.changes);
    let call = Call::new(Method::PUT, &["agents", &uid, "labels"])
        .with("dry_run", args.dry_run.then_some(true))
        .with("max_affected", args.max_affected)
        .body(Body::Json(Value::Object(labels)));
    let answer = session.client.call(call).await?;
    session.show(&answer.body, LABELLED)
}

fn changed(agent: &Value, changes: Vec<Change>) -> Map<String, Value> {
    let known = agent.get("server_labels").and_then(Value::as_object);
    let mut labels = known.cloned().unwrap_or_default();
    for change in changes {
        match change {
            Change::Set(key, value) => drop(labels.insert(key, Value::String(value))),
            Change::Remove(key) => drop(labels.remove(&key)),
        }
    }
    labels
}

fn labelled_text(agent: &Value) -> String {
    let given = agent.get("server_labels").and_then(Value::as_object);
    let labels = given.into_iter().flatten().map(|(key, value)| {
        let value = value.as_str().unwrap_or_default();
        format!("{}={}", plain(key), plain(value))
    });
    let labels: Vec<String> = labels.collect();
    let labels = match labels.as_slice() {
        [] => "no labels".to_owned(),
        some => some.join(", "),
    };
    let uid = cell(agent, "/instance_uid");
    if agent.get("dry_run") == Some(&Value::Bool(true)) {
        let effect = match number(agent, "/would_change/count") {
            0 => "would run what it runs",
            _ => "would be offered another configuration",
        };
        return format!("{uid} {effect}, with {labels}\nnothing was changed\n");
    }
    format!("{uid} has {labels}, group {}\n", cell(agent, "/group"))
}

/// Forgets an agent.
pub(super) async fn forget(session: &Session, args: ForgetArgs) -> Result<(), CliError> {
    let uid = args.uid.to_string();
    let call = Call::new(Method::DELETE, &["agents", &uid]);
    session.client.call(call).await?;
    // REST answers nothing, so that nothing is what json and yaml show.
    if matches!(session.output.format, Format::Json | Format::Yaml) {
        return Ok(());
    }
    session.show(&json!({"instance_uid": uid}), FORGOTTEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_given_or_taken_away() {
        let set = |key: &str, value: &str| Ok(Change::Set(key.to_owned(), value.to_owned()));
        assert_eq!(change("team=core"), set("team", "core"));
        assert_eq!(change("team="), set("team", ""));
        assert_eq!(change("a=b=c-"), set("a", "b=c-"));
        assert_eq!(change("a-="), set("a-", ""));
        assert_eq!(change("zone-"), Ok(Change::Remove("zone".to_owned())));
        for bad in ["", "-", "=", "=v", "team", "=v-"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_that_are_not_named_stay() {
        let agent = json!({"server_labels": {"a": "1", "b": "2", "c": "3"}});
        let changes = vec![
            Change::Set("a".to_owned(), "9".to_owned()),
            Change::Remove("b".to_owned()),
            Change::Remove("x".to_owned()),
        ];
        assert_eq!(
            Value::Object(changed(&agent, changes)),
            json!({"a": "9", "c": "3"})
        );
    }

    #[test]
    fn text_says_what_the_agent_has_and_would_do() {
        let mut agent =
            json!({"instance_uid": "u", "group": "g", "server_labels": {"a": "1", "b": ""}});
        assert_eq!(labelled_text(&agent), "u has a=1, b=, group g\n");
        agent["dry_run"] = json!(true);
        agent["would_change"] = json!({"count": 1});
        assert!(labelled_text(&agent).starts_with("u would be offered another"));
        agent["server_labels"] = json!({});
        assert!(labelled_text(&agent).contains("no labels"));
    }
}
