//! Shows an answer once, or again whenever it changes.

use std::time::Duration;

use ampora_raft::time::Clock;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::Session;
use super::args::WatchArgs;
use super::error::ClientError;
use super::output::{View, note};
use crate::cli::{CliError, print};
use crate::clock::SystemClock;

/// How often a watched answer is asked for.
const PERIOD: Duration = Duration::from_secs(2);
/// Clears a terminal.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows what `ask` answers; with `--watch` until Ctrl-C, which is how a watch ends well. Once it has worked, a
/// failure that may pass is said and does not end it.
pub(super) async fn show(
    session: &Session,
    watch: WatchArgs,
    view: View,
    ask: impl AsyncFn() -> Result<Value, ClientError>,
) -> Result<(), CliError> {
    if !watch.watch {
        return session.show_list(&ask().await?, view);
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    tokio::select! {
        ended = again_and_again(session, view, ask) => ended,
        _ = interrupt.recv() => Ok(()),
    }
}

async fn again_and_again(
    session: &Session,
    view: View,
    ask: impl AsyncFn() -> Result<Value, ClientError>,
) -> Result<(), CliError> {
    let mut answer = ask().await?;
    let mut shown = None;
    let mut said = None;
    loop {
        let text = session
            .output
            .render(&answer, view, SystemClock.wall_ms())?;
        if shown.as_ref() != Some(&text) {
            if session.output.is_terminal {
                print(&format!("{CLEAR}{text}"))?;
            } else {
                print(&text)?;
            }
            shown = Some(text);
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            match ask().await {
                Ok(fresh) => {
                    answer = fresh;
                    if said.take().is_some() {
                        shown = None;
                    }
                    break;
                }
                Err(error) if error.is_passing() => {
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        note(&text);
                        said = Some(text);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
