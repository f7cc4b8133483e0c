//! C. How large a WebSocket message may be, in both directions.

use prost::Message;

use crate::agent::{Agent, Via};
use crate::bomb;
use crate::deadline::until_true;
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{self, BINARY, CONTINUATION, End, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        29,
        "recommended",
        "A limit of 64 MiB on header and data can be kept exactly (the default is 10 MiB).",
        c_029_recommended_limit
    ),
    row!(
        30,
        "SHOULD",
        "The limit can be configured.",
        c_030_configured_limit
    ),
    row!(
        31,
        "MUST",
        "The inbound limit is enforced, and nothing inflates past it.",
        c_031_inbound_limit
    ),
    row!(
        32,
        "SHOULD",
        "A message above the limit closes with 1009.",
        c_032_close_code
    ),
    row!(
        33,
        "derived",
        "Fragments are bounded before they are put together.",
        c_033_endless_fragments
    ),
    row!(
        34,
        "MUST",
        "An outbound message above the limit is not sent; the agent is acknowledged all the same.",
        c_034_outbound_limit
    ),
    row!(
        35,
        "SHOULD",
        "What was not sent is recorded.",
        c_035_discarded_offer_is_recorded
    ),
];

/// The limit of the small server.
pub(super) const SMALL: usize = 65_536;

/// A message of exactly so many bytes, filled up by a field that nobody knows.
pub(super) fn of_size(uid: uuid::Uuid, number: u64, size: usize) -> Vec<u8> {
    let message = say::bare(uid, number).encode_to_vec();
    let fill = |length: usize| [message.as_slice(), &say::field(200, &vec![7; length])].concat();
    let short = fill(size - message.len()).len() - size;
    let body = fill(size - message.len() - short);
    assert_eq!(body.len(), size);
    body
}

fn fits_and_does_not(server: &Server, limit: usize) {
    let uid = say::uid();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    // the header byte counts
    ws.say(&of_size(uid, 0, limit - 1));
    assert_eq!(ws.message().error_response, None);
    ws.try_send(0x80 | BINARY, &ws::framed(&of_size(uid, 1, limit)));
    assert_eq!(ws.end(), End::Close(1009));
}

fn c_029_recommended_limit() {
    fits_and_does_not(&server::large(), 64 * 1024 * 1024);
    fits_and_does_not(&server::shared(), 10 * 1024 * 1024);
}

fn c_030_configured_limit() {
    fits_and_does_not(&server::small(), SMALL);
}

fn c_031_inbound_limit() {
    let server = server::small();
    let before = server.rejected("oversize");
    let memory = server.peak_memory();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    let announced = [
        0x80 | BINARY,
        0x80 | 127,
        0,
        0,
        0,
        16,
        0,
        0,
        0,
        0,
        1,
        2,
        3,
        4,
    ];
    // a frame that only says that it will have 64 GiB
    ws.http.send(&announced);
    assert_eq!(ws.end(), End::Close(1009));
    // 40 kB that would inflate to 640 MiB: compression was offered, and is used whether accepted or not
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let mut ws = Ws::try_open(server.opamp, Server::PATH, &offer)
        .unwrap_or_else(|status| panic!("{status}"));
    let mut inflating = bomb::deflate(3);
    inflating.truncate(SMALL - 1);
    ws.try_send(0xC0 | BINARY, &inflating);
    let End::Close(code) = ws.end() else {
        panic!("closed in order")
    };
    assert!(matches!(code, 1002 | 1009), "{code}");
    assert!(server.rejected("oversize") > before);
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
}

fn c_032_close_code() {
    let server = server::small();
    let before = server.rejected("oversize");
    let uid = say::uid();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    ws.try_send(0x80 | BINARY, &ws::framed(&of_size(uid, 0, 2 * SMALL)));
    assert_eq!(ws.end(), End::Close(1009));
    assert!(!server.knows(uid), "nothing of it counts");
    until_true("a count", || server.rejected("oversize") > before);
}

fn c_033_endless_fragments() {
    let server = server::small();
    let memory = server.peak_memory();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    let mut sent = ws.try_send(BINARY, &[0; 1000]);
    let mut bytes = 1000_usize;
    while sent && bytes < 512 * 1024 * 1024 {
        sent = ws.try_send(CONTINUATION, &[0; 1000]);
        bytes += 1000;
    }
    assert!(!sent, "the server stops reading");
    // the Close frame may be lost with the bytes that were still under way
    assert!(matches!(ws.end(), End::Close(1009) | End::Cut));
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    let mut agent = Agent::new(&server, Via::WebSocket);
    assert_eq!(agent.hello().error_response, None, "others are served");
}

fn c_034_outbound_limit() {
    let server = server::small();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 2 * SMALL])]);
    agent.wanted(&hash);
    for reply in agent.beats(5) {
        assert_eq!((reply.error_response, reply.remote_config), (None, None));
    }
    // an offer that would ride in a reply does not take the reply with it
    let mut second = Agent::known_as(&server, Via::WebSocket, say::uid(), agent.label.clone());
    let reply = second.hello();
    assert_eq!((reply.error_response, reply.remote_config), (None, None));
    // what fits is offered as ever
    let hash = server.assign(&agent.label, &[("", "text/plain", b"# small")]);
    assert_eq!(agent.offer().config_hash, hash);
}

fn c_035_discarded_offer_is_recorded() {
    let server = server::small();
    let name = "ampora_opamp_offers_discarded_total{reason=\"oversize\"}";
    let before = server.metric(name);
    let agent = Agent::introduced(&server, Via::WebSocket);
    let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 2 * SMALL])]);
    agent.wanted(&hash);
    until_true("a count", || server.metric(name) > before);
    let uid = agent.uid.to_string();
    until_true("a line in the log", || {
        server
            .log()
            .lines()
            .any(|line| line.contains("larger than a message") && line.contains(&uid))
    });
    let shown = server.agent("the agent", agent.uid, |_| true);
    assert_eq!(shown["config"]["drifted"], true, "{shown}");
}
