//! `ampora dispatch`: instructions to agents, and what became of each delivery.

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::Session;
use super::args::{LimitArgs, WatchArgs};
use super::http::Call;
use super::output::View;
use super::text::{Look, age, card, cell, found, items, number, table};
use super::watch;
use crate::cli::CliError;

/// What can be done with dispatches.
#[derive(Debug, Subcommand)]
pub enum DispatchCommand {
    /// List dispatches, newest first
    List(ListArgs),
    /// Show one dispatch with its deliveries
    Show(ShowArgs),
    /// Withdraw what is still queued; what was sent goes on
    Cancel {
        /// Dispatch
        id: u64,
    },
}

/// Arguments of `dispatch list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Arguments of `dispatch show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Dispatch
    id: u64,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

const LIST: View = View {
    text: list_text,
    names: |answer| {
        items(answer, "items")
            .iter()
            .map(|item| cell(item, "/id"))
            .collect()
    },
};

/// How one dispatch is shown.
pub(super) const SHOWN: View = View {
    text: shown_text,
    names: |answer| vec![cell(answer, "/id")],
};

/// How many deliveries are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queued: u64,
    pub(super) sent: u64,
    pub(super) succeeded: u64,
    failed: u64,
    expired: u64,
    cancelled: u64,
}

impl Counts {
    /// The counts of a dispatch as REST shows it.
    pub(super) fn of(dispatch: &Value) -> Self {
        let count = |state: &str| number(dispatch, &format!("/counts/{state}"));
        Self {
            queued: count("queued"),
            sent: count("sent"),
            succeeded: count("succeeded"),
            failed: count("failed"),
            expired: count("expired"),
            cancelled: count("cancelled"),
        }
    }

    /// Deliveries that have an end.
    pub(super) fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.expired + self.cancelled
    }

    /// All deliveries.
    pub(super) fn all(&self) -> u64 {
        self.queued + self.sent + self.ended()
    }

    /// Those that are not none, in words.
    fn spoken(&self) -> String {
        let named = [
            (self.queued, "queued"),
            (self.sent, "sent"),
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.expired, "expired"),
            (self.cancelled, "cancelled"),
        ];
        let some = named.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = some
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        if words.is_empty() {
            "no agent matched".to_owned()
        } else {
            words.join(", ")
        }
    }
}

/// Whether every delivery has an end.
pub(super) fn is_done(dispatch: &Value) -> bool {
    dispatch.get("state").and_then(Value::as_str) == Some("done")
}

pub(super) async fn run(session: &Session, command: DispatchCommand) -> Result<(), CliError> {
    match command {
        DispatchCommand::List(args) => {
            let call = Call::get(&["dispatches"]);
            let ask = async || {
                let call = call.clone();
                session.client.pages(call, "items", args.limit.limit).await
            };
            watch::show(session, args.watch, LIST, ask).await
        }
        DispatchCommand::Show(args) => {
            let id = args.id.to_string();
            let call = Call::get(&["dispatches", &id]);
            let ask = async || {
                let call = call.clone();
                session
                    .client
                    .pages(call, "deliveries", args.limit.limit)
                    .await
            };
            watch::show(session, args.watch, SHOWN, ask).await
        }
        DispatchCommand::Cancel { id } => {
            let id = id.to_string();
            let call = Call::new(Method::DELETE, &["dispatches", &id]);
            let answer = session.client.call(call).await?.body;
            session.show(&answer, SHOWN)
        }
    }
}

fn list_text(answer: &Value, look: &Look) -> String {
    let mut head = vec!["ID", "ACTION", "TARGET", "STATE", "DELIVERIES", "CREATED"];
    if look.is_wide {
        head.extend(["BY", "EXPIRES", "FINISHED"]);
    }
    let rows = items(answer, "items").iter().map(|item| {
        let mut row = vec![
            cell(item, "/id"),
            action(item),
            target(item),
            cell(item, "/state"),
            outcome(item),
            age(item, "/created_at", look.now_ms),
        ];
        if look.is_wide {
            row.extend([
                cell(item, "/created_by"),
                cell(item, "/expires_at"),
                age(item, "/finished_at", look.now_ms),
            ]);
        }
        row
    });
    table(&head, rows.collect(), "there are no dispatches")
}

