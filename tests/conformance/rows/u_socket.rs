//! U. How sockets are opened, closed and refused.

use std::time::Duration;

use crate::agent::{Agent, Via};
use crate::deadline::Since;
use crate::http::Http;
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{CLOSE, End, UPGRADE, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        268,
        "MUST",
        "The server closes a WebSocket by a Close frame with a code.",
        c_268_close_frame
    ),
    row!(
        269,
        "derived",
        "A Close of the client is answered quickly.",
        c_269_close_is_answered
    ),
    row!(
        270,
        "derived",
        "A stop closes every socket with 1001 and ends in time.",
        c_270_orderly_stop
    ),
    row!(
        271,
        "derived",
        "What cannot be served is refused before the upgrade, with Retry-After.",
        c_271_refused_before_the_upgrade
    ),
    row!(
        281,
        "derived",
        "An upgrade is never redirected.",
        c_281_no_redirects
    ),
];

/// A connection whose Close frame was answered ends by then.
const PROMPTLY: Duration = Duration::from_millis(2500);

fn c_268_close_frame() {
    let mut server = Server::start(&["node.drain_seconds=5"]);
    let mut going_away = Agent::introduced(&server, Via::WebSocket);
    let mut too_large = Ws::open(server.opamp, Server::PATH);
    too_large
        .http
        .send(&[0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(too_large.end(), End::Close(1009));
    server.terminate();
    assert_eq!(going_away.end(), End::Close(1001));
    // the handshake: TCP ends after the answer
    going_away.ws().send(CLOSE, &1001_u16.to_be_bytes());
    assert_eq!(going_away.end(), End::Cut);
    assert!(server.ended().success());
}

fn c_269_close_is_answered() {
    let server = server::shared();
    for payload in [
        &1000_u16.to_be_bytes()[..],
        &[],
        &[0x03, 0xE9, b'b', b'y', b'e'],
    ] {
        // one may come while the machine stands still
        let is_prompt = (0..3).any(|_| closes_well(&server, payload) < PROMPTLY);
        assert!(is_prompt, "{payload:?}: three answers were late");
    }
}

/// Sends a Close frame, looks at what comes, and says how long it took.
fn closes_well(server: &Server, payload: &[u8]) -> Duration {
    let mut agent = Agent::introduced(server, Via::WebSocket);
    let since = Since::now();
    agent.ws().send(CLOSE, payload);
    let End::Close(code) = agent.end() else {
        panic!("a Close frame")
    };
    let expected = if payload.is_empty() {
        1000..=1005
    } else {
        code..=code
    };
    assert!(expected.contains(&code), "{code}");
    assert_eq!(agent.end(), End::Cut, "and the connection ends");
    since.elapsed()
}

fn c_270_orderly_stop() {
    let mut server = Server::start(&["node.drain_seconds=30"]);
    let mut sockets: Vec<_> = (0..40)
        .map(|_| Ws::open(server.opamp, Server::PATH))
        .collect();
    for ws in &mut sockets {
        ws.say(&prost::Message::encode_to_vec(&say::bare(say::uid(), 0)));
        ws.message();
    }
    let since = Since::now();
    server.terminate();
    for ws in &mut sockets {
        assert_eq!(ws.end(), End::Close(1001));
        ws.try_send(0x80 | CLOSE, &1001_u16.to_be_bytes());
    }
    assert!(server.ended().success(), "exit code 0");
    // sockets that did not end would be waited for: four fifths of the drain
    assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
}

fn c_271_refused_before_the_upgrade() {
    let server = Server::start(&["opamp.max_connections=2"]);
    let mut held = [(); 2].map(|()| Agent::introduced(&server, Via::WebSocket));
    for _ in 0..20 {
        let mut http = Http::connect(server.opamp);
        http.request("GET", Server::PATH, &UPGRADE, b"");
        let refused = http.response();
        assert_eq!(refused.status, 503, "{refused:?}");
        let wait = refused.header("retry-after").expect("when to come back");
        assert!(wait.parse::<u32>().expect("whole seconds") >= 1, "{wait}");
    }
    for agent in &mut held {
        assert_eq!(agent.beat().error_response, None, "who is in stays in");
    }
    drop(held);
    crate::deadline::until_true("room again", || {
        Ws::try_open(server.opamp, Server::PATH, &[]).is_ok()
    });
}

fn c_281_no_redirects() {
    let server = server::shared();
    for path in [
        "/v1/opamp/",
        "/",
        "//v1/opamp",
        "/v1/opamp?x=1",
        "/V1/opamp",
    ] {
        let status = Ws::try_open(server.opamp, path, &[]).err().unwrap_or(101);
        assert!(!(300..400).contains(&status), "{path}: {status}");
    }
}
