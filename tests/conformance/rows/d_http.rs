//! D. Plain HTTP: one request, one reply, and nothing that hangs on the TCP connection.

use prost::Message;

use crate::agent::{Agent, Link, PROTOBUF, Via, exchange, read};
use crate::deadline::Since;
use crate::http::{self, Http};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        36,
        "MUST",
        "A POST carries one message without a header, and so does the response.",
        c_036_body_without_header
    ),
    row!(
        37,
        "derived",
        "Every request is answered with exactly 200 and a body.",
        c_037_always_200
    ),
    row!(
        38,
        "derived",
        "The response has the protobuf content type.",
        c_038_content_type
    ),
    row!(
        44,
        "derived",
        "The uid header is optional.",
        c_044_uid_header
    ),
    row!(
        45,
        "derived",
        "A uid header that disagrees is ignored: the body rules.",
        c_045_uid_header_that_lies
    ),
    row!(
        46,
        "derived",
        "A poll with a uid alone is answered with what is pending; no capabilities mean unchanged ones.",
        c_046_bare_poll
    ),
    row!(
        47,
        "derived",
        "What is pending comes with the next response, the newest of each kind alone.",
        c_047_newest_pending
    ),
    row!(
        48,
        "derived",
        "A request may follow a response at once.",
        c_048_back_to_back
    ),
    row!(
        49,
        "derived",
        "Requests of one agent that overlap are answered one after the other.",
        c_049_overlapping_requests
    ),
    row!(
        50,
        "derived",
        "State hangs on the agent, not on the TCP connection.",
        c_050_new_connection_each_time
    ),
    row!(
        51,
        "derived",
        "Polls may reach any node.",
        c_051_polls_to_any_node
    ),
    row!(
        52,
        "derived",
        "Requests are answered promptly, never held back.",
        c_052_prompt_answers
    ),
    row!(
        53,
        "derived",
        "`Expect: 100-continue` and chunked bodies are taken.",
        c_053_expectation_and_chunks
    ),
    row!(
        54,
        "derived",
        "A POST is never redirected in a way that turns it into a GET.",
        c_054_no_redirects
    ),
];

fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> http::Response {
    let headers = [&[PROTOBUF], headers].concat();
    http::once(server.opamp, "POST", Server::PATH, &headers, body)
}

fn c_036_body_without_header() {
    let server = server::shared();
    let uid = say::uid();
    let response = post(&server, &[], &say::bare(uid, 0).encode_to_vec());
    assert_eq!(response.body[..2], [0x0A, 16], "field 1, 16 bytes");
    assert_eq!(read(&response).instance_uid, uid.as_bytes()[..]);
}

fn c_037_always_200() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    for _ in 0..3 {
        let body = agent.message().encode_to_vec();
        let response = post(&server, &[], &body);
        assert_eq!(response.status, 200);
        assert!(!response.body.is_empty(), "nothing to say has a body too");
    }
    assert_eq!(post(&server, &[], b"nonsense").status, 200);
    assert_eq!(post(&server, &[], b"").status, 200);
}

fn c_038_content_type() {
    let server = server::shared();
    for body in [
        say::bare(say::uid(), 0).encode_to_vec(),
        b"nonsense".to_vec(),
    ] {
        let response = post(&server, &[], &body);
        assert_eq!(
            response.header("content-type"),
            Some("application/x-protobuf")
        );
    }
}

fn c_044_uid_header() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let uid = agent.uid.to_string();
    for headers in [&[][..], &[("OpAMP-Instance-UID", uid.as_str())]] {
        let body = agent.message().encode_to_vec();
        let reply = read(&post(&server, headers, &body));
        assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
}

fn c_045_uid_header_that_lies() {
    let server = server::shared();
    let mut a = Agent::introduced(&server, Via::Http);
    let mut b = Agent::introduced(&server, Via::Http);
    let before = server.agent("b", b.uid, |_| true);
    for header in [b.uid.to_string(), "no uuid".to_owned(), String::new()] {
        let mut message = a.message();
        message.health = Some(say::health(false, "from a"));
        let headers = [("OpAMP-Instance-UID", header.as_str())];
        let reply = read(&post(&server, &headers, &message.encode_to_vec()));
        assert_eq!(reply.instance_uid, a.uid.as_bytes()[..], "{header}");
        assert_eq!(reply.error_response, None);
    }
    server.agent("a's health", a.uid, |agent| {
        agent["health"]["status"] == "from a"
    });
    let after = server.agent("b", b.uid, |_| true);
    assert_eq!(before["health"], after["health"]);
    assert_eq!(before["last_seen"], after["last_seen"]);
    assert!(
        !say::asks_full_state(&b.beat()),
        "b's numbers were not touched"
    );
}

fn c_046_bare_poll() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign_yaml(&agent.label, "a: 1\n");
    agent.wanted(&hash);
    agent.capabilities = 0;
    assert_eq!(agent.offer().config_hash, hash);
    let shown = server.agent("the agent", agent.uid, |_| true);
    let names = shown["capabilities"].as_array().expect("names");
    assert!(
        names.iter().any(|name| name == "AcceptsRemoteConfig"),
        "{shown}"
    );
}

