//! Peers that cost without ever saying anything whole: each kind is cut by a limit with a name, counted, and costs
//! bounded memory, while others are served.

use std::net::TcpStream;
use std::time::Duration;

use prost::Message;

use crate::agent::{Agent, PROTOBUF, Via};
use crate::bomb;
use crate::deadline::{Held, Since, pause, until_true};
use crate::http::{self, Http};
use crate::server::{self, Server};
use crate::ws::{self, BINARY, CLOSE, CONTINUATION, UPGRADE, Ws};

/// By name.
pub(crate) const FLOODS: &[(&str, fn())] = &[
    ("silent_connections_make_room", silent_connections_make_room),
    ("silent_operators_make_room", silent_operators_make_room),
    ("dripping_headers_are_cut", dripping_headers_are_cut),
    ("dripping_bodies_are_cut", dripping_bodies_are_cut),
    ("message_without_end_is_cut", message_without_end_is_cut),
    ("unread_answers_are_given_up", unread_answers_are_given_up),
    (
        "unread_answers_to_operators_are_given_up",
        unread_answers_to_operators_are_given_up,
    ),
];

/// How often the server has cut a connection at a door for a reason.
fn cut(server: &Server, door: &str, reason: &str) -> f64 {
    server.metric(&format!(
        "ampora_connections_cut_total{{door=\"{door}\",reason=\"{reason}\"}}"
    ))
}

