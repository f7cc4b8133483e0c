//! B. How a message is framed, and what becomes of frames that are not as they should be.

use prost::Message;

use crate::agent::{Agent, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{self, BINARY, CLOSE, CONTINUATION, End, PING, PONG, TEXT, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        10,
        "MUST",
        "A message is a header of exactly one zero byte and the protobuf.",
        c_010_header_is_one_zero_byte
    ),
    row!(
        11,
        "MUST",
        "A header may be any varint of value 0.",
        c_011_padded_header
    ),
    row!(
        12,
        "SHOULD",
        "Another header than 0 is malformed, and the body does not count.",
        c_012_unknown_header
    ),
    row!(
        13,
        "derived",
        "Messages of old clients without a header are taken when they begin with the uid.",
        c_013_without_header
    ),
    row!(
        14,
        "MUST",
        "A header without a body is a message: one without a uid.",
        c_014_header_alone
    ),
    row!(
        15,
        "derived",
        "A message of no bytes is malformed.",
        c_015_no_bytes
    ),
    row!(
        16,
        "derived",
        "A header that does not end is malformed.",
        c_016_endless_header
    ),
    row!(
        17,
        "derived",
        "A text message closes with 1003 and changes nothing.",
        c_017_text_message
    ),
    row!(
        18,
        "derived",
        "The server never sends text messages.",
        c_018_binary_only
    ),
    row!(
        19,
        "derived",
        "A message may come in fragments with control frames between them.",
        c_019_fragments
    ),
    row!(
        20,
        "derived",
        "A ping is answered by a pong with its content; a pong may come unasked.",
        c_020_ping_and_pong
    ),
    row!(
        21,
        "derived",
        "An unmasked frame closes with 1002.",
        c_021_unmasked_frame
    ),
];

fn open() -> Ws {
    Ws::open(server::shared().opamp, Server::PATH)
}

/// The connection still serves.
fn still_serves(ws: &mut Ws) {
    let uid = say::uid();
    ws.say(&say::bare(uid, 0).encode_to_vec());
    let reply = ws.message();
    assert_eq!(
        (reply.instance_uid, reply.error_response),
        (uid.as_bytes().to_vec().into(), None)
    );
}

/// A message of an agent that nobody knows, with a description.
fn introduction(uid: uuid::Uuid) -> Vec<u8> {
    let mut message = say::bare(uid, 0);
    message.agent_description = Some(say::description(&[]));
    message.encode_to_vec()
}

fn c_010_header_is_one_zero_byte() {
    let mut ws = open();
    ws.say(&introduction(say::uid()));
    let frame = ws.frame().expect("a reply");
    assert_eq!((frame.opcode, frame.last), (BINARY, true));
    assert_eq!(
        frame.payload[..2],
        [0x00, 0x0A],
        "one zero byte, then field 1"
    );
    assert_eq!(ws::read(&frame).error_response, None);
}

fn c_011_padded_header() {
    let mut ws = open();
    let uid = say::uid();
    for header in [
        &[0x00][..],
        &[0x80, 0x00],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    ] {
        ws.send(BINARY, &[header, &introduction(uid)].concat());
        let reply = ws.message();
        assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
        assert_eq!(reply.error_response, None, "{header:?}");
    }
}

fn c_012_unknown_header() {
    let server = server::shared();
    let before = server.rejected("malformed");
    let mut ws = open();
    let uid = say::uid();
    for header in [&[0x01][..], &[0xFF, 0x01], &[0x0B]] {
        ws.send(BINARY, &[header, &introduction(uid)].concat());
        assert!(say::is_bad_request(&ws.message()), "{header:?}");
    }
    still_serves(&mut ws);
    assert!(!server.knows(uid), "the body does not count");
    assert!(server.rejected("malformed") >= before + 3.0);
}

fn c_013_without_header() {
    let mut ws = open();
    let uid = say::uid();
    ws.send(BINARY, &introduction(uid));
    let reply = ws.message();
    assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
    assert_eq!(reply.error_response, None);
    server::shared().agent("a record", uid, |agent| agent["state"] == "connected");
}

fn c_014_header_alone() {
    let mut ws = open();
    ws.send(BINARY, &[0]);
    assert!(say::is_bad_request(&ws.message()));
    still_serves(&mut ws);
}

fn c_015_no_bytes() {
    let mut ws = open();
    ws.send(BINARY, &[]);
    assert!(say::is_bad_request(&ws.message()));
    still_serves(&mut ws);
}

fn c_016_endless_header() {
    let mut ws = open();
    for header in [&[0xFF; 10][..], &[0x80], &[0x80, 0x80, 0x80], &[0xFF; 200]] {
        ws.send(BINARY, header);
        assert!(say::is_bad_request(&ws.message()), "{header:?}");
    }
    still_serves(&mut ws);
}

fn c_017_text_message() {
    let server = server::shared();
    let before = server.rejected("malformed");
    let mut ws = open();
    let uid = say::uid();
    ws.send(TEXT, &ws::framed(b"hello"));
    assert_eq!(ws.end(), End::Close(1003));
    let mut ws = open();
    ws.send(TEXT, &introduction(uid));
    assert_eq!(ws.end(), End::Close(1003));
    assert!(!server.knows(uid));
    assert!(server.rejected("malformed") >= before + 2.0);
}

fn c_018_binary_only() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    server.assign_yaml(&agent.label, "a: 1\n");
    agent.apply_offer();
    assert_eq!(server.dispatch("restart", agent.uid).0, 202);
    agent.next_that("the command", |message| message.command.is_some());
    let ws = agent.ws();
    ws.send(BINARY, b"\x00nonsense");
    ws.send(PING, b"x");
    let mut opcodes = Vec::new();
    while opcodes.len() < 2 {
        opcodes.push(ws.frame().expect("a frame").opcode);
    }
    assert_eq!(opcodes, [BINARY, PONG]);
    ws.send(CLOSE, &1000_u16.to_be_bytes());
    // every frame of the suite is watched for this, as are these
    assert_eq!(ws.end(), End::Close(1000));
}

fn c_019_fragments() {
    let mut ws = open();
    let uid = say::uid();
    let message = ws::framed(&introduction(uid));
    for (at, byte) in message.iter().enumerate() {
        let opcode = if at == 0 { BINARY } else { CONTINUATION };
        let last = if at + 1 == message.len() { 0x80 } else { 0 };
        ws.try_send(last | opcode, &[*byte]);
        ws.send(PING, &[*byte]);
    }
    let mut pongs = 0;
    let reply = loop {
        let frame = ws.frame().expect("a frame");
        match frame.opcode {
            PONG => pongs += 1,
            _ => break ws::read(&frame),
        }
    };
    assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
    assert_eq!(reply.error_response, None);
    while pongs < message.len() {
        pongs += usize::from(ws.frame().expect("a frame").opcode == PONG);
    }
}

fn c_020_ping_and_pong() {
    let mut ws = open();
    for content in [&b""[..], b"are you there", &[0xA5; 125]] {
        ws.send(PING, content);
        let frame = ws.frame().expect("a pong");
        assert_eq!((frame.opcode, frame.payload.as_slice()), (PONG, content));
    }
    ws.send(PONG, b"nobody asked");
    ws.send(PONG, b"");
    still_serves(&mut ws);
}

fn c_021_unmasked_frame() {
    let server = server::shared();
    let mut ws = open();
    let uid = say::uid();
    let body = ws::framed(&introduction(uid));
    ws.http.send(&ws::frame(0x80 | BINARY, &body, false));
    assert_eq!(ws.end(), End::Close(1002));
    assert!(!server.knows(uid));
}
