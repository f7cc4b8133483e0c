//! TLS on both doors: every transport, both versions, client certificates, and who is turned away when.

use std::time::{Duration, Instant};

use reqwest::{Identity, Version};
use rustls::version::{TLS12, TLS13};
use tokio_tungstenite::tungstenite::Error;

use crate::certificates::{Authority, Home};
use crate::clients::{SOON, Socket, hello, http, metric, poll, raw, secure, trusting};

#[tokio::test]
async fn agents_come_by_socket_and_by_poll_in_both_versions() {
    let home = Home::new();
    let node = home.start(&["opamp"], &[]);
    let authority = &home.authority.pem;
    for version in [&TLS12, &TLS13] {
        let mut socket = Socket::open(node.opamp_addr, trusting(authority, &[version]))
            .await
            .expect("a client without ALPN opens a socket");
        assert_eq!(socket.ask(1).await.instance_uid, vec![1; 16]);
    }
    let url = format!("https://{}", node.opamp_addr);
    let two = http(authority, |client| client);
    let answer = poll(&two, &url, hello(2), &[]).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    let one = http(authority, reqwest::ClientBuilder::http1_only);
    let answer = poll(&one, &url, hello(3), &[]).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_11)
    );
    let mut other = trusting(authority, &[&TLS13]);
    other.alpn_protocols = vec![b"spdy/1".to_vec()];
    let refused = secure(node.opamp_addr, other).await;
    assert!(refused.is_err(), "nobody here speaks that");
    assert!(node.stop().success());
}

#[tokio::test]
async fn operators_come_by_both_versions_of_http() {
    let home = Home::new();
    let node = home.start(&["admin"], &[]);
    let authority = &home.authority.pem;
    for (client, version) in [
        (http(authority, |client| client), Version::HTTP_2),
        (
            http(authority, reqwest::ClientBuilder::http1_only),
            Version::HTTP_11,
        ),
    ] {
        let url = format!("{}/api/v1/agents", node.admin_url);
        let answer = client.get(url).bearer_auth(&node.token).send().await;
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    assert!(node.stop().success(), "an idle HTTP/2 connection ends too");
}

#[tokio::test]
async fn who_speaks_without_tls_is_told() {
    let home = Home::new();
    let node = home.start(&["opamp"], &[]);
    for words in [
        &b"GET /v1/opamp HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
    ] {
        let answer = raw(node.opamp_addr, words).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("speaks TLS"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn client_certificates_are_needed_where_an_authority_is_given() {
    let home = Home::new();
    let node = home.start(&["opamp"], &["--set", "opamp.tls.client_ca_file=ca.pem"]);
    let authority = &home.authority.pem;
    let url = format!("https://{}", node.opamp_addr);
    let shows = |pair: crate::certificates::Pair| {
        let pem = format!("{}{}", pair.key, pair.certificate);
        let identity = Identity::from_pem(pem.as_bytes()).unwrap();
        http(authority, |client| client.identity(identity))
    };
    let known = shows(home.authority.sign(2040));
    let answer = poll(&known, &url, hello(1), &[]).await.unwrap();
    assert_eq!(answer.status(), 200);
    let expired = shows(home.authority.sign(2001));
    let stranger = shows(Authority::new().sign(2040));
    for (client, who) in [
        (http(authority, |client| client), "nobody"),
        (expired, "an expired one"),
        (stranger, "a stranger"),
    ] {
        let refused = poll(&client, &url, hello(2), &[]).await;
        assert!(refused.is_err(), "{who}: {refused:?}");
    }
    let failures = "ampora_tls_handshake_failures_total{door=\"opamp\"}";
    let count = metric(&known, &node.admin_url, failures).await;
    assert!(count.is_some_and(|count| count >= 3.0), "{count:?}");
    let refused = "ampora_opamp_frames_rejected_total{reason=\"auth\"}";
    let count = metric(&known, &node.admin_url, refused).await;
    assert!(count.is_some_and(|count| count >= 3.0), "{count:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let home = Home::new();
    let node = home.start(&["opamp", "admin"], &[]);
    let admin = node
        .admin_url
        .trim_start_matches("https://")
        .parse()
        .unwrap();
    let some_time = Duration::from_secs(5);
    #[expect(clippy::disallowed_methods, reason = "what is looked at is real time")]
    let timed = async |words| {
        let began = Instant::now();
        (raw(node.opamp_addr, words).await, began.elapsed())
    };
    // the second has begun a record of 512 bytes
    for words in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
        let ((agents, took), operators) = tokio::join!(timed(words), raw(admin, words));
        assert!(took > some_time, "some time is given: {took:?}");
        assert_eq!((agents.as_str(), operators.as_str()), ("", ""));
    }
}

#[tokio::test]
async fn the_door_is_full_and_says_so_inside_tls() {
    let home = Home::new();
    let node = home.start(&["opamp"], &["--set", "opamp.max_connections=1"]);
    let settings = || trusting(&home.authority.pem, &[&TLS13]);
    let mut first = Socket::open(node.opamp_addr, settings()).await.unwrap();
    first.ask(1).await;
    match Socket::open(node.opamp_addr, settings()).await {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            let wait = answer.headers()["retry-after"].to_str().unwrap();
            assert!(wait.parse::<u64>().unwrap() >= 1);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("there was one place"),
    }
    drop(first);
    let coming_back = async {
        while Socket::open(node.opamp_addr, settings()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let free = tokio::time::timeout(SOON, coming_back).await;
    free.expect("a free place");
}

#[tokio::test]
async fn a_storm_is_turned_away_before_its_handshakes() {
    let home = Home::new();
    let node = home.start(&["opamp"], &["--set", "opamp.accept_rate_per_second=1"]);
    let authority = &home.authority.pem;
    let (mut open, mut told, mut cut) = (Vec::new(), 0, 0);
    for number in 0..20 {
        match Socket::open(node.opamp_addr, trusting(authority, &[&TLS13])).await {
            Ok(socket) => open.push(socket),
            Err(Error::Http(answer)) => {
                assert_eq!(answer.status(), 503, "{number}");
                told += 1;
            }
            Err(Error::Io(_)) => cut += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(
        !open.is_empty() && cut > told,
        "{} {told} {cut}",
        open.len()
    );
}
