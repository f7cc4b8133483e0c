//! `ampora status`: one screen about a node, whether it can serve and what it serves.

use serde_json::{Value, json};

use super::Session;
use super::args::StatusArgs;
use super::cluster;
use super::error::ClientError;
use super::http::Call;
use super::output::View;
use super::text::{Look, card, cell, counted, found, items, number};
use super::watch;
use crate::cli::CliError;

const VIEW: View = View {
    text,
    names: |answer| vec![cell(answer, "/url")],
};

pub(super) async fn run(session: &Session, args: StatusArgs) -> Result<(), CliError> {
    let is_ready = std::cell::Cell::new(true);
    let ask = async || {
        let (answer, ready) = ask(session).await?;
        is_ready.set(ready);
        Ok(answer)
    };
    watch::show(session, args.watch, VIEW, ask).await?;
    if is_ready.get() {
        Ok(())
    } else {
        Err(ClientError::NotReady.into())
    }
}

/// What `/health/ready` and `GET /cluster` answer, and whether the node is ready. Readiness needs no token, so that
/// without one there is half an answer and what is missing.
async fn ask(session: &Session) -> Result<(Value, bool), ClientError> {
    let client = &session.client;
    let ready = client.probe(&["health", "ready"]).await?;
    let is_ready = ready.as_ref().is_none_or(|ready| ready.status.is_success());
    let cluster = client.get(Call::get(&["cluster"])).await;
    let (cluster, error) = match cluster {
        Ok(cluster) => (cluster, Value::Null),
        Err(error @ (ClientError::NoToken { .. } | ClientError::Refused(_))) if ready.is_some() => {
            (Value::Null, json!(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let answer = json!({
        "url": client.base(),
        "ready": ready.map(|ready| ready.body),
        "cluster": cluster,
        "cluster_error": error,
    });
    Ok((answer, is_ready))
}

fn text(answer: &Value, _: &Look) -> String {
    let mut lines = vec![("node", cell(answer, "/url"))];
    match answer.pointer("/ready/status") {
        Some(_) => lines.push(("status", health(answer))),
        None => lines.push((
            "status",
            "not told here: `metrics.listen` moves health to its own address".to_owned(),
        )),
    }
    if let Some(error) = answer.pointer("/cluster_error").and_then(Value::as_str) {
        lines.push(("cluster", format!("not known: {error}")));
        return card(&lines);
    }
    let cluster = &answer["cluster"];
    let sessions = items(cluster, "nodes").iter();
    let sessions: u64 = sessions.map(|node| number(node, "/sessions")).sum();
    let live = items(cluster, "nodes").iter();
    let live = live.filter(|node| node["live"] == json!(true)).count();
    let here = cell(cluster, "/node_id");
    let version = items(cluster, "nodes")
        .iter()
        .find(|node| cell(node, "/id") == here)
        .map(|node| cell(node, "/version"));
    lines.extend([
        ("version", version.unwrap_or_else(|| "-".to_owned())),
        (
            "cluster",
            format!("{}, this is node {here}", cell(cluster, "/cluster_id")),
        ),
        ("leader", cluster::leader(cluster)),
        (
            "nodes",
            format!("{live} of {} live", items(cluster, "nodes").len()),
        ),
        (
            "agents",
            format!(
                "{}, {}",
                counted(number(cluster, "/agents"), "agent", "agents"),
                counted(sessions, "session", "sessions")
            ),
        ),
    ]);
    card(&lines)
}

/// The word for the whole, and a line for each part that is not well.
fn health(answer: &Value) -> String {
    let mut text = cell(answer, "/ready/status");
    let parts = answer.pointer("/ready/parts").and_then(Value::as_object);
    for (name, part) in parts.into_iter().flatten() {
        let status = cell(part, "/status");
        if status != "ok" {
            let reason =
                found(part, "/reason").map_or(String::new(), |reason| format!(": {reason}"));
            text.push_str(&format!("\n{name} {status}{reason}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 0,
    };

    #[test]
    fn parts_that_are_not_well_are_named_with_their_reason() {
        let answer = json!({
            "url": "http://h", "cluster_error": null,
            "ready": {"status": "degraded", "parts": {
                "raft": {"status": "ok", "reason": null},
                "storage": {"status": "degraded", "reason": "the disk is nearly full"},
            }},
            "cluster": {"cluster_id": "c", "node_id": 2, "leader_id": 1, "agents": 1, "nodes": [
                {"id": 1, "live": true, "sessions": 4, "version": "1"},
                {"id": 2, "live": false, "sessions": 1, "version": "2"},
            ]},
        });
        assert_eq!(
            text(&answer, &LOOK),
            "node     http://h\n\
             status   degraded\n\
             \u{20}        storage degraded: the disk is nearly full\n\
             version  2\n\
             cluster  c, this is node 2\n\
             leader   node 1\n\
             nodes    1 of 2 live\n\
             agents   1 agent, 5 sessions\n"
        );
    }

    #[test]
    fn without_a_token_health_is_still_shown() {
        let answer = json!({
            "url": "http://h", "ready": {"status": "ok", "parts": {}},
            "cluster": null, "cluster_error": "no token",
        });
        assert_eq!(
            text(&answer, &LOOK),
            "node     http://h\nstatus   ok\ncluster  not known: no token\n"
        );
    }
}
