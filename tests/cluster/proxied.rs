//! Agents that come through the proxies that people use, with the configurations that are shipped for a cluster: each
//! poll reaches another node than the one before, and nobody notices.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::proxy::{self, Proxy, free_port};

/// Polls of an agent that has nothing to say, without a pause: each node hears a third of them.
const POLLS: usize = 30;

/// Agents that come one after the other.
const NEWCOMERS: usize = 20;

const SETTINGS: [&str; 1] = ["opamp.trusted_proxies=127.0.0.1"];

fn port_of(address: &str) -> &str {
    address.rsplit(':').next().expect("a port")
}

/// Where the nodes of a cluster are in place of where the shipped configurations have them.
fn places(all: &Cluster) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for slot in [1, 2, 3] {
        let admin = all.node(slot).admin_url.trim_start_matches("http://");
        let opamp = all.node(slot).opamp_addr.to_string();
        places.push((format!("10.0.0.{slot}:4320"), opamp));
        places.push((format!("10.0.0.{slot}:4321"), admin.to_owned()));
    }
    places
}

fn borrowed(places: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = places.iter();
    pairs
        .map(|(shipped, here)| (shipped.as_str(), here.as_str()))
        .collect()
}

/// nginx before three nodes, without its TLS, which tests/doors shows.
pub(crate) fn nginx(all: &Cluster, dir: &Path) -> (Proxy, SocketAddr) {
    proxy::install();
    let port = free_port();
    let pid = dir.join("nginx.pid").display().to_string();
    let listen = format!("listen 127.0.0.1:{port}");
    let certificate = "ssl_certificate     /etc/ampora/proxy/cert.pem;";
    let key = "ssl_certificate_key /etc/ampora/proxy/key.pem;";
    let mut places = places(all);
    for (shipped, here) in [
        ("/run/nginx.pid", pid.as_str()),
        ("/var/log/nginx/error.log", "stderr"),
        (certificate, ""),
        (key, ""),
        ("listen      443 ssl http2", &listen),
        ("worker_processes auto", "worker_processes 2"),
        ("worker_rlimit_nofile 65536", "worker_rlimit_nofile 1024"),
        ("worker_connections 32768", "worker_connections 256"),
        // whoever asks by address is an agent
        ("agents.example.com", "agents.example.com _"),
    ] {
        places.push((shipped.to_owned(), here.to_owned()));
    }
    let name = "nginx-cluster.conf";
    proxy::write(dir, name, &borrowed(&places));
    let file = dir.join(name).display().to_string();
    let args = ["-p", ".", "-c", &file, "-g", "daemon off;"];
    let running = proxy::run(dir, "nginx", &args, &[port]);
    (running, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// HAProxy before three nodes, without its TLS.
pub(crate) fn haproxy(all: &Cluster, dir: &Path) -> (Proxy, SocketAddr) {
    proxy::install();
    let (agents, operators) = (free_port(), free_port());
    let tls = " ssl crt /etc/ampora/proxy/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2";
    let mut places = vec![
        (tls.to_owned(), String::new()),
        ("maxconn 30000".to_owned(), "maxconn 256".to_owned()),
        (
            "bind :443".to_owned(),
            format!("bind 127.0.0.1:{agents}"),
        ),
        (
            "bind :8443".to_owned(),
            format!("bind 127.0.0.1:{operators}"),
        ),
    ];
    for slot in [1, 2, 3] {
        let shipped = format!("10.0.0.{slot}:4320 check port 4321");
        let opamp = all.node(slot).opamp_addr;
        let admin = port_of(&all.node(slot).admin_url);
        places.push((shipped, format!("{opamp} check port {admin}")));
    }
    let opamp = |(shipped, _): &(String, String)| shipped.ends_with(":4321");
    places.extend(self::places(all).into_iter().filter(opamp));
    let name = "haproxy-cluster.cfg";
    proxy::write(dir, name, &borrowed(&places));
    let file = dir.join(name).display().to_string();
    let args = ["-db", "-f", &file];
    let running = proxy::run(dir, "haproxy", &args, &[agents, operators]);
    (running, SocketAddr::from(([127, 0, 0, 1], agents)))
}

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

fn one_session_through(start: impl FnOnce(&Cluster, &Path) -> (Proxy, SocketAddr)) {
    let all = Cluster::three_with(&SETTINGS);
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
}

#[test]
fn nginx_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(nginx);
}

#[test]
fn haproxy_spreads_polls_over_all_nodes_and_an_agent_keeps_one_session() {
    one_session_through(haproxy);
}