fn c_047_newest_pending() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    server.assign_yaml(&agent.label, "change: 1\n");
    server.assign_yaml(&agent.label, "change: 2\n");
    let last = server.assign_yaml(&agent.label, "change: 3\n");
    agent.wanted(&last);
    // the session hears of the assignment a moment after REST shows it
    assert_eq!(agent.offer().config_hash, last);
    let later = agent.beats(5);
    assert!(later.iter().all(|reply| reply.remote_config.is_none()));
}

fn c_048_back_to_back() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    for reply in agent.beats(100) {
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
    // and several before the first response was read
    let bodies: Vec<_> = (0..10).map(|_| agent.message().encode_to_vec()).collect();
    let Link::Http(http) = &mut agent.link else {
        panic!("plain HTTP")
    };
    for body in &bodies {
        http.request("POST", Server::PATH, &[PROTOBUF], body);
    }
    for _ in &bodies {
        let reply = read(&http.response());
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
}

fn c_049_overlapping_requests() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    for _ in 0..10 {
        let body = agent.message().encode_to_vec();
        let replies: Vec<_> = std::thread::scope(|scope| {
            let ask = || scope.spawn(|| read(&post(&server, &[], &body)));
            let asked = [ask(), ask(), ask()];
            asked.map(|one| one.join().expect("a reply")).to_vec()
        });
        for reply in replies {
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
            assert_eq!(
                (reply.error_response, reply.flags),
                (None, 0),
                "a copy is no gap"
            );
        }
    }
    assert_eq!(agent.beat().flags, 0);
}

fn c_050_new_connection_each_time() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let fence = server.agent("a fence", agent.uid, |_| true)["fence"].clone();
    for _ in 0..10 {
        agent.reconnect();
        let reply = agent.beat();
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
    let shown = server.agent("the agent", agent.uid, |_| true);
    assert_eq!(
        (&shown["state"], &shown["fence"]),
        (&"connected".into(), &fence)
    );
}

fn c_051_polls_to_any_node() {
    let nodes = Server::two();
    let mut agent = Agent::introduced(&nodes[0], Via::Http);
    let hash = nodes[0].assign_yaml(&agent.label, "receivers: {a: }\n");
    agent.server = &nodes[1];
    agent.wanted(&hash);
    let uid = agent.uid;
    let session = |server: &Server| {
        let shown = server.agent("its session", uid, |shown| shown["owner_node"].is_u64());
        (shown["owner_node"].clone(), shown["fence"].clone())
    };
    let began = session(&nodes[1]);
    let mut replies = Vec::new();
    for turn in 0..20 {
        agent.server = &nodes[1 - turn % 2];
        agent.reconnect();
        replies.push(agent.beat());
        if replies.len() == 10 {
            agent.apply_offer();
        }
    }
    assert_eq!(agent.offers_seen, 1, "delivered once");
    let faults = replies.iter().filter(|reply| {
        say::asks_full_state(reply)
            || say::error(reply).is_some()
            || reply.agent_identification.is_some()
    });
    assert_eq!(faults.count(), 0, "{replies:?}");
    for server in &nodes {
        assert_eq!(session(server), began, "one session");
    }
}

fn c_052_prompt_answers() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let mut took: Vec<_> = (0..100)
        .map(|_| {
            let since = Since::now();
            agent.beat();
            since.elapsed()
        })
        .collect();
    took.sort();
    // one may come while the machine stands still, and some while it does much else
    assert!(took[50].as_millis() < 500, "{:?}", took[50]);
    assert!(took[98].as_secs() < 3, "{:?}", took[98]);
}

fn c_053_expectation_and_chunks() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let body = agent.message().encode_to_vec();
    let mut http = Http::connect(server.opamp);
    let length = body.len().to_string();
    let headers = [
        PROTOBUF,
        ("Expect", "100-continue"),
        ("Content-Length", length.as_str()),
    ];
    http.send(&[http::head("POST", Server::PATH, &headers), b"\r\n".to_vec()].concat());
    assert_eq!(http.try_head().expect("leave to go on").0, 100);
    http.send(&body);
    assert_eq!(read(&http.response()).flags, 0);

    let body = agent.message().encode_to_vec();
    let headers = [PROTOBUF, ("Transfer-Encoding", "chunked")];
    let mut request = http::head("POST", Server::PATH, &headers);
    request.extend_from_slice(b"\r\n");
    for byte in &body {
        request.extend_from_slice(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    request.extend_from_slice(b"0\r\n\r\n");
    http.send(&request);
    assert_eq!(read(&http.response()).flags, 0);
    // the connection goes on
    assert_eq!(
        exchange(&mut http, &agent.message().encode_to_vec()).flags,
        0
    );
}

fn c_054_no_redirects() {
    let server = server::shared();
    let body = say::bare(say::uid(), 0).encode_to_vec();
    for path in [
        Server::PATH,
        "/v1/opamp/",
        "//v1/opamp",
        "/v1/../v1/opamp",
        "/V1/OPAMP",
        "/v1/opamp?x=1",
    ] {
        let status = http::once(server.opamp, "POST", path, &[PROTOBUF], &body).status;
        assert!(!(300..400).contains(&status), "{path}: {status}");
    }
}
