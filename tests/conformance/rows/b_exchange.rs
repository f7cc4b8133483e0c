//! B. Who speaks when on a WebSocket, extensions, and peers that do not read.

use prost::Message;

use crate::agent::{Agent, Via};
use crate::deadline::{until, until_true};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{BINARY, End, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        22,
        "derived",
        "The server speaks whenever it has something to say.",
        c_022_full_duplex
    ),
    row!(
        23,
        "derived",
        "Several messages may be under way, and pushes come between replies.",
        c_023_messages_in_flight
    ),
    row!(
        24,
        "derived",
        "Messages of a connection are processed in order.",
        c_024_order
    ),
    row!(
        25,
        "derived",
        "Messages are written whole, one after the other.",
        c_025_whole_messages
    ),
    row!(
        26,
        "derived",
        "Compression, if accepted, is accepted without context takeover on both sides.",
        c_026_compression_answer
    ),
    row!(
        27,
        "derived",
        "Without negotiated compression, RSV1 is never set, and refused when it comes.",
        c_027_no_rsv1
    ),
    row!(
        28,
        "derived",
        "A peer that stops reading is cut off, and costs others nothing.",
        c_028_peer_that_does_not_read
    ),
];

fn c_022_full_duplex() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    assert!(agent.drain().is_empty());
    let hash = server.assign_yaml(&agent.label, "receivers: {}\n");
    // not a word from the agent: what comes is the server's own
    let push = agent.next();
    assert_eq!(push.remote_config.expect("an offer").config_hash, hash);
}

fn c_023_messages_in_flight() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let hash = server.assign_yaml(&agent.label, "a: 1\n");
    for _ in 0..20 {
        let body = agent.message().encode_to_vec();
        agent.ws().say(&body);
    }
    let mut messages = Vec::new();
    until("20 replies and the offer", || {
        messages.push(agent.next());
        let offered = messages
            .iter()
            .filter_map(|message| message.remote_config.as_ref());
        let offers = offered.filter(|offer| offer.config_hash == hash).count();
        // the offer rides in a reply or comes as a message of its own
        (messages.len() >= 20 && offers == 1).then_some(())
    });
    assert!((20..=21).contains(&messages.len()), "{}", messages.len());
    assert!(
        messages
            .iter()
            .all(|message| message.error_response.is_none())
    );
    assert!(agent.drain().len() + messages.len() <= 21);
}

fn c_024_order() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    for _ in 0..51 {
        let body = agent.message().encode_to_vec();
        agent.ws().say(&body);
    }
    for _ in 0..51 {
        let reply = agent.next();
        assert!(!say::asks_full_state(&reply), "nothing came out of order");
    }
}

fn c_025_whole_messages() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    let label = say::name();
    let uids: Vec<_> = (0..20).map(|_| say::uid()).collect();
    for uid in &uids {
        let mut message = say::bare(*uid, 0);
        message.capabilities = 0x3;
        message.agent_description = Some(say::description(&[("conf", &label)]));
        ws.say(&message.encode_to_vec());
        assert_eq!(ws.message().error_response, None);
    }
    let body = vec![b'#'; 200_000];
    server.assign(&label, &[("", "text/plain", &body)]);
    for number in 1..=10 {
        for uid in &uids {
            ws.say(&say::bare(*uid, number).encode_to_vec());
        }
    }
    // 20 offers of 200 kB between 200 replies: each message decodes, and none is lost
    let (mut offers, mut messages) = (0, 0);
    while offers < 20 || messages < 200 {
        let message = ws.message();
        messages += 1;
        offers += usize::from(message.remote_config.is_some());
        assert!(
            uids.iter()
                .any(|uid| message.instance_uid == uid.as_bytes()[..])
        );
    }
    assert_eq!(offers, 20);
}

fn c_026_compression_answer() {
    let server = server::shared();
    let offers = [
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate",
        "x-unknown, permessage-deflate; client_max_window_bits",
    ];
    for offer in offers {
        let headers = [("Sec-WebSocket-Extensions", offer)];
        let ws = Ws::try_open(server.opamp, Server::PATH, &headers)
            .unwrap_or_else(|status| panic!("{status}"));
        let mut answers = ws
            .accepted
            .iter()
            .filter(|(name, _)| name == "sec-websocket-extensions");
        let fit = answers.all(|(_, value)| {
            value.contains("server_no_context_takeover")
                && value.contains("client_no_context_takeover")
        });
        assert!(fit, "{:?}", ws.accepted);
    }
}

fn c_027_no_rsv1() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    server.assign(&agent.label, &[("", "text/plain", &vec![b' '; 100_000])]);
    // highly compressible, and every frame is watched for RSV bits
    agent.offer();
    let body = agent.message().encode_to_vec();
    agent.ws().try_send(0xC0 | BINARY, &body);
    assert_eq!(agent.end(), End::Close(1002));
}

fn c_028_peer_that_does_not_read() {
    const AGENTS: usize = 400;
    let server = Server::start(&["opamp.write_timeout_seconds=1"]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let mut ws = Ws::open(server.opamp, Server::PATH);
    let label = say::name();
    for _ in 0..AGENTS {
        let mut message = say::bare(say::uid(), 0);
        message.capabilities = 0x3;
        message.agent_description = Some(say::description(&[("conf", &label)]));
        ws.say(&message.encode_to_vec());
        ws.message();
    }
    let sessions = "ampora_opamp_active_sessions{transport=\"websocket\"}";
    until_true("the sessions", || server.metric(sessions) >= 2.0);
    let before = server.peak_memory();
    // 24 MB to a socket that is not read from here on
    server.assign(&label, &[("", "text/plain", &vec![b'#'; 60_000])]);
    until_true("the cut", || {
        assert_eq!(bystander.beat().error_response, None, "others are served");
        server.metric(sessions) < 2.0
    });
    let grown = server.peak_memory().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes for one slow peer");
    drop(ws);
}
