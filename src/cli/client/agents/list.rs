//! Many agents, a line each.

use serde_json::Value;

use crate::cli::client::output::View;
use crate::cli::client::text::{Look, age, cell, found, items, short_hash, table, version};

/// How a list of agents is shown.
pub(super) const VIEW: View = View {
    text,
    names: |answer| {
        items(answer, "items")
            .iter()
            .map(|agent| cell(agent, "/instance_uid"))
            .collect()
    },
};

fn text(answer: &Value, look: &Look) -> String {
    let mut head = vec![
        "UID",
        "NAME",
        "TYPE",
        "VERSION",
        "STATE",
        "HEALTH",
        "CONFIG",
        "GROUP",
        "LAST SEEN",
    ];
    if look.is_wide {
        head.extend(["DESIRED", "EFFECTIVE", "TRANSPORT", "NODE", "FIRST SEEN"]);
    }
    let rows = items(answer, "items").iter().map(|agent| {
        let mut row = vec![
            cell(agent, "/instance_uid"),
            cell(agent, "/name"),
            cell(agent, "/agent_type"),
            cell(agent, "/agent_version"),
            cell(agent, "/state"),
            health(agent),
            config(agent),
            cell(agent, "/group"),
            last_seen(agent, look),
        ];
        if look.is_wide {
            row.extend([
                version(agent, "/config/desired"),
                short_hash(agent, "/config/effective_hash"),
                cell(agent, "/transport"),
                cell(agent, "/owner_node"),
                age(agent, "/first_seen", look.now_ms),
            ]);
        }
        row
    });
    table(&head, rows.collect(), "no agents")
}

/// Whether it is healthy by its own word.
pub(super) fn health(agent: &Value) -> String {
    match agent.pointer("/health/healthy").and_then(Value::as_bool) {
        Some(true) => "healthy".to_owned(),
        Some(false) => "unhealthy".to_owned(),
        None => "-".to_owned(),
    }
}

/// The status of its configuration, and why it does not run what it should where the status does not say it.
pub(super) fn config(agent: &Value) -> String {
    let status = cell(agent, "/config/status");
    match found(agent, "/config/why") {
        Some(why) if why != "none" && why != status => {
            format!("{status} ({})", why.replace('_', " "))
        }
        Some(_) | None => status,
    }
}

/// When it was last heard; `~` where the owner of its session was not asked.
pub(super) fn last_seen(agent: &Value, look: &Look) -> String {
    let seen = age(agent, "/last_seen", look.now_ms);
    let is_exact = agent.get("last_seen_exact").and_then(Value::as_bool);
    if is_exact == Some(false) {
        format!("~{seen}")
    } else {
        seen
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_has_a_line_for_each_agent() {
        let answer = json!({"items": [
            {
                "instance_uid": "u1", "name": "web-1", "agent_type": "otelcol", "agent_version": "0.1", "state": "connected",
                "health": {"healthy": false}, "group": "prod", "last_seen": "1970-01-01T00:00:58.000Z",
                "last_seen_exact": true, "transport": "websocket", "owner_node": 1,
                "config": {"status": "applied", "why": "applying", "desired": {"name": "edge", "version": 2},
                    "effective_hash": "0123456789abcdef"},
                "first_seen": "1970-01-01T00:00:00.000Z",
            },
            {"instance_uid": "u2", "name": "\u{1b}[2J", "state": "stale", "last_seen": "1970-01-01T00:00:00.000Z",
                "last_seen_exact": false, "config": {"status": "failed", "why": "failed"}},
        ]});
        let look = |is_wide| Look {
            is_wide,
            now_ms: 60_000,
        };
        assert_eq!(
            text(&answer, &look(false)),
            "UID  NAME       TYPE     VERSION  STATE      HEALTH     CONFIG              GROUP  LAST SEEN\n\
             u1   web-1      otelcol  0.1      connected  unhealthy  applied (applying)  prod   2s ago\n\
             u2   \\u{1b}[2J  -        -        stale      -          failed              -      ~60s ago\n"
        );
        let wide = text(&answer, &look(true));
        assert!(
            wide.contains("edge@2   0123456789ab  websocket  1     60s ago"),
            "{wide}"
        );
        assert_eq!((VIEW.names)(&answer), ["u1", "u2"]);
        assert_eq!(text(&json!({"items": []}), &look(false)), "no agents\n");
    }

    #[test]
    fn why_is_told_unless_the_status_tells_it() {
        let of = |status, why| config(&json!({"config": {"status": status, "why": why}}));
        assert_eq!(of("unset", "no_capability"), "unset (no capability)");
        assert_eq!(of("applied", "none"), "applied");
        assert_eq!(of("applying", "applying"), "applying");
        assert_eq!(config(&json!({})), "-");
    }
}
