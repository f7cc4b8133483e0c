//! V. Authentication of agents: by enrollment tokens, where `opamp.auth` is `token`.

use std::fs;
use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use crate::agent::{Agent, BOTH, PROTOBUF, Via};
use crate::deadline::until_true;
use crate::http::{self, Http, Response};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{End, UPGRADE, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        282,
        "MAY",
        "Clients are authenticated before the upgrade.",
        c_282_before_the_upgrade
    ),
    row!(
        283,
        "MUST",
        "Failed authentication is answered 401.",
        c_283_status_401
    ),
    row!(284, "derived", "A 401 names the scheme.", c_284_challenge),
    row!(285, "derived", "Every poll is authenticated.", c_285_polls),
    row!(
        286,
        "derived",
        "A live WebSocket ends when its credentials do.",
        c_286_live_socket
    ),
    row!(
        287,
        "derived",
        "A credential can be bound to an agent.",
        c_287_bound_to_the_agent
    ),
    row!(
        288,
        "derived",
        "Tokens are compared in constant time and never logged; TLS is 1.2 or newer.",
        c_288_no_secret_leaves
    ),
    row!(
        289,
        "derived",
        "Header names match in any case.",
        c_289_any_case
    ),
    row!(290, "derived", "Refusals slow clients down.", c_290_slower),
];

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The answer to an upgrade.
fn upgrade(server: &Server, headers: &[(&str, &str)]) -> Response {
    let mut http = Http::connect(server.opamp);
    http.request("GET", Server::PATH, &[&UPGRADE, headers].concat(), b"");
    http.response()
}

/// The answer to a poll of somebody new.
fn poll(server: &Server, headers: &[(&str, &str)]) -> Response {
    let body = say::bare(say::uid(), 0).encode_to_vec();
    let headers = [&[PROTOBUF], headers].concat();
    http::once(server.opamp, "POST", Server::PATH, &headers, &body)
}

fn c_282_before_the_upgrade() {
    let server = server::guarded();
    let (_, token) = server.enrollment_token(&json!({}));
    let before = server.rejected("auth");
    assert_eq!(upgrade(&server, &[]).status, 401);
    assert_eq!(poll(&server, &[]).status, 401);
    assert!(server.rejected("auth") >= before + 2.0, "each is counted");
    for via in BOTH {
        let mut agent = Agent::with_token(&server, via, say::uid(), &token);
        assert_eq!(say::error(&agent.hello()), None);
        agent.settled();
    }
    // where nobody is asked, any header will do
    let open = server::shared();
    let credentials = bearer(&token);
    let headers = [("Authorization", credentials.as_str())];
    assert!(Ws::try_open(open.opamp, Server::PATH, &headers).is_ok());
    assert_eq!(poll(&open, &headers).status, 200);
}

fn c_283_status_401() {
    let server = server::guarded();
    let (id, token) = server.enrollment_token(&json!({}));
    server.revoke_enrollment(&id);
    let wrong = format!("amp_{}", "A".repeat(43));
    for credentials in [
        bearer(&token),
        bearer(&wrong),
        bearer(server.admin_token()),
        "Basic YTpi".to_owned(),
        "Bearer".to_owned(),
    ] {
        let headers = [("Authorization", credentials.as_str())];
        assert_eq!(upgrade(&server, &headers).status, 401, "{credentials}");
        assert_eq!(poll(&server, &headers).status, 401, "{credentials}");
    }
}

fn c_284_challenge() {
    let server = server::guarded();
    for answer in [upgrade(&server, &[]), poll(&server, &[])] {
        assert_eq!(answer.status, 401);
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
    }
}

fn c_285_polls() {
    let server = server::guarded();
    let (id, token) = server.enrollment_token(&json!({}));
    let (_, next) = server.enrollment_token(&json!({}));
    let mut agent = Agent::with_token(&server, Via::Http, say::uid(), &token);
    assert_eq!(say::error(&agent.hello()), None);
    agent.settled();
    let status = |agent: &mut Agent<'_>, token: Option<&str>| {
        let credentials = token.map(bearer);
        let mut headers = vec![PROTOBUF];
        headers.extend(
            credentials
                .iter()
                .map(|text| ("Authorization", text.as_str())),
        );
        let body = agent.message().encode_to_vec();
        let answer = http::once(server.opamp, "POST", Server::PATH, &headers, &body);
        answer.status
    };
    assert_eq!(status(&mut agent, None), 401);
    assert_eq!(status(&mut agent, Some(&token)), 200);
    server.revoke_enrollment(&id);
    assert_eq!(status(&mut agent, Some(&token)), 401);
    server.agent("its end", agent.uid, |agent| agent["owner_node"].is_null());
    // the credentials change between polls: what was revoked holds the agent no longer
    agent.token = Some(next);
    agent.reconnect();
    assert_eq!(say::error(&agent.hello()), None);
    assert_eq!(say::error(&agent.beat()), None);
}

