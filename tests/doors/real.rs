//! The proxies that people use, with the configuration that is shipped for them, before the real binary.

use std::net::{IpAddr, SocketAddr};

use reqwest::{Client, Version};
use rustls::version::TLS13;

use crate::certificates::Home;
use crate::clients::{Socket, hello, http, poll, trusting};
use crate::proxies::{client_of, until_seen};
use crate::proxy::{self, Proxy, free_port, install};
use crate::support::Node;

/// Where clients come from: not where the proxy, which alone is trusted, comes from.
const CLIENT: [u8; 4] = [127, 0, 0, 9];

const ARGS: [&str; 6] = [
    "--set",
    "opamp.trusted_proxies=127.0.0.1",
    "--set",
    "admin.trusted_proxies=127.0.0.1",
    "--set",
    "log.level=info,ampora::opamp=debug",
];

fn write(home: &Home, name: &str, places: &[(&str, &str)]) {
    proxy::write(home.dir(), name, places);
}

fn run(home: &Home, program: &str, args: &[&str], ports: &[u16]) -> Proxy {
    proxy::run(home.dir(), program, args, ports)
}

fn admin_of(node: &Node) -> String {
    node.admin_url.trim_start_matches("http://").to_owned()
}

fn from_client(home: &Home, name: &str, port: u16) -> Client {
    let there = SocketAddr::from(([127, 0, 0, 1], port));
    http(&home.authority.pem, |client| {
        client
            .local_address(IpAddr::from(CLIENT))
            .resolve(name, there)
    })
}

/// A socket and polls, from a client that claims to be somebody else.
async fn agents_come_through(home: &Home, node: &Node, name: &str, port: u16) {
    let door = SocketAddr::from(([127, 0, 0, 1], port));
    let settings = trusting(&home.authority.pem, &[&TLS13]);
    let mut socket = Socket::open_from(CLIENT.into(), door, name, settings)
        .await
        .unwrap();
    assert_eq!(socket.ask(1).await.instance_uid, vec![1; 16]);
    until_seen(node, "127.0.0.9", "a socket opened");

    let client = from_client(home, name, port);
    let url = format!("https://{name}:{port}");
    for number in 2..6 {
        let answer = poll(&client, &url, hello(number), &[]).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, Version::HTTP_2)
        );
    }
    let large = vec![0; 10_485_761];
    let refused = poll(&client, &url, large, &[]).await.unwrap();
    assert_eq!(refused.status(), 413, "the node answers");
    let answer = poll(&client, &url, vec![0xff; 3], &[]).await.unwrap();
    assert_eq!(answer.status(), 200);
    until_seen(node, "127.0.0.9", "a poll is malformed");
    socket.ask(1).await;
}

/// A call from a client that claims to be somebody else.
async fn operators_come_through(home: &Home, node: &Node, name: &str, port: u16) {
    let client = from_client(home, name, port);
    let url = format!("https://{name}:{port}/api/v1/groups/none");
    let call = client
        .delete(url)
        .bearer_auth(&node.token)
        .header("x-request-id", "id-through")
        .header("x-forwarded-for", "203.0.113.1");
    let answer = call.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (404, Version::HTTP_2)
    );
    assert_eq!(client_of(node, "id-through"), "127.0.0.9");
}

#[tokio::test]
async fn nginx_passes_agents_and_operators_on() {
    install();
    let home = Home::new();
    home.put(
        &home
            .authority
            .sign_for(&["agents.example.com", "ampora.example.com"]),
    );
    let node = home.start(&[], &ARGS);
    let port = free_port();
    let path = |name: &str| home.path(name).display().to_string();
    write(
        &home,
        "nginx.conf",
        &[
            ("/run/nginx.pid", &path("nginx.pid")),
            ("/var/log/nginx/error.log", "stderr"),
            ("/etc/ampora/proxy/cert.pem", &path("cert.pem")),
            ("/etc/ampora/proxy/key.pem", &path("key.pem")),
            ("listen      443 ", &format!("listen 127.0.0.1:{port} ")),
            ("worker_processes auto", "worker_processes 2"),
            ("worker_rlimit_nofile 65536", "worker_rlimit_nofile 1024"),
            ("worker_connections 32768", "worker_connections 256"),
            ("127.0.0.1:4320", &node.opamp_addr.to_string()),
            ("127.0.0.1:4321", &admin_of(&node)),
        ],
    );
    let args = ["-p", ".", "-c", &path("nginx.conf"), "-g", "daemon off;"];
    let _proxy = run(&home, "nginx", &args, &[port]);
    agents_come_through(&home, &node, "agents.example.com", port).await;
    operators_come_through(&home, &node, "ampora.example.com", port).await;

    // whoever sent a message to a node that is gone is to send it again
    drop(node);
    let client = from_client(&home, "agents.example.com", port);
    let url = format!("https://agents.example.com:{port}");
    let away = poll(&client, &url, hello(7), &[]).await.unwrap();
    assert_eq!(away.status(), 503);
    let wait = away.headers()["retry-after"].to_str().unwrap();
    assert!(["5", "10", "15", "20"].contains(&wait), "{wait}");
}

#[tokio::test]
async fn haproxy_passes_agents_and_operators_on() {
    install();
    let home = Home::new();
    let pair = home
        .authority
        .sign_for(&["agents.example.com", "ampora.example.com"]);
    home.put(&pair);
    home.write("both.pem", &format!("{}{}", pair.certificate, pair.key));
    let node = home.start(&["opamp"], &ARGS);
    let (agents, operators) = (free_port(), free_port());
    let path = |name: &str| home.path(name).display().to_string();
    write(
        &home,
        "haproxy.cfg",
        &[
            ("maxconn 30000", "maxconn 256"),
            ("bind :443", &format!("bind 127.0.0.1:{agents}")),
            ("bind :8443", &format!("bind 127.0.0.1:{operators}")),
            ("/etc/ampora/proxy/both.pem", &path("both.pem")),
            (
                "port 4321",
                &format!("port {}", admin_of(&node).rsplit(':').next().unwrap()),
            ),
            ("127.0.0.1:4320", &node.opamp_addr.to_string()),
            ("127.0.0.1:4321", &admin_of(&node)),
        ],
    );
    let args = ["-db", "-f", &path("haproxy.cfg")];
    let _proxy = run(&home, "haproxy", &args, &[agents, operators]);
    agents_come_through(&home, &node, "agents.example.com", agents).await;
    operators_come_through(&home, &node, "ampora.example.com", operators).await;
}
