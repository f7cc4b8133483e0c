//! Instructions to agents: makes a dispatch and follows it until every delivery has an end.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::Session;
use super::dispatch::{self, Counts};
use super::error::ClientError;
use super::http::{Body, Call};
use super::output::Progress;
use super::text::{cell, counted};
use crate::cli::CliError;
use crate::clock::SystemClock;

/// `expires_in_seconds` when it is not named; REST says the same.
const EXPIRES_DEFAULT_S: u64 = 3600;
/// How long a delivery that was sent just before its expiry may take until its outcome is known (120 s for a
/// restart), and some seconds for the rest.
const OUTCOME_S: u64 = 150;
/// Between two looks at a dispatch: quick while it may be over at once.
const LOOK_FIRST: Duration = Duration::from_millis(200);
const LOOK_LATER: Duration = Duration::from_secs(2);
/// Looks in a row that may fail, while a node restarts, before following ends.
const FAILURES_MAX: u32 = 30;

/// Whom an instruction is for, and how long to wait.
#[derive(Debug, Args)]
pub struct InstructArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Give up what could not be sent within this time [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    expires_in: Option<u64>,
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
}

/// Either one agent or those that a selector matches.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// Agent
    #[arg(value_name = "UID")]
    uid: Option<Uuid>,
    /// Every agent that matches, such as `env=prod`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

/// What agents are told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Restart.
    Restart,
    /// Take the offered configuration once more.
    PushConfig,
    /// Take a message that only the agent understands.
    Message {
        capability: String,
        message_type: String,
        data: Vec<u8>,
    },
}

impl Action {
    fn form(self) -> Value {
        match self {
            Self::Restart => json!({"restart": {}}),
            Self::PushConfig => json!({"push_config": {}}),
            Self::Message {
                capability,
                message_type,
                data,
            } => json!({"custom_message": {
                "capability": capability,
                "type": message_type,
                "data_base64": BASE64_STANDARD.encode(data),
            }}),
        }
    }
}

/// Gives an instruction and, unless told otherwise, waits for its outcome.
pub(super) async fn run(
    session: &Session,
    action: Action,
    args: InstructArgs,
) -> Result<(), CliError> {
    let mut form = json!({"action": action.form(), "target": target(&args.target)});
    if let Some(seconds) = args.expires_in {
        form["expires_in_seconds"] = json!(seconds);
    }
    let call = Call::new(Method::POST, &["dispatches"]).body(Body::Json(form));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let interrupted = |text: String| CliError::from(ClientError::Interrupted(text));
    let made = tokio::select! {
        made = session.client.call(call) => made?.body,
        _ = interrupt.recv() => {
            let text = "; the dispatch may have been made: `ampora dispatch list`";
            return Err(interrupted(text.to_owned()));
        }
    };
    if args.no_wait {
        return session.show(&made, dispatch::SHOWN);
    }
    let id = cell(&made, "/id");
    let seconds = args.expires_in.unwrap_or(EXPIRES_DEFAULT_S) + OUTCOME_S;
    let done = tokio::select! {
        done = follow(session, &id, made, Duration::from_secs(seconds)) => done?,
        _ = interrupt.recv() => {
            return Err(interrupted(format!("; dispatch {id} goes on: `ampora dispatch show {id}`")));
        }
    };
    session.show(&done, dispatch::SHOWN)?;
    judge(&id, &done).map_err(CliError::from)
}

fn target(args: &TargetArgs) -> Value {
    match (&args.uid, &args.selector) {
        (Some(uid), _) => json!({"agent": uid}),
        (None, selector) => json!({"selector": selector}),
    }
}

/// Looks at a dispatch until it is done, and returns it whole.
async fn follow(
    session: &Session,
    id: &str,
    made: Value,
    within: Duration,
) -> Result<Value, ClientError> {
    let started = SystemClock.micros();
    let progress = Progress::new(&session.output);
    let (mut latest, mut failures, mut wait) = (made, 0, LOOK_FIRST);
    while !dispatch::is_done(&latest) {
        if SystemClock.elapsed(started) > within {
            return Err(ClientError::Undelivered(format!(
                "dispatch {id} is still not done after its expiry: look at it with `ampora dispatch show {id}`"
            )));
        }
        progress.say(&waiting(id, &latest));
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LOOK_LATER);
        let call = Call::get(&["dispatches", id]).with("limit", Some(1));
        match session.client.get(call).await {
            Ok(answer) => (latest, failures) = (answer, 0),
            Err(error) if error.is_passing() && failures < FAILURES_MAX => failures += 1,
            Err(error) => return Err(error),
        }
    }
    let call = Call::get(&["dispatches", id]);
    session.client.pages(call, "deliveries", None).await
}

fn waiting(id: &str, dispatch: &Value) -> String {
    let counts = Counts::of(dispatch);
    format!(
        "dispatch {id}: {} of {} done, {} queued, {} sent",
        counts.ended(),
        counts.all(),
        counts.queued,
        counts.sent
    )
}

/// Success is that every delivery succeeded; nobody to deliver to is no failure.
fn judge(id: &str, dispatch: &Value) -> Result<(), ClientError> {
    let counts = Counts::of(dispatch);
    let missed = counts.all() - counts.succeeded;
    if missed == 0 {
        return Ok(());
    }
    Err(ClientError::Undelivered(format!(
        "dispatch {id}: {missed} of {} did not succeed",
        counted(counts.all(), "delivery", "deliveries")
    )))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: InstructArgs,
    }

    fn typed(words: &[&str]) -> Result<InstructArgs, clap::Error> {
        Typed::try_parse_from([&["restart"], words].concat()).map(|typed| typed.args)
    }

    const UID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn target_is_one_agent_or_a_selector() {
        let agent = typed(&[UID]).unwrap();
        assert_eq!(target(&agent.target), json!({"agent": UID}));
        let selected = typed(&["--selector", "env=prod", "--expires-in", "604800"]).unwrap();
        assert_eq!(target(&selected.target), json!({"selector": "env=prod"}));
        for bad in [
            &[][..],
            &[UID, "--selector", "*"],
            &["not-a-uid"],
            &[UID, "--expires-in", "0"],
            &[UID, "--expires-in", "604801"],
        ] {
            let error = typed(bad).err().map(|error| error.exit_code());
            assert_eq!(error, Some(2), "{bad:?}");
        }
    }

    #[test]
    fn every_delivery_must_succeed_and_none_is_fine() {
        let of = |succeeded, failed| json!({"counts": {"succeeded": succeeded, "failed": failed}});
        assert!(judge("7", &of(2, 0)).is_ok());
        assert!(judge("7", &of(0, 0)).is_ok());
        let error = judge("7", &of(2, 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dispatch 7: 1 of 3 deliveries did not succeed"
        );
        let error = judge("7", &of(0, 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dispatch 7: 1 of 1 delivery did not succeed"
        );
        for other in ["expired", "cancelled"] {
            assert!(
                judge("7", &json!({"counts": {other: 1}})).is_err(),
                "{other}"
            );
        }
    }
}