fn shown_text(dispatch: &Value, look: &Look) -> String {
    let mut lines = vec![
        ("dispatch", cell(dispatch, "/id")),
        ("action", action(dispatch)),
        ("target", target(dispatch)),
        ("state", cell(dispatch, "/state")),
        ("deliveries", outcome(dispatch)),
        (
            "created",
            format!(
                "{} by {}",
                age(dispatch, "/created_at", look.now_ms),
                cell(dispatch, "/created_by")
            ),
        ),
    ];
    lines.push(match found(dispatch, "/finished_at") {
        Some(_) => ("finished", age(dispatch, "/finished_at", look.now_ms)),
        None => ("expires", cell(dispatch, "/expires_at")),
    });
    let deliveries = items(dispatch, "deliveries");
    if deliveries.is_empty() {
        return card(&lines);
    }
    let rows = deliveries.iter().map(|delivery| {
        vec![
            cell(delivery, "/agent"),
            cell(delivery, "/state"),
            cell(delivery, "/owner_node"),
            age(delivery, "/queued_at", look.now_ms),
            age(delivery, "/sent_at", look.now_ms),
            age(delivery, "/finished_at", look.now_ms),
            cell(delivery, "/error"),
        ]
    });
    let head = [
        "AGENT", "STATE", "NODE", "QUEUED", "SENT", "FINISHED", "ERROR",
    ];
    format!("{}\n{}", card(&lines), table(&head, rows.collect(), ""))
}

/// Which of its actions a dispatch has.
fn action(dispatch: &Value) -> String {
    let names = dispatch.get("action").and_then(Value::as_object);
    let name = names.and_then(|action| action.keys().next());
    name.map_or_else(|| "-".to_owned(), |name| name.replace('_', " "))
}

fn target(dispatch: &Value) -> String {
    match found(dispatch, "/target/agent") {
        Some(uid) => uid,
        None => cell(dispatch, "/target/selector"),
    }
}

fn outcome(dispatch: &Value) -> String {
    let counts = Counts::of(dispatch);
    if dispatch.get("expanding").and_then(Value::as_bool) == Some(true) {
        return format!("{} so far", counts.all());
    }
    counts.spoken()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 60_000,
    };

    fn restart() -> Value {
        json!({
            "id": "7", "state": "done", "action": {"restart": {}}, "target": {"selector": "env=prod"},
            "expanding": false,
            "counts": {"queued": 0, "sent": 0, "succeeded": 1, "failed": 1, "expired": 0, "cancelled": 0},
            "created_at": "1970-01-01T00:00:00.000Z", "created_by": "admin",
            "expires_at": "1970-01-01T01:00:00.000Z", "finished_at": "1970-01-01T00:00:30.000Z",
            "deliveries": [
                {"agent": "u1", "state": "succeeded", "owner_node": 1, "queued_at": "1970-01-01T00:00:00.000Z",
                    "sent_at": "1970-01-01T00:00:10.000Z", "finished_at": "1970-01-01T00:00:20.000Z", "error": null},
                {"agent": "u2", "state": "failed", "owner_node": null, "queued_at": "1970-01-01T00:00:00.000Z",
                    "sent_at": null, "finished_at": "1970-01-01T00:00:30.000Z", "error": "lacks_capability"},
            ],
        })
    }

    #[test]
    fn card_stands_above_the_deliveries() {
        assert_eq!(
            shown_text(&restart(), &LOOK),
            "dispatch    7\n\
             action      restart\n\
             target      env=prod\n\
             state       done\n\
             deliveries  1 succeeded, 1 failed\n\
             created     60s ago by admin\n\
             finished    30s ago\n\
             \n\
             AGENT  STATE      NODE  QUEUED   SENT     FINISHED  ERROR\n\
             u1     succeeded  1     60s ago  50s ago  40s ago   -\n\
             u2     failed     -     60s ago  -        30s ago   lacks_capability\n"
        );
    }

    #[test]
    fn list_names_action_target_and_counts() {
        let mut growing = restart();
        growing["expanding"] = json!(true);
        growing["action"] = json!({"push_config": {}});
        growing["target"] = json!({"agent": "u1"});
        let text = list_text(&json!({"items": [growing, restart()]}), &LOOK);
        assert_eq!(
            text,
            "ID  ACTION       TARGET    STATE  DELIVERIES             CREATED\n\
             7   push config  u1        done   2 so far               60s ago\n\
             7   restart      env=prod  done   1 succeeded, 1 failed  60s ago\n"
        );
    }

    #[test]
    fn nobody_is_said_in_words() {
        assert_eq!(Counts::default().spoken(), "no agent matched");
        assert!(is_done(&restart()) && !is_done(&json!({"state": "active"})));
    }
}
