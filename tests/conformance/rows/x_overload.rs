//! X. What is said when there is too much.

use std::collections::BTreeSet;

use ampora_proto::wire::server_error_response::Details;
use ampora_proto::wire::{RemoteConfigStatuses, ServerErrorResponseType};
use serde_json::json;

use crate::agent::{Agent, BOTH, PROTOBUF, Via};
use crate::deadline::until;
use crate::http::{self, Response};
use crate::row::{Row, open, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::UPGRADE;

pub(crate) const ROWS: &[Row] = &[
    row!(
        300,
        "SHOULD",
        "An agent that cannot be served on an open connection is told UNAVAILABLE.",
        c_300_unavailable
    ),
    row!(
        301,
        "may",
        "UNAVAILABLE says when to come back, in nanoseconds; BadRequest does not.",
        c_301_retry_in_nanoseconds
    ),
    row!(
        302,
        "MAY",
        "A request or upgrade that cannot be served is answered 503.",
        c_302_status_503
    ),
    row!(
        303,
        "MAY",
        "A 503 has a Retry-After in whole seconds.",
        c_303_retry_after
    ),
    open!(
        304,
        "recommended",
        "A minimum of 30 s between tries.",
        "kept for UNAVAILABLE; refused connections are spread over the time that the refused need, which may be shorter"
    ),
    row!(
        305,
        "derived",
        "Retry-After is spread, so that the refused do not return together.",
        c_305_spread
    ),
    row!(
        307,
        "derived",
        "The body of a 503 is small and not called gzip.",
        c_307_small_body
    ),
    row!(
        309,
        "derived",
        "New connections are refused before established ones are dropped.",
        c_309_established_ones_stay
    ),
    row!(
        311,
        "derived",
        "Configurations reach many agents at a limited pace.",
        c_311_slow_start
    ),
];

/// Ten agents first, and as many more once they have confirmed.
fn c_311_slow_start() {
    let server = server::shared();
    let label = say::name();
    let mut agents: Vec<_> = (0..25)
        .map(|_| Agent::known_as(&server, Via::WebSocket, say::uid(), label.clone()))
        .collect();
    for agent in &mut agents {
        assert_eq!(say::error(&agent.hello()), None);
        agent.settled();
    }
    let (version, hash) = server.version(&label, &[("", "text/yaml", b"a: 1\n")]);
    let configuration = json!({"name": label, "version": version});
    let group = json!({
        "selector": format!("conf={label}"), "configuration": configuration, "pace": "slow-start",
    });
    server.group(&label, &group);
    let mut offered = BTreeSet::new();
    for window in [10, 20, 25] {
        until("the next window", || {
            for (number, agent) in agents.iter_mut().enumerate() {
                let messages = agent.drain();
                if messages
                    .iter()
                    .any(|message| message.remote_config.is_some())
                {
                    offered.insert(number);
                }
            }
            assert!(offered.len() <= window, "{} of {window}", offered.len());
            (offered.len() == window).then_some(())
        });
        for (number, agent) in agents.iter_mut().enumerate() {
            let replies = agent.beats(2);
            let more = replies.iter().any(|reply| reply.remote_config.is_some());
            assert!(!more, "agent {number} beyond a window of {window}");
        }
        for number in &offered {
            agents[*number].report(&hash, RemoteConfigStatuses::Applied);
        }
    }
}

fn c_300_unavailable() {
    let server = Server::start(&["agents.max=1"]);
    let mut first = Agent::introduced(&server, Via::WebSocket);
    for via in BOTH {
        let reply = Agent::new(&server, via).hello();
        assert_eq!(
            say::error(&reply),
            Some(ServerErrorResponseType::Unavailable),
            "{via:?}"
        );
    }
    assert_eq!(first.beat().error_response, None);
}

fn c_301_retry_in_nanoseconds() {
    let server = Server::start(&["agents.max=1"]);
    Agent::introduced(&server, Via::WebSocket);
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let error = agent.hello().error_response.expect("an error");
        let Some(Details::RetryInfo(retry)) = error.details else {
            panic!("{error:?}")
        };
        assert!(retry.retry_after_nanoseconds >= 30_000_000_000, "{retry:?}");
        let error = agent
            .ask_bytes(&[0xFF; 9])
            .error_response
            .expect("an error");
        assert_eq!(error.details, None);
    }
}

/// A server whose only place is taken, and what it answers to others over both transports.
fn full(settings: &[&str], look: impl Fn(Response)) {
    let server = Server::start(&[&["opamp.max_connections=1"], settings].concat());
    let mut holder = Agent::introduced(&server, Via::WebSocket);
    for _ in 0..30 {
        look(http::once(server.opamp, "GET", Server::PATH, &UPGRADE, b""));
        let body = prost::Message::encode_to_vec(&say::bare(say::uid(), 0));
        look(http::once(
            server.opamp,
            "POST",
            Server::PATH,
            &[PROTOBUF],
            &body,
        ));
    }
    assert_eq!(holder.beat().error_response, None);
}

fn c_302_status_503() {
    full(&[], |refused| {
        assert_eq!(refused.status, 503, "{refused:?}")
    });
}

fn c_303_retry_after() {
    full(&[], |refused| {
        let wait = refused.header("retry-after").expect("a header");
        assert!(wait.parse::<u32>().is_ok(), "{wait}");
    });
}

fn c_305_spread() {
    let waits = std::cell::RefCell::new(BTreeSet::new());
    full(&["opamp.accept_rate_per_second=2"], |refused| {
        let wait = refused.header("retry-after").expect("a header");
        waits
            .borrow_mut()
            .insert(wait.parse::<u32>().expect("seconds"));
    });
    assert!(waits.borrow().len() >= 5, "{waits:?}");
}

fn c_307_small_body() {
    full(&[], |refused| {
        assert!(refused.body.len() < 300, "{}", refused.body.len());
        assert_eq!(refused.header("content-encoding"), None);
    });
}

fn c_309_established_ones_stay() {
    let server = Server::start(&["opamp.max_connections=5"]);
    let mut held: Vec<_> = (0..5)
        .map(|_| Agent::introduced(&server, Via::WebSocket))
        .collect();
    for _ in 0..50 {
        let refused = http::once(server.opamp, "GET", Server::PATH, &UPGRADE, b"");
        assert_eq!(refused.status, 503);
        for agent in &mut held {
            assert_eq!(agent.beat().error_response, None);
        }
    }
    assert_eq!(server::shared().rejected("nothing of the kind"), 0.0);
}
