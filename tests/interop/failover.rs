//! A stock supervisor before a cluster whose nodes are killed: it finds another one through the proxy, and is managed on.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::{Supervisor, Transport};
use crate::cluster::Cluster;
use crate::front;
use crate::stage::pipeline;
use crate::wait::POLLED;

const SETTINGS: [&str; 1] = ["opamp.trusted_proxies=127.0.0.1"];

/// What the supervisor says of itself.
const SELECTOR: &str = "env=interop";

/// How long a new leader may take on a busy machine.
const NEXT_WRITE_WITHIN: Duration = Duration::from_secs(30);

fn owner(shown: &Value) -> u64 {
    shown["owner_node"].as_u64().unwrap()
}

/// The agent as a node shows it, once another node than `not` serves it and it runs what it should.
fn managed(all: &Cluster, slot: u64, uid: &str, not: u64, hash: &str) -> Value {
    let mut found = Value::Null;
    let path = format!("/agents/{uid}");
    all.until_within(POLLED, slot, &path, "it runs what it should", |shown| {
        let config = &shown["config"];
        let runs = config["reported_hash"] == hash && config["status"] == "applied";
        let served = shown["state"] == "connected" && shown["owner_node"] != not;
        found = shown.clone();
        (runs && served && shown["health"]["healthy"] == true).then_some(())
    });
    assert_eq!(found["config"]["drifted"], false, "{found:#}");
    found
}

/// The uid of the only agent.
fn uid(all: &Cluster) -> String {
    let mut uid = String::new();
    all.until(1, "/agents", "one agent is connected", |shown| {
        let agents = shown["items"].as_array()?;
        let agent = agents.first().filter(|agent| agent["agent_type"] != "")?;
        agent["instance_uid"].as_str()?.clone_into(&mut uid);
        assert_eq!(agents.len(), 1, "{shown:#}");
        Some(())
    });
    uid
}

/// A restart whose leader is killed once it was accepted, and how it ended.
fn restart_without_its_leader(all: &mut Cluster, uid: &str, owner: u64) {
    // the leader is neither the owner nor the node that is asked
    let asked = owner;
    let leader = all.other(owner);
    if all.leader(owner) != leader {
        all.run(owner, &["cluster", "transfer-leader", &leader.to_string()]);
        all.until(owner, "/cluster", "it leads", |shown| {
            (shown["leader_id"] == leader).then_some(())
        });
    }
    let form = json!({"action": {"restart": {}}, "target": {"agent": uid}});
    let (status, accepted) = all.post(asked, "/dispatches", &form);
    all.kill(leader);
    assert_eq!(status, 202, "{accepted:#}");
    let path = format!("/dispatches/{}", accepted["id"].as_str().unwrap());
    let mut done = Value::Null;
    all.until_within(POLLED, asked, &path, "the restart is done", |shown| {
        done = shown.clone();
        (shown["state"] == "done").then_some(())
    });
    assert_eq!(done["counts"]["succeeded"], 1, "{done:#}");
}

#[test]
fn supervisor_stays_managed_while_nodes_are_killed() {
    let mut all = Cluster::three_with(&SETTINGS);
    let dir = TempDir::new().unwrap();
    let (_proxy, door) = front::haproxy(&all, dir.path());
    let first = all.assign_to(1, "edge", SELECTOR, &pipeline("first"));
    let home = dir.path().join("agent");
    fs::create_dir(&home).unwrap();
    let supervisor = Supervisor::start(&home, &door.to_string(), Transport::WebSocket);
    let uid = uid(&all);
    let dead = owner(&managed(&all, 1, &uid, 0, &first));

    let place = all.kill_in_place(dead);
    let other = all.other(dead);
    all.write_until(other, "after-kill", NEXT_WRITE_WITHIN);
    let second = all.assign_to(other, "edge", SELECTOR, &pipeline("second"));
    let served = owner(&managed(&all, other, &uid, dead, &second));
    assert_eq!(supervisor.offers(), 2, "each is offered once");

    all.start_in_place(&place);
    all.three_voters(other);
    let before = supervisor.collector().unwrap();
    restart_without_its_leader(&mut all, &uid, served);
    managed(&all, served, &uid, 0, &second);
    assert_ne!(supervisor.collector().unwrap(), before, "a new collector");
    assert_eq!((supervisor.restarts(), supervisor.offers()), (1, 2));
}
