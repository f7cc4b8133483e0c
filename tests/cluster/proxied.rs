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

/// How often a busy machine may try.
const TRIES: usize = 10;

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
    }
}

/// How often a node took a session over because its owner did not answer a poll in time.
fn taken_over(all: &Cluster) -> f64 {
    let claimed = "ampora_opamp_polls_forwarded_total{outcome=\"claimed\"}";
    [1, 2, 3].map(|slot| all.metric(slot, claimed)).iter().sum()
}

/// How often nodes were too busy to be heard by each other.
fn lapses(all: &Cluster) -> usize {
    let words = ["no quorum renews this node", "it begins again"];
    let logs = [1, 2, 3].map(|slot| all.node(slot).log());
    let lapses = logs.iter().flat_map(|log| log.lines());
    lapses
        .filter(|line| words.iter().any(|words| line.contains(words)))
        .count()
}

/// Many polls, and a change in the middle of them.
fn polls_and_a_change(all: &Cluster, agents: &mut [Agent; 2], text: &str) -> String {
    let offers = agents.each_ref().map(|agent| agent.offers.len());
    for _ in 0..POLLS {
        for agent in agents.iter_mut() {
            agent.beat();
        }
    }
    let hash = all.assign(2, "through", text);
    for (agent, before) in agents.iter_mut().zip(offers) {
        agent.offered(before + 1);
        agent.apply();
        settled(all, agent, &hash);
        for _ in 0..POLLS {
            agent.beat();
        }
        agent.listen();
        assert_eq!(agent.offers.len(), before + 1, "each is offered once");
        assert_eq!(agent.renamed, 0, "nobody is taken for two");
    }
    hash
}

/// The node that has the sessions is killed, and a change is made: others take the agents over and offer it.
fn owner_dies(all: &mut Cluster, agents: [Agent; 2], door: SocketAddr, dead: u64) {
    let [mut polls, mut socket] = agents;
    // what becomes of a socket whose node dies, tests/interop shows: this one is at another one by then
    while owner(all, &socket).0 == dead {
        socket.connect(door);
        socket.beat();
    }
    all.kill(dead);
    let other = all.other(dead);
    all.write_until(other, "after-kill", SOON);
    let hash = all.assign(other, "through", "last: 1\n");
    for agent in [&mut polls, &mut socket] {
        let before = agent.offers.len();
        agent.offered(before + 1);
        agent.apply();
        let path = format!("/agents/{}", agent.uid);
        all.until(other, &path, "it runs what it should elsewhere", |shown| {
            let config = &shown["config"];
            let runs = config["reported_hash"] == hash.as_str() && shown["state"] == "connected";
            (runs && shown["owner_node"] != dead && config["drifted"] == false).then_some(())
        });
        agent.beat();
        assert_eq!((agent.offers.len(), agent.renamed), (before + 1, 0));
    }
}

fn one_session_through(start: impl FnOnce(&Cluster, &Path) -> (Proxy, SocketAddr)) {
    let mut all = Cluster::three_with(&SETTINGS);
    let dir = TempDir::new().expect("a directory");
    let (_proxy, door) = start(&all, dir.path());
    let first = all.assign(1, "through", "first: 1\n");

    let mut agents = [
        Agent::polling("through", door),
        Agent::connected("through", door),
    ];
    for agent in &mut agents {
        agent.hello();
        agent.offered(1);
        agent.apply();
        settled(&all, agent, &first);
    }
    // a machine that is too busy to hand a poll over or to renew a node in time moves the session, and says so: that is
    // looked at again
    let undisturbed = (0..TRIES).find_map(|number| {
        let owners = agents.each_ref().map(|agent| owner(&all, agent));
        let asked = agents.each_ref().map(|agent| agent.full_states);
        let before = (taken_over(&all), lapses(&all));
        let hash = polls_and_a_change(&all, &mut agents, &format!("next: {number}\n"));
        if (taken_over(&all), lapses(&all)) != before {
            return None;
        }
        let after = agents.each_ref().map(|agent| owner(&all, agent));
        assert_eq!(after, owners, "the sessions are the ones of before");
        let asked_since = agents.each_ref().map(|agent| agent.full_states);
        assert_eq!(asked_since, asked, "no number was missed");
        Some((owners, hash))
    });
    let (owners, hash) = undisturbed.expect("a machine that answers in time");
    let forwarded = "ampora_opamp_polls_forwarded_total{outcome=\"answered\"}";
    for slot in [1, 2, 3].into_iter().filter(|slot| *slot != owners[0].0) {
        let heard = all.metric(slot, forwarded);
        assert!(heard > 5.0, "node {slot} heard {heard} of its polls");
    }
    newcomers(&all, door, &hash);
    owner_dies(&mut all, agents, door, owners[0].0);
}

#[test]
fn nginx_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(nginx);
}

#[test]
fn haproxy_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(haproxy);
}