fn silent_connections_make_room() {
    const SILENT: usize = 4096;
    const MORE: usize = 200;
    let server = Server::start(&["opamp.request_timeout_seconds=3"]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let memory = server.peak_memory();
    let mut silent = Vec::new();
    for number in 0..SILENT + MORE {
        silent.push(TcpStream::connect(server.opamp).expect("a connection"));
        if number % 500 == 0 {
            assert_eq!(bystander.beat().error_response, None, "others are served");
        }
    }
    // whoever asks at once comes in, over both transports
    for via in crate::agent::BOTH {
        assert_eq!(Agent::new(&server, via).hello().error_response, None);
    }
    until_true("all are cut", || {
        let all = cut(&server, "opamp", "silent") + cut(&server, "opamp", "crowded");
        all >= (SILENT + MORE) as f64
    });
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    drop(silent);
}

fn silent_operators_make_room() {
    const SEATS: usize = 1024;
    let server = Server::start(&[]);
    let memory = server.peak_memory();
    let silent: Vec<_> = (0..SEATS + 100)
        .map(|_| TcpStream::connect(server.admin).expect("a connection"))
        .collect();
    let mut held = Held::default();
    for _ in 0..10 {
        let since = Since::now();
        assert_eq!(server.ask_as_nobody("GET", "/health/ready").status, 200);
        held.took(since.elapsed());
        held.up_for_less_than(Duration::from_secs(5));
    }
    assert!(cut(&server, "admin", "crowded") >= 100.0);
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes");
    drop(silent);
}

fn dripping_headers_are_cut() {
    let server = Server::start(&["opamp.request_timeout_seconds=1"]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let head = http::head("GET", Server::PATH, &UPGRADE);
    for (door, address) in [("opamp", server.opamp), ("admin", server.admin)] {
        let before = cut(&server, door, "silent");
        let mut drips: Vec<_> = (0..50).map(|_| Http::connect(address)).collect();
        let mut sent = 0;
        until_true("the cut of all", || {
            assert_eq!(bystander.beat().error_response, None, "others are served");
            assert_eq!(server.ask_as_nobody("GET", "/health/live").status, 200);
            // a header that goes on for ever once the request line is there
            let byte = head.get(sent).copied().unwrap_or(b'x');
            sent += 1;
            drips.retain_mut(|http| http.try_send(&[byte]));
            drips.is_empty()
        });
        until_true("a count", || cut(&server, door, "silent") >= before + 50.0);
    }
}

fn dripping_bodies_are_cut() {
    let server = Server::start(&["opamp.body_timeout_seconds=1"]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let (before, memory) = (server.rejected("malformed"), server.peak_memory());
    let bomb = bomb::gzip(3);
    let mut drips: Vec<_> = (0..60)
        .map(|number| {
            let mut headers = vec![PROTOBUF, ("Transfer-Encoding", "chunked")];
            if number % 2 == 0 {
                headers.push(("Content-Encoding", "gzip"));
            }
            let mut http = Http::connect(server.opamp);
            http.send(&[http::head("POST", Server::PATH, &headers), b"\r\n".to_vec()].concat());
            http
        })
        .collect();
    let mut answers = 0;
    let since = Since::now();
    let mut sent = 0;
    while since.elapsed().as_secs() < 3 && sent + 10 < bomb.len() {
        assert_eq!(bystander.beat().error_response, None, "others are served");
        let chunk = [b"a\r\n".as_slice(), &bomb[sent..sent + 10], b"\r\n"].concat();
        sent += 10;
        for http in &mut drips {
            http.try_send(&chunk);
        }
        pause();
    }
    for http in &mut drips {
        // its answer may be lost with what was still under way
        answers += usize::from(
            http.try_response()
                .is_some_and(|answer| answer.status == 408),
        );
    }
    assert!(answers > 30, "{answers} of 60 heard why");
    until_true("a count", || server.rejected("malformed") >= before + 60.0);
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes");
}

fn message_without_end_is_cut() {
    let server = server::brisk();
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let before = server.rejected("malformed");
    let mut ws = Ws::open(server.opamp, Server::PATH);
    std::thread::scope(|scope| {
        // fragments of nothing: no size is ever reached
        let flood = scope.spawn(|| {
            let mut sent = 1_u64;
            ws.try_send(BINARY, &[]);
            while ws.try_send(CONTINUATION, &[]) {
                sent += 1;
            }
            sent
        });
        let mut held = Held::default();
        until_true("the cut", || {
            let since = Since::now();
            assert_eq!(bystander.beat().error_response, None, "others are served");
            held.took(since.elapsed());
            held.up_for_less_than(Duration::from_secs(2));
            flood.is_finished()
        });
        held.went_on();
        assert!(flood.join().expect("a flood") > 1_000);
    });
    // the Close frame may be lost with the bytes that were still under way
    while let Some(frame) = ws.frame() {
        assert!(
            frame.opcode != CLOSE || ws::code(&frame) == 1008,
            "{frame:?}"
        );
    }
    until_true("a count", || server.rejected("malformed") > before);
}

fn unread_answers_are_given_up() {
    let server = Server::start(&["opamp.write_timeout_seconds=1"]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign(&agent.label, &[("", "text/plain", &vec![b'#'; 900_000])]);
    agent.wanted(&hash);
    let memory = server.peak_memory();
    let body = agent.message().encode_to_vec();
    let length = body.len().to_string();
    let headers = [PROTOBUF, ("Content-Length", length.as_str())];
    let poll = [
        http::head("POST", Server::PATH, &headers),
        b"\r\n".to_vec(),
        body,
    ]
    .concat();
    // copies of one poll: each is answered with the whole offer, and nothing is read
    let mut http = Http::connect(server.opamp);
    http.send(&poll.repeat(60));
    until_true("the cut", || {
        assert_eq!(bystander.beat().error_response, None, "others are served");
        cut(&server, "opamp", "unread") >= 1.0
    });
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes");
}

fn unread_answers_to_operators_are_given_up() {
    let server = Server::start(&[]);
    let memory = server.peak_memory();
    let ask = [
        http::head("GET", "/api/v1/openapi.json", &[]),
        b"\r\n".to_vec(),
    ]
    .concat();
    let mut greedy: Vec<_> = (0..3).map(|_| Http::connect(server.admin)).collect();
    for http in &mut greedy {
        http.stream.set_nonblocking(true).expect("nonblocking");
        // as much as it takes
        while http.try_send(&ask.repeat(100)) {}
    }
    until_true("the cuts", || cut(&server, "admin", "unread") >= 3.0);
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
}