fn c_286_live_socket() {
    let server = server::guarded();
    let (id, token) = server.enrollment_token(&json!({}));
    let (_, other) = server.enrollment_token(&json!({}));
    let mut bystander = Agent::with_token(&server, Via::WebSocket, say::uid(), &other);
    let mut agent = Agent::with_token(&server, Via::WebSocket, say::uid(), &token);
    // one that has said nothing yet ends as well
    let mut silent = Agent::with_token(&server, Via::WebSocket, say::uid(), &token);
    for agent in [&mut bystander, &mut agent] {
        assert_eq!(say::error(&agent.hello()), None);
        agent.settled();
    }
    server.revoke_enrollment(&id);
    assert_eq!(agent.end(), End::Close(1008));
    assert_eq!(silent.end(), End::Close(1008));
    server.agent("its end", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
    let credentials = bearer(&token);
    let headers = [("Authorization", credentials.as_str())];
    assert_eq!(upgrade(&server, &headers).status, 401);
    assert_eq!(say::error(&bystander.beat()), None);
}

fn c_287_bound_to_the_agent() {
    let server = server::guarded();
    let (_, token) = server.enrollment_token(&json!({}));
    let (_, foreign) = server.enrollment_token(&json!({}));
    for (mine, theirs) in [
        (Via::WebSocket, Via::Http),
        (Via::WebSocket, Via::WebSocket),
        (Via::Http, Via::WebSocket),
        (Via::Http, Via::Http),
    ] {
        let mut agent = Agent::with_token(&server, mine, say::uid(), &token);
        assert_eq!(say::error(&agent.hello()), None);
        agent.settled();
        let hash = server.assign_yaml(&agent.label, "secret: 1\n");
        let mut thief = Agent::with_token(&server, theirs, agent.uid, &foreign);
        let refused = thief.hello();
        assert!(say::is_bad_request(&refused), "{refused:?}");
        assert_eq!(refused.remote_config, None);
        assert!(say::is_bad_request(&thief.tell(say::goodbye)));
        // nothing of it counts
        assert_eq!(agent.offer().config_hash, hash);
        let shown = server.get(&format!("/agents/{}", agent.uid));
        assert_eq!(shown["state"], "connected");
        assert_eq!(shown["labels"]["conf"], agent.label.as_str());
    }
}

/// Whether a file below `dir` holds the bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let kept = path.file_name().is_some_and(|name| name == "admin.token");
        let text = fs::read(&path).unwrap_or_default();
        !kept && text.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn c_288_no_secret_leaves() {
    let server = Server::start(&["opamp.auth=token", "log.level=trace"]);
    let mut secrets = vec![server.admin_token().to_owned()];
    let operator = json!({"name": "conformance", "role": "viewer"});
    let (status, made) = server.ask("POST", "/tokens", &operator);
    assert_eq!(status, 201, "{made}");
    secrets.push(made["token"].as_str().expect("a token").to_owned());
    let (id, token) = server.enrollment_token(&json!({"uses": 1}));
    let wrong = format!("amp_{}", "w".repeat(43));
    let mut said = Vec::new();
    for secret in [&token, &wrong] {
        let credentials = bearer(secret);
        let headers = [("Authorization", credentials.as_str())];
        said.push(format!("{:?}", poll(&server, &headers)));
        said.push(format!("{:?}", poll(&server, &headers)));
        let headers = [&headers[..], &[("Connection", "close")]].concat();
        let path = "/api/v1/agents";
        said.push(format!(
            "{:?}",
            http::once(server.admin, "GET", path, &headers, b"")
        ));
    }
    secrets.extend([token, wrong]);
    for path in ["/tokens", "/enrollment-tokens"] {
        said.push(server.get(path).to_string());
    }
    server.revoke_enrollment(&id);
    let audit = server.get("/audit").to_string();
    for action in [
        "token.create",
        "enrollment_token.create",
        "enrollment_token.delete",
    ] {
        assert!(audit.contains(action), "{audit}");
    }
    said.push(audit);
    let metrics = http::once(
        server.admin,
        "GET",
        "/metrics",
        &[("Connection", "close")],
        b"",
    );
    said.push(String::from_utf8(metrics.body).expect("text"));
    until_true("a log", || server.log().contains("request answered"));
    said.push(server.log());
    let data = server.data_dir();
    let server = server.stopped_and_started();
    said.push(server.log());
    for secret in &secrets {
        for text in &said {
            assert!(
                !text.contains(secret.as_str()),
                "{secret} stands in: {text}"
            );
        }
        assert!(!holds(&data, secret.as_bytes()), "{secret} is kept");
    }
}

fn c_289_any_case() {
    let server = server::guarded();
    let (_, token) = server.enrollment_token(&json!({}));
    for name in [
        "Authorization",
        "authorization",
        "AUTHORIZATION",
        "aUtHoRiZaTiOn",
    ] {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let credentials = format!("{scheme} {token}");
            let headers = [
                (name, credentials.as_str()),
                ("X-Custom-Header", "anything"),
                ("Secret-Key", "of another server"),
            ];
            assert!(Ws::try_open(server.opamp, Server::PATH, &headers).is_ok());
            assert_eq!(poll(&server, &headers).status, 200);
        }
    }
}

fn c_290_slower() {
    let server = Server::start(&["opamp.auth=token"]);
    let (_, token) = server.enrollment_token(&json!({}));
    let mut agent = Agent::with_token(&server, Via::WebSocket, say::uid(), &token);
    assert_eq!(say::error(&agent.hello()), None);
    let wait = |answer: Response| match answer.status {
        401 => None,
        429 => answer
            .header("retry-after")
            .map(|text| text.parse::<u64>().expect("seconds")),
        other => panic!("{other}"),
    };
    for ask in [upgrade, poll] {
        let waits = (0..200).find_map(|_| wait(ask(&server, &[])));
        assert!(waits.expect("it goes on for ever") >= 1);
    }
    // whoever has a token is not held up
    assert_eq!(say::error(&agent.beat()), None);
    agent.reconnect();
    assert_eq!(say::error(&agent.beat()), None);
    let (status, _) = server.ask("GET", "/agents", &Value::Null);
    assert_eq!(status, 200);
}
