//! Agents that come through the proxies that people use, with the configurations that are shipped for a cluster: each
//! poll reaches another node than the one before, and nobody notices.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::front::{haproxy, nginx};
use crate::proxy::Proxy;

/// Polls of an agent that has nothing to say, without a pause: each node hears a third of them.
const POLLS: usize = 30;

/// Agents that come one after the other.
const NEWCOMERS: usize = 20;

const SETTINGS: [&str; 1] = ["opamp.trusted_proxies=127.0.0.1"];

/// Owner and fence of a session, once every node shows the same.
fn owner(all: &Cluster, agent: &Agent) -> (u64, u64) {
    let path = format!("/agents/{}", agent.uid);
    let mut found = None;
    all.until(1, &path, "all nodes show one owner", |here| {
        let of = |shown: &Value| {
            (shown["state"] == "connected").then_some(())?;
            let owner = (shown["owner_node"].as_u64()?, shown["fence"].as_u64()?);
            (shown["labels"]["conf"] == agent.label.as_str()).then_some(owner)
        };
        found = of(here);
        let there = [2, 3].map(|slot| of(&all.get(slot, &path)));
        (found.is_some() && there == [found, found]).then_some(())
    });
    found.expect("found")
}

/// Waits until every node shows that it runs what it should.
fn settled(all: &Cluster, agent: &Agent, hash: &str) {
    for slot in [1, 2, 3] {
        let path = format!("/agents/{}", agent.uid);
        all.until(slot, &path, "it runs what it should", |shown| {
            let config = &shown["config"];
            let runs = config["reported_hash"] == hash && config["desired_hash"] == hash;
            (runs && config["status"] == "applied" && config["drifted"] == false).then_some(())
        });
    }
}

/// Agents that poll again at once, while their first message is still being agreed upon.
fn newcomers(all: &Cluster, door: SocketAddr, hash: &str) {
    let mut asked = 0;
    for _ in 0..NEWCOMERS {
        let mut agent = Agent::polling("through", door);
        agent.hello();
        agent.offered(1);
        agent.apply();
        agent.beat();
        settled(all, &agent, hash);
        owner(all, &agent);
        agent.beat();
        assert_eq!(agent.offers.len(), 1, "each is offered once");
        assert_eq!(agent.renamed, 0, "{}", agent.uid);
        asked += agent.full_states;
    }
    // a claim that waits longer than an agent for its answer leaves a poll to a node that knows nothing yet
    assert!(asked <= NEWCOMERS / 5, "{asked} were asked for everything");
}

/// The node that has the session is killed, and a change is made: another one takes the agent over and offers it.
fn owner_dies(all: &mut Cluster, agents: [&mut Agent; 2], dead: u64) {
    all.kill(dead);
    let other = all.other(dead);
    all.write_until(other, "after-kill", SOON);
    let hash = all.assign(other, "through", "third: 3\n");
    for agent in agents {
        agent.offered(3);
        agent.apply();
        let path = format!("/agents/{}", agent.uid);
        all.until(other, &path, "it runs what it should elsewhere", |shown| {
            let config = &shown["config"];
            let runs = config["reported_hash"] == hash.as_str() && shown["state"] == "connected";
            (runs && shown["owner_node"] != dead && config["drifted"] == false).then_some(())
        });
        agent.beat();
        assert_eq!((agent.offers.len(), agent.renamed), (3, 0));
    }
}

fn one_session_through(start: impl FnOnce(&Cluster, &Path) -> (Proxy, SocketAddr)) {
    let mut all = Cluster::three_with(&SETTINGS);
    let dir = TempDir::new().expect("a directory");
    let (_proxy, door) = start(&all, dir.path());
    let first = all.assign(1, "through", "first: 1\n");

    let mut polls = Agent::polling("through", door);
    let mut socket = Agent::connected("through", door);
    polls.hello();
    socket.hello();
    for agent in [&mut polls, &mut socket] {
        agent.offered(1);
        agent.apply();
        settled(&all, agent, &first);
    }
    let owners = [&polls, &socket].map(|agent| owner(&all, agent));
    let asked = [&polls, &socket].map(|agent| agent.full_states);
    for _ in 0..POLLS {
        polls.beat();
        socket.beat();
    }
    let forwarded = "ampora_opamp_polls_forwarded_total{outcome=\"answered\"}";
    for slot in [1, 2, 3].into_iter().filter(|slot| *slot != owners[0].0) {
        let heard = all.metric(slot, forwarded);
        assert!(heard > 5.0, "node {slot} heard {heard} of its polls");
    }
    let second = all.assign(2, "through", "second: 2\n");
    for agent in [&mut polls, &mut socket] {
        agent.offered(2);
        agent.apply();
        settled(&all, agent, &second);
        for _ in 0..POLLS {
            agent.beat();
        }
        agent.listen();
        assert_eq!(agent.offers.len(), 2, "each is offered once");
        assert_eq!(agent.renamed, 0, "nobody is taken for two");
    }
    assert_eq!(
        [&polls, &socket].map(|agent| owner(&all, agent)),
        owners,
        "the sessions are still the ones of before"
    );
    assert!(asked[0] <= 1, "asked once while its session began");
    assert_eq!(
        [&polls, &socket].map(|agent| agent.full_states),
        asked,
        "no number was missed"
    );
    newcomers(&all, door, &second);
    // the proxy cuts the socket of an agent whose node dies: this one is where its own node lives
    let dead = owners[0].0;
    if owners[1].0 == dead {
        socket.connect(door);
        socket.beat();
    }
    owner_dies(&mut all, [&mut polls, &mut socket], dead);
}

#[test]
fn nginx_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(nginx);
}

#[test]
fn haproxy_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(haproxy);
}
