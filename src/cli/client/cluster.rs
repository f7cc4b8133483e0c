//! `ampora cluster`: the nodes as one of them knows them.

use clap::Subcommand;
use serde_json::Value;

use super::Session;
use super::args::WatchArgs;
use super::http::Call;
use super::output::View;
use super::text::{Look, card, cell, found, items, table};
use super::watch;
use crate::cli::CliError;

/// What can be done about the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the nodes, the leader and how far each is; works without a leader too
    Status(WatchArgs),
}

/// How a cluster is shown.
pub(super) const VIEW: View = View {
    text,
    names: |answer| {
        items(answer, "nodes")
            .iter()
            .map(|node| cell(node, "/id"))
            .collect()
    },
};

pub(super) async fn run(session: &Session, command: ClusterCommand) -> Result<(), CliError> {
    let ClusterCommand::Status(args) = command;
    let ask = async || session.client.get(Call::get(&["cluster"])).await;
    watch::show(session, args, VIEW, ask).await
}

fn text(answer: &Value, look: &Look) -> String {
    let head = card(&[
        ("cluster", cell(answer, "/cluster_id")),
        ("leader", leader(answer)),
        ("term", cell(answer, "/term")),
        ("applied", cell(answer, "/applied_index")),
        ("agents", cell(answer, "/agents")),
    ]);
    format!("{head}\n{}", nodes(answer, look))
}

/// The leader by id, or what is missing.
pub(super) fn leader(answer: &Value) -> String {
    let leader = found(answer, "/leader_id").map(|id| format!("node {id}"));
    leader.unwrap_or_else(|| "none: changes wait until the voters have elected one".to_owned())
}

fn nodes(answer: &Value, look: &Look) -> String {
    let mut head = vec!["NODE", "NAME", "ROLE", "LIVE", "VERSION", "SESSIONS", "LAG"];
    if look.is_wide {
        head.extend(["OPAMP", "ADMIN", "PEER"]);
    }
    let leader = answer.get("leader_id");
    let rows = items(answer, "nodes").iter().map(|node| {
        let is_leader = node.get("id").is_some_and(|id| Some(id) == leader);
        let role = cell(node, "/role") + if is_leader { ", leader" } else { "" };
        let mut row = vec![
            cell(node, "/id"),
            cell(node, "/name"),
            role,
            cell(node, "/live"),
            cell(node, "/version"),
            cell(node, "/sessions"),
            cell(node, "/lag"),
        ];
        if look.is_wide {
            let addresses = ["/opamp_address", "/admin_address", "/peer_address"];
            row.extend(addresses.map(|address| cell(node, address)));
        }
        row
    });
    table(&head, rows.collect(), "no node has registered")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leader_is_marked_and_its_absence_said() {
        let mut answer = json!({
            "cluster_id": "c", "leader_id": 1, "term": 2, "applied_index": 9, "agents": 3,
            "nodes": [{"id": 1, "name": "a", "role": "voter", "live": true, "version": "0.1.0", "sessions": 3,
                "lag": 0, "opamp_address": "o", "admin_address": "m", "peer_address": null}],
        });
        let look = |is_wide| Look { is_wide, now_ms: 0 };
        let narrow = text(&answer, &look(false));
        assert!(narrow.contains("leader   node 1\n"), "{narrow}");
        assert!(
            narrow.contains("1     a     voter, leader  yes   0.1.0    3         0\n"),
            "{narrow}"
        );
        assert!(text(&answer, &look(true)).contains("0    o      m      -\n"));
        answer["leader_id"] = Value::Null;
        let without = text(&answer, &look(false));
        assert!(without.contains("leader   none: "), "{without}");
        assert!(!without.contains("voter, leader"), "{without}");
    }
}
