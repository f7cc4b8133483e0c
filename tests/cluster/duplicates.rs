//! Two agents that use one uid at the same time, each at a node of its own, are told apart.

use serde_json::Value;

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::support::eventually;

/// Sockets are asked for a sign of life each second, so that who is there is known soon.
const SETTINGS: [&str; 1] = ["opamp.ping_interval_seconds=1"];

/// Beats after which nobody may be given another uid any more.
const LATER: usize = 20;

#[test]
fn one_uid_at_two_nodes_becomes_two() {
    let all = Cluster::three_with(&SETTINGS);
    let mut first = Agent::connected("first", all.node(1).opamp_addr);
    let uid = first.uid;
    first.hello();
    let owned = |slot: u64, agent: &Agent| {
        let path = format!("/agents/{}", agent.uid);
        let (_, shown) = all.try_ask(slot, reqwest::Method::GET, &path, None);
        shown["owner_node"].as_u64()
    };
    eventually("the first one is served", SOON, || {
        first.listen();
        (owned(1, &first) == Some(1)).then_some(())
    });
    let mut second = Agent::connected("second", all.node(2).opamp_addr);
    second.uid = uid;
    second.hello();
    // twice in a minute is what tells two from one that comes back; each look takes some glances
    eventually("they are told apart", SOON, || {
        for agent in [&mut first, &mut second] {
            agent.beat();
            agent.listen();
        }
        (first.renamed + second.renamed > 0).then_some(())
    });
    for agent in [&mut first, &mut second] {
        agent.hello();
    }
    all.until(3, "/agents", "each is served at its node", |shown| {
        // who does not answer pings is given up
        first.listen();
        second.listen();
        let agents: &Vec<Value> = shown["items"].as_array()?;
        let served = |agent: &Agent, node: u64| {
            agents.iter().any(|shown| {
                shown["instance_uid"] == agent.uid.to_string()
                    && shown["owner_node"] == node
                    && shown["labels"]["conf"] == agent.label.as_str()
            })
        };
        (served(&first, 1) && served(&second, 2)).then_some(())
    });
    for _ in 0..LATER {
        for agent in [&mut first, &mut second] {
            agent.beat();
            agent.listen();
        }
    }
    assert_eq!(first.renamed + second.renamed, 1, "one of them, once");
    assert_ne!(first.uid, second.uid);
    assert!([first.uid, second.uid].contains(&uid), "one keeps its uid");
}
