//! `ampora cluster`: the nodes as one of them knows them, and how they come, vote, lead and go.

mod change;

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
    /// Make a join token and print the line that starts a new node anywhere
    #[command(
        name = "join-token",
        after_help = "\
Examples:
  ampora cluster join-token
  ampora cluster join-token --uses 2 --ttl 600 -o json"
    )]
    JoinToken(change::TokenArgs),
    /// Let the node that is asked, which runs alone, join another cluster
    #[command(after_help = "\
Examples:
  ampora cluster join --peer 10.0.0.1:4322 --token-file join.token")]
    Join(change::JoinArgs),
    /// Let a node vote
    Promote(change::NodeArgs),
    /// Let a node only listen
    Demote(change::NodeArgs),
    /// Remove a node for good: its id never comes again
    Remove(change::NodeArgs),
    /// Let another node lead
    #[command(name = "transfer-leader")]
    TransferLeader {
        /// Its id, from `cluster status` [default: any other]
        node: Option<u64>,
    },
    /// Show who holds which lease
    Leases(WatchArgs),
    /// Use what the new version can do, once every node runs it; there is no way back
    #[command(name = "finalize-upgrade")]
    FinalizeUpgrade,
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
    match command {
        ClusterCommand::Status(args) => {
            let ask = async || session.client.get(Call::get(&["cluster"])).await;
            watch::show(session, args, VIEW, ask).await
        }
        ClusterCommand::JoinToken(args) => change::join_token(session, &args).await,
        ClusterCommand::Join(args) => change::join(session, &args).await,
        ClusterCommand::Promote(args) => change::role(session, &args, "voter").await,
        ClusterCommand::Demote(args) => change::role(session, &args, "learner").await,
        ClusterCommand::Remove(args) => change::remove(session, &args).await,
        ClusterCommand::TransferLeader { node } => change::lead(session, node).await,
        ClusterCommand::Leases(args) => {
            let ask = async || session.client.get(Call::get(&["cluster", "leases"])).await;
            watch::show(session, args, LEASES, ask).await
        }
        ClusterCommand::FinalizeUpgrade => change::finalize(session).await,
    }
}

const LEASES: View = View {
    text: leases,
    names: |answer| {
        let items = items(answer, "items").iter();
        items.map(|lease| cell(lease, "/name")).collect()
    },
};

fn leases(answer: &Value, _: &Look) -> String {
    let head = ["LEASE", "NODE", "FENCE", "HELD", "EXPIRES IN"];
    let rows = items(answer, "items").iter().map(|lease| {
        let left = found(lease, "/expires_in_ms").map(|ms| format!("{ms} ms"));
        vec![
            cell(lease, "/name"),
            cell(lease, "/node_id"),
            cell(lease, "/fence"),
            cell(lease, "/held"),
            left.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    table(&head, rows.collect(), "nobody holds a lease")
}

fn text(answer: &Value, look: &Look) -> String {
    let head = card(&[
        ("cluster", cell(answer, "/cluster_id")),
        ("leader", leader(answer)),
        ("quorum", cell(answer, "/quorum")),
        ("term", cell(answer, "/term")),
        ("applied", cell(answer, "/applied_index")),
        ("level", level(answer)),
        ("agents", cell(answer, "/agents")),
    ]);
    format!("{head}\n{}", nodes(answer, look))
}

/// The feature level, and whether it could be higher.
fn level(answer: &Value) -> String {
    let now = cell(answer, "/feature_level");
    let of_nodes = items(answer, "nodes").iter();
    let lowest = of_nodes
        .filter_map(|node| node.get("feature_level")?.as_u64())
        .min();
    let is_behind = answer.get("feature_level").and_then(Value::as_u64) < lowest;
    match lowest.filter(|_| is_behind) {
        Some(level) => {
            format!("{now}; every node knows {level}: `ampora cluster finalize-upgrade`")
        }
        None => now,
    }
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
    fn an_upgrade_that_is_not_finalized_is_said() {
        let mut answer =
            json!({"feature_level": 1, "nodes": [{"feature_level": 2}, {"feature_level": 3}]});
        let said = level(&answer);
        assert_eq!(
            said,
            "1; every node knows 2: `ampora cluster finalize-upgrade`"
        );
        answer["feature_level"] = json!(2);
        assert_eq!(level(&answer), "2");
        assert_eq!(level(&json!({})), "-");
    }

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
