//! What an operator was promised reaches the agent once, also when who promised it dies at once.

use serde_json::json;

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::support::eventually;

/// A restart that is accepted by a leader that dies is written by the owner of the agent, once.
#[test]
fn a_restart_outlives_the_leader_that_took_it() {
    let mut all = Cluster::of_three();
    let leader = all.leader(1);
    let owner = all.other(leader);
    let mut agent = Agent::connected("told", all.node(owner).opamp_addr);
    agent.hello();
    let path = format!("/agents/{}", agent.uid);
    all.until(owner, &path, "it is served", |shown| {
        let can = shown["capabilities"].as_array()?;
        let can = can.iter().any(|name| name == "AcceptsRestartCommand");
        (can && shown["owner_node"] == owner).then_some(())
    });
    let form = json!({"action": {"restart": {}}, "target": {"agent": agent.uid.to_string()}});
    let (status, accepted) = all.change(owner, reqwest::Method::POST, "/dispatches", &form);
    all.kill(leader);
    assert_eq!(status, 202, "{accepted}");
    eventually("the restart", 2 * SOON, || {
        agent.listen();
        (agent.restarts > 0).then_some(())
    });
    // it comes back as one does that was restarted
    agent.connect(all.node(owner).opamp_addr);
    agent.hello();
    let id = accepted["id"].as_str().expect("an id");
    let dispatch = format!("/dispatches/{id}");
    all.until_within(2 * SOON, owner, &dispatch, "it is done", |shown| {
        (shown["counts"]["succeeded"] == 1 && shown["state"] == "done").then_some(())
    });
    agent.beat();
    agent.listen();
    assert_eq!(agent.restarts, 1);
}
