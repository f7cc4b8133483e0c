//! One agent on one screen: what it is, what it runs, and what a person can do where it does not run what it should.

use serde_json::Value;

use super::list;
use crate::cli::client::output::View;
use crate::cli::client::text::{
    Look, age, card, cell, found, items, number, plain, plain_lines, short_hash, version,
};

/// How one agent is shown.
pub(super) const VIEW: View = View {
    text,
    names: |agent| vec![cell(agent, "/instance_uid")],
};

type Lines = Vec<(&'static str, String)>;

fn text(agent: &Value, look: &Look) -> String {
    let mut lines: Lines = vec![
        ("uid", cell(agent, "/instance_uid")),
        ("name", cell(agent, "/name")),
        (
            "type",
            format!(
                "{} {}",
                cell(agent, "/agent_type"),
                cell(agent, "/agent_version")
            ),
        ),
        ("state", state(agent, look)),
        ("group", cell(agent, "/group")),
    ];
    lines.extend(health(agent, look));
    lines.extend(config(agent, look));
    lines.extend(packages(agent));
    lines.extend(labels(agent, "/labels").map(|text| ("labels", text)));
    lines.extend(labels(agent, "/server_labels").map(|text| ("server labels", text)));
    let capabilities: Vec<String> = items(agent, "capabilities")
        .iter()
        .filter_map(|name| found(name, ""))
        .collect();
    lines.push(("can", capabilities.join("\n")));
    lines.push(("first seen", age(agent, "/first_seen", look.now_ms)));
    lines.push(("changed", age(agent, "/last_change", look.now_ms)));
    card(&lines)
}

fn state(agent: &Value, look: &Look) -> String {
    let mut text = cell(agent, "/state");
    if let Some(transport) = found(agent, "/transport") {
        text.push_str(&format!(" by {transport}"));
    }
    if let Some(node) = found(agent, "/owner_node") {
        text.push_str(&format!(" to node {node}"));
    }
    text.push_str(&format!(", last seen {}", list::last_seen(agent, look)));
    text
}

fn health(agent: &Value, look: &Look) -> Lines {
    if agent.get("health").is_none_or(Value::is_null) {
        return vec![("health", "not reported".to_owned())];
    }
    let status =
        found(agent, "/health/status").map_or(String::new(), |status| format!(", {status}"));
    let since = age(agent, "/health/since", look.now_ms);
    let mut lines = vec![(
        "health",
        format!("{}{status}, since {since}", list::health(agent)),
    )];
    lines.extend(texts(agent, "/health/last_error").map(|error| ("last error", error)));
    lines
}

fn config(agent: &Value, look: &Look) -> Lines {
    let desired = match version(agent, "/config/desired").as_str() {
        "-" => "nothing is assigned".to_owned(),
        version => format!(
            "{version}, hash {}",
            hash(agent, "/config/desired_hash", look)
        ),
    };
    let drifted = agent.pointer("/config/drifted").and_then(Value::as_bool);
    let drift = if drifted == Some(true) {
        ", drifted"
    } else {
        ""
    };
    let mut lines = vec![
        ("desired config", desired),
        ("config status", format!("{}{drift}", list::config(agent))),
        (
            "reported",
            format!(
                "hash {}, effective {}",
                hash(agent, "/config/reported_hash", look),
                hash(agent, "/config/effective_hash", look)
            ),
        ),
    ];
    lines.extend(texts(agent, "/config/error").map(|error| ("config error", error)));
    lines.extend(found(agent, "/config/hint").map(|hint| ("what to do", hint)));
    lines
}

fn hash(agent: &Value, pointer: &str, look: &Look) -> String {
    if look.is_wide {
        cell(agent, pointer)
    } else {
        short_hash(agent, pointer)
    }
}

fn packages(agent: &Value) -> Lines {
    if agent.get("packages").is_none_or(Value::is_null) {
        return Vec::new();
    }
    let count = |state: &str| number(agent, &format!("/packages/{state}"));
    let text = format!(
        "{} installed, {} pending, {} failed",
        count("installed"),
        count("pending"),
        count("failed")
    );
    vec![("packages", text)]
}

fn labels(agent: &Value, pointer: &str) -> Option<String> {
    let labels = agent.pointer(pointer)?.as_object()?;
    let lines: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{}={}", plain(key), found(value, "").unwrap_or_default()))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A text of the agent that may have lines.
fn texts(agent: &Value, pointer: &str) -> Option<String> {
    let text = agent.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then(|| plain_lines(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 60_000,
    };

    #[test]
    fn card_says_what_is_wrong_and_what_to_do() {
        let agent = json!({
            "instance_uid": "u1", "name": "web-1", "agent_type": "otelcol", "agent_version": "0.1",
            "state": "connected", "transport": "websocket", "owner_node": 1, "group": "prod",
            "last_seen": "1970-01-01T00:00:58.000Z", "last_seen_exact": true,
            "health": {"healthy": false, "status": "StatusError", "last_error": "it\nbroke\n",
                "since": "1970-01-01T00:00:50.000Z"},
            "config": {"desired_hash": "0123456789abcdef", "desired": {"name": "edge", "version": 2},
                "reported_hash": "fedcba9876543210", "status": "failed", "error": "no such receiver",
                "effective_hash": null, "drifted": true, "why": "failed", "hint": "assign a corrected version"},
            "packages": {"installed": 1, "pending": 0, "failed": 2},
            "labels": {"env": "prod", "host.name": "web-1"}, "server_labels": {},
            "capabilities": ["AcceptsRemoteConfig", "bit16"],
            "first_seen": "1970-01-01T00:00:00.000Z", "last_change": "1970-01-01T00:00:50.000Z",
        });
        assert_eq!(
            text(&agent, &LOOK),
            "uid             u1\n\
             name            web-1\n\
             type            otelcol 0.1\n\
             state           connected by websocket to node 1, last seen 2s ago\n\
             group           prod\n\
             health          unhealthy, StatusError, since 10s ago\n\
             last error      it\n\
             \u{20}               broke\n\
             desired config  edge@2, hash 0123456789ab\n\
             config status   failed, drifted\n\
             reported        hash fedcba987654, effective -\n\
             config error    no such receiver\n\
             what to do      assign a corrected version\n\
             packages        1 installed, 0 pending, 2 failed\n\
             labels          env=prod\n\
             \u{20}               host.name=web-1\n\
             can             AcceptsRemoteConfig\n\
             \u{20}               bit16\n\
             first seen      60s ago\n\
             changed         10s ago\n"
        );
    }

    #[test]
    fn agent_that_said_little_is_shown_as_far_as_it_goes() {
        let text = text(
            &json!({"instance_uid": "u1", "health": null, "config": {}}),
            &LOOK,
        );
        assert!(text.contains("health          not reported\n"), "{text}");
        assert!(
            text.contains("desired config  nothing is assigned\n"),
            "{text}"
        );
        assert!(
            !text.contains("what to do") && !text.contains("labels"),
            "{text}"
        );
    }
}
