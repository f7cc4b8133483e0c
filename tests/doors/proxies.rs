//! Who a request is from: trusted proxies may say, nobody else.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::Home;
use crate::clients::{SOON, hello, http, poll, raw, secure, trusting};
use crate::support::{Node, eventually, start};

const TRUST: [&str; 4] = [
    "--set",
    "opamp.trusted_proxies=127.0.0.0/8,198.51.100.0/24",
    "--set",
    "admin.trusted_proxies=127.0.0.1",
];

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 51234 4320\r\n";

/// Version 2, from `2001:db8::7`.
fn version_2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8".to_vec();
    header.extend([0; 11]);
    header.push(7);
    header.extend([0; 16 + 4]);
    header
}

fn admin_addr(node: &Node) -> SocketAddr {
    let url = node.admin_url.split_once("://").unwrap().1;
    url.parse().unwrap()
}

/// A call that is refused, as its id is found in the log.
fn call(id: &str, more: &str) -> Vec<u8> {
    format!(
        "DELETE /api/v1/groups/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Whom the log names as the client of a call.
pub(crate) fn client_of(node: &Node, id: &str) -> String {
    let line = eventually("the call in the log", SOON, || {
        let log = node.log();
        let line = log.lines().find(|line| line.contains(id));
        line.map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    let named = line.get("client.address");
    named
        .and_then(|name| name.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Waits until the log names a client of the agents' door.
pub(crate) fn until_seen(node: &Node, client: &str, words: &str) {
    eventually(client, SOON, || {
        let log = node.log();
        let mut lines = log.lines().filter(|line| line.contains(words));
        let named = format!("\"client.address\":\"{client}\"");
        lines.any(|line| line.contains(&named)).then_some(())
    });
}

#[tokio::test]
async fn operators_behind_a_trusted_proxy_are_named() {
    let node = start(&TRUST);
    let door = admin_addr(&node);
    let forwarded = "x-forwarded-for: 203.0.113.1, 192.0.2.8\r\n";
    for (id, before, more, client) in [
        ("id-direct", Vec::new(), "", "127.0.0.1"),
        ("id-header", Vec::new(), forwarded, "192.0.2.8"),
        ("id-one", VERSION_1.to_vec(), "", "192.0.2.7"),
        ("id-two", version_2(), "", "2001:db8::7"),
        // who came to the proxy is not trusted itself
        ("id-both", VERSION_1.to_vec(), forwarded, "192.0.2.7"),
    ] {
        let answer = raw(door, &[before, call(id, more)].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert_eq!(client_of(&node, id), client, "{id}");
    }
}

#[tokio::test]
async fn who_is_not_trusted_names_nobody() {
    let node = start(&[]);
    let door = admin_addr(&node);
    let answer = raw(door, &call("id-header", "x-forwarded-for: 192.0.2.8\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(client_of(&node, "id-header"), "127.0.0.1");
    for door in [door, node.opamp_addr] {
        for header in [VERSION_1.to_vec(), version_2()] {
            let answer = raw(door, &[header, call("id-none", "")].concat()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_broken_header_of_a_trusted_proxy_is_a_bad_request() {
    let home = Home::new();
    let node = start(&TRUST);
    let secure = home.start(&["opamp"], &TRUST);
    for door in [node.opamp_addr, admin_addr(&node), secure.opamp_addr] {
        for header in [
            &b"PROXY TCP4 192.0.2.700 10.0.0.1 1 2\r\n"[..],
            b"PROXY and much more without an end, until nobody wants to hear any more of it, which is after one \
              hundred and seven bytes",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            let answer = raw(door, header).await;
            assert!(
                answer.starts_with("HTTP/1.1 400 ") && answer.contains("PROXY header"),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn agents_behind_a_trusted_proxy_are_named_with_and_without_tls() {
    let home = Home::new();
    let debug = ["--set", "log.level=ampora::opamp=debug"];
    let node = home.start(&["opamp"], &[&TRUST[..], &debug].concat());
    let client = http(&home.authority.pem, |client| client);
    let url = format!("https://{}", node.opamp_addr);
    let malformed = vec![0xff; 3];
    let forwarded = [("x-forwarded-for", "192.0.2.9, 198.51.100.4")];
    let answer = poll(&client, &url, malformed.clone(), &forwarded).await;
    assert_eq!(answer.unwrap().status(), 200);
    until_seen(&node, "192.0.2.9", "a poll is malformed");
    assert_eq!(
        poll(&client, &url, hello(1), &[]).await.unwrap().status(),
        200
    );

    // the header comes before the handshake
    let settings = || trusting(&home.authority.pem, rustls::ALL_VERSIONS);
    let mut tcp = TcpStream::connect(node.opamp_addr).await.unwrap();
    tcp.write_all(&version_2()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(settings()));
    let mut tls = connector.connect(name, tcp).await.unwrap();
    let request = b"GET /v1/opamp HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tls.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    tls.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    until_seen(&node, "2001:db8::7", "a socket opened");
    assert!(
        secure(node.opamp_addr, settings()).await.is_ok(),
        "without a header too"
    );
}
