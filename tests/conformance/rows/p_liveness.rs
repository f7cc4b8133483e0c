//! P. Heartbeats, and what silence means.

use std::time::Duration;

use prost::Message;

use crate::agent::{Agent, BOTH, Via};
use crate::deadline::{Held, Since, until_true};
use crate::row::{Row, open, row};
use crate::say;
use crate::server::{self, Server};
use crate::support;
use crate::ws::{PING, PONG};

const OFFERS: &str = "comes with connection settings offers (a later step)";

pub(crate) const ROWS: &[Row] = &[
    row!(
        205,
        "should not",
        "Silence of a WebSocket that was never heard to heartbeat says nothing.",
        c_205_silence_without_heartbeats
    ),
    open!(206, "MAY", "The heartbeat interval may be offered.", OFFERS),
    open!(
        207,
        "derived",
        "Every offer for the connection to us states the interval.",
        OFFERS
    ),
    open!(
        208,
        "derived",
        "The interval is never left to be guessed.",
        OFFERS
    ),
    open!(
        209,
        "derived",
        "Plain-HTTP clients refuse an interval of 0.",
        OFFERS
    ),
    row!(
        210,
        "should not",
        "The client's own interval is not assumed: the window is 90 s by default.",
        c_210_generous_window
    ),
    row!(
        211,
        "MUST",
        "A heartbeat is any message with a uid, and is answered.",
        c_211_heartbeat_is_answered
    ),
    row!(
        212,
        "MUST",
        "A gap that a heartbeat shows asks for the full state.",
        c_212_gap_seen_on_a_heartbeat
    ),
    row!(
        213,
        "derived",
        "A half-open connection is found by pings and freed.",
        c_213_half_open_connection
    ),
    row!(
        214,
        "may",
        "An agent that stops polling turns stale, then disconnected.",
        c_214_agent_that_stops_polling
    ),
    row!(
        215,
        "derived",
        "Heartbeats that come in phase are served.",
        c_215_heartbeats_in_phase
    ),
];

fn c_205_silence_without_heartbeats() {
    let server = server::brisk();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    // six pings are three windows of silence, apart from the pongs of its library
    for _ in 0..6 {
        let ws = agent.ws();
        let frame = ws.frame().expect("a ping");
        assert_eq!(frame.opcode, PING);
        ws.send(PONG, &frame.payload);
    }
    let shown = server.agent("the agent", agent.uid, |_| true);
    assert_eq!(shown["state"], "connected", "{shown}");
}

fn c_210_generous_window() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let output = support::ampora(directory.path())
        .args(["check", "config"])
        .output()
        .expect("the binary");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("heartbeat_window_seconds: 90"), "{text}");
}

fn c_211_heartbeat_is_answered() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        for reply in agent.beats(10) {
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
            assert_eq!((reply.error_response, reply.flags), (None, 0));
        }
    }
}

fn c_212_gap_seen_on_a_heartbeat() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.sequence += 1;
        assert!(say::asks_full_state(&agent.beat()), "{via:?}");
    }
}

fn c_213_half_open_connection() {
    let server = server::brisk();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    // it reads, and answers no ping: TCP is alive, the agent is not
    until_true("the end", || agent.ws().frame().is_none());
    server.agent("its transport is gone", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
}

fn c_214_agent_that_stops_polling() {
    let server = server::brisk();
    let mut agent = Agent::introduced(&server, Via::Http);
    // a machine that stands still for a window may look too late
    let is_seen = (0..3).any(|_| {
        agent.beat();
        server.agent("heard", agent.uid, |agent| agent["state"] == "connected");
        let silent = server.agent("silence", agent.uid, |agent| agent["state"] != "connected");
        silent["state"] == "stale"
    });
    assert!(is_seen, "it is never stale");
    server.agent("disconnected", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
    assert_eq!(agent.beat().error_response, None);
    server.agent("back", agent.uid, |agent| agent["state"] == "connected");
}

fn c_215_heartbeats_in_phase() {
    const AGENTS: usize = 300;
    let server = Server::start(&[]);
    let mut agents: Vec<_> = (0..AGENTS)
        .map(|_| {
            let mut agent = Agent::new(&server, Via::WebSocket);
            assert_eq!(agent.hello().error_response, None);
            agent
        })
        .collect();
    let mut held = Held::default();
    for _ in 0..5 {
        let since = Since::now();
        for agent in &mut agents {
            let body = agent.message().encode_to_vec();
            agent.ws().say(&body);
        }
        for agent in &mut agents {
            let reply = agent.ws().message();
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
            assert_eq!((reply.error_response, reply.flags), (None, 0));
        }
        held.took(since.elapsed());
        held.up_for_less_than(Duration::from_secs(5));
    }
    let sessions = "ampora_opamp_active_sessions{transport=\"websocket\"}";
    assert_eq!(server.metric(sessions), AGENTS as f64);
}
