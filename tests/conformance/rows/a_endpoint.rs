//! A. Where agents connect, and how the transport is chosen.

use prost::Message;

use crate::agent::{Agent, BOTH, PROTOBUF, Via, read};
use crate::http::{self, Http};
use crate::row::{Row, row};
use crate::say;
use crate::secure::{Secure, poll, upgrade};
use crate::server::{self, Server};
use crate::support;
use crate::ws::{UPGRADE, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        1,
        "SHOULD",
        "One endpoint serves WebSocket and plain HTTP.",
        c_001_both_transports
    ),
    row!(
        2,
        "MAY",
        "The path is `/v1/opamp`, and can be another one.",
        c_002_path
    ),
    row!(
        3,
        "SHOULD",
        "The port is 4320 by default.",
        c_003_default_port
    ),
    row!(
        4,
        "SHOULD",
        "The protobuf content type makes a request a plain exchange; else it is an upgrade or a clean 4xx.",
        c_004_content_type_decides
    ),
    row!(
        5,
        "derived",
        "The content type may have parameters and any case.",
        c_005_content_type_variants
    ),
    row!(
        6,
        "derived",
        "With upgrade headers and the content type together, the content type decides.",
        c_006_both_at_once
    ),
    row!(
        7,
        "derived",
        "Over TLS, WebSocket needs HTTP/1.1 while plain clients may use h2.",
        c_007_protocols_inside_tls
    ),
    row!(
        8,
        "derived",
        "Plain and TLS listening are both possible.",
        c_008_plain_and_tls
    ),
    row!(
        9,
        "derived",
        "Unknown paths and methods get a quick HTTP status.",
        c_009_unknown_paths_and_methods
    ),
];

fn c_001_both_transports() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let reply = agent.hello();
        assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..], "{via:?}");
        assert_eq!(say::error(&reply), None);
        agent.settled();
    }
}

fn c_002_path() {
    let server = Server::start(&["opamp.path=/agents/here"]);
    assert!(Ws::try_open(server.opamp, "/agents/here", &[]).is_ok());
    assert_eq!(
        Ws::try_open(server.opamp, Server::PATH, &[]).err(),
        Some(404)
    );
    let body = say::bare(say::uid(), 0).encode_to_vec();
    let post = |path| http::once(server.opamp, "POST", path, &[PROTOBUF], &body).status;
    assert_eq!((post("/agents/here"), post(Server::PATH)), (200, 404));
    assert!(Ws::try_open(server::shared().opamp, Server::PATH, &[]).is_ok());
}

fn c_003_default_port() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let output = support::ampora(directory.path())
        .args(["check", "config"])
        .output()
        .expect("the binary");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("127.0.0.1:4320"), "{text}");
}

fn c_004_content_type_decides() {
    let server = server::shared();
    let body = say::bare(say::uid(), 0).encode_to_vec();
    let plain = http::once(server.opamp, "POST", Server::PATH, &[PROTOBUF], &body);
    assert!(say::error(&read(&plain)).is_none());
    assert!(Ws::try_open(server.opamp, Server::PATH, &[]).is_ok());
    for headers in [&[][..], &[("Content-Type", "application/json")][..]] {
        let refused = http::once(server.opamp, "POST", Server::PATH, headers, &body);
        assert!((400..500).contains(&refused.status), "{refused:?}");
    }
}

fn c_005_content_type_variants() {
    let server = server::shared();
    for variant in [
        "application/x-protobuf; charset=utf-8",
        "Application/X-Protobuf",
        "application/x-protobuf;proto=opamp.proto.v1.AgentToServer",
    ] {
        let body = say::bare(say::uid(), 0).encode_to_vec();
        let headers = [("content-type", variant)];
        let reply = read(&http::once(
            server.opamp,
            "POST",
            Server::PATH,
            &headers,
            &body,
        ));
        assert!(say::error(&reply).is_none(), "{variant}");
    }
}

fn c_006_both_at_once() {
    let server = server::shared();
    let uid = say::uid();
    let body = say::bare(uid, 0).encode_to_vec();
    let headers = [&UPGRADE[..], &[PROTOBUF]].concat();
    for _ in 0..3 {
        let reply = read(&http::once(
            server.opamp,
            "POST",
            Server::PATH,
            &headers,
            &body,
        ));
        assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
        let got = http::once(server.opamp, "GET", Server::PATH, &headers, b"");
        assert_eq!(got.status, 405, "a plain exchange is a POST");
    }
}

fn c_007_protocols_inside_tls() {
    let secure = Secure::start();
    for (offered, agreed) in [
        (&[][..], None),
        (&["http/1.1"], Some("http/1.1")),
        (&["spdy/1", "http/1.1"], Some("http/1.1")),
    ] {
        assert_eq!(secure.open(offered).as_deref(), agreed, "a socket opens");
    }
    let answer = secure.poll_by_h2(&say::bare(say::uid(), 0).encode_to_vec());
    assert!(say::error(&answer).is_none());
    let (agreed, _) = secure.say(
        &["h2", "http/1.1"],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        |some| !some.is_empty(),
    );
    assert_eq!(agreed.as_deref(), Some("h2"));
}

fn c_008_plain_and_tls() {
    let (plain, secure) = (server::shared(), Secure::start());
    let is_answered = |answer: &[u8]| answer.windows(4).any(|end| end == b"\r\n\r\n");
    for (request, begins) in [
        (upgrade(), "HTTP/1.1 101 "),
        (
            poll(&say::bare(say::uid(), 0).encode_to_vec()),
            "HTTP/1.1 200 ",
        ),
    ] {
        let mut http = Http::connect(plain.opamp);
        http.send(&request);
        let (status, _) = http.try_head().expect("an answer");
        assert!(begins.contains(&format!(" {status} ")), "{status}");
        let (_, answer) = secure.say(&[], &request, is_answered);
        assert!(answer.starts_with(begins.as_bytes()), "{begins}");
    }
}

fn c_009_unknown_paths_and_methods() {
    let server = server::shared();
    let status = |method, path| {
        let mut http = Http::connect(server.opamp);
        http.request(method, path, &[], b"");
        http.response().status
    };
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let status = status(method, Server::PATH);
        assert!((400..500).contains(&status), "{method}: {status}");
    }
    assert!((400..500).contains(&status("GET", Server::PATH)));
    for path in [
        "/",
        "/v1/opamp/more",
        "/v1",
        "/v1/opampx",
        "/metrics",
        "/api/v1/agents",
    ] {
        assert_eq!(status("POST", path), 404, "{path}");
        assert_eq!(status("GET", path), 404, "{path}");
    }
    let mut agent = Agent::new(&server, Via::Http);
    assert!(say::error(&agent.hello()).is_none());
}
