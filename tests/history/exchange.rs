//! The audit goes to Postgres by one node at a time, which may stop at any moment without knowing it.

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Server, Version};
use crate::stage::setting;
use crate::support::eventually;
use crate::tables::Tables;

/// Changes that operators make while a node is away.
const CHANGES: usize = 20;

const AGENTS: usize = 30;

const EXPORT: &str = "history-export";

/// Who holds the lease, and its fence.
fn lease(all: &Cluster, slot: u64) -> (u64, u64) {
    let mut found = None;
    let path = "/cluster/leases?consistent=true";
    all.until(slot, path, "somebody exports", |leases| {
        let mut leases = leases["items"].as_array()?.iter();
        let lease = leases.find(|lease| lease["name"] == EXPORT && lease["held"] == true)?;
        found = lease["node_id"].as_u64().zip(lease["fence"].as_u64());
        found.map(drop)
    });
    found.expect("found")
}

/// Stops the node that holds the lease where it is; who it is, its fence, and a node that goes on.
fn freeze_holder(all: &Cluster) -> (u64, u64, u64) {
    eventually("whoever holds the lease is stopped", SOON, || {
        let (node, fence) = lease(all, 1);
        let other = all.other(node);
        all.node(node).signal(Signal::SIGSTOP);
        // it may have lost it a moment ago
        let leases = all.get(other, "/cluster/leases");
        let mut leases = leases["items"].as_array()?.iter();
        let lease = leases.find(|lease| lease["name"] == EXPORT)?;
        if lease["node_id"] == node && lease["fence"] == fence {
            return Some((node, fence, other));
        }
        all.node(node).signal(Signal::SIGCONT);
        None
    })
}

/// How many audit records there are.
fn records(all: &Cluster, slot: u64) -> u64 {
    let newest = all.get(slot, "/audit?limit=1");
    newest["items"][0]["seq"].as_u64().expect("a number")
}

#[test]
fn each_record_comes_once_while_nodes_take_the_duty_from_each_other() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let url = setting(&database.url);
    let all = Cluster::three_with(&[&url, "dispatch.ownership_ttl_seconds=4"]);
    let doors = [1, 2, 3].map(|slot| all.node(slot).opamp_addr);
    let fleet = Fleet::quiet(AGENTS, &doors);
    let uids = all.agents(1, AGENTS);
    let fence =
        format!("SELECT coalesce(max(fence), 0) FROM history_lease WHERE name = '{EXPORT}'");
    all.goes(1);
    for (round, uid) in uids.iter().take(2).enumerate() {
        all.write_until(1, &format!("before-{round}"), SOON);
        let form = json!({"action": {"restart": {}}, "target": {"agent": uid}});
        let (status, accepted) = all.change(1, Method::POST, "/dispatches", &form);
        assert_eq!(status, 202, "{accepted}");
        let so_far = records(&all, 1);
        eventually("the one brings over what there is", 2 * SOON, || {
            (tables.are_there() && tables.chain() >= so_far).then_some(())
        });
        let (holder, before, other) = freeze_holder(&all);
        for change in 0..CHANGES {
            all.write_until(other, &format!("group-{round}-{change}"), SOON);
        }
        let by_then = records(&all, other);
        eventually("another goes on", 2 * SOON, || {
            (tables.chain() >= by_then).then_some(())
        });
        assert!(tables.number(&fence) > before, "under a newer fence");
        all.node(holder).signal(Signal::SIGCONT);
        all.three_voters(other);
        all.write_until(other, &format!("after-{round}"), SOON);
    }
    let envelopes = "SELECT count(*) FROM dispatch_envelopes WHERE state = 'succeeded'";
    eventually("both restarts", SOON, || {
        (tables.number(envelopes) == 2).then_some(())
    });
    eventually("every record", SOON, || {
        (tables.chain() == records(&all, 1)).then_some(())
    });
    fleet.leave();
}
