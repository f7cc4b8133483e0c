//! E. How large a plain-HTTP body may be, in both directions.

use crate::agent::{Agent, Link, PROTOBUF, Via, read};
use crate::bomb;
use crate::deadline::until_true;
use crate::http::{self, Http};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

use super::c_limits::{SMALL, of_size};
use super::d_encoding::gzip;

pub(crate) const ROWS: &[Row] = &[
    row!(
        55,
        "recommended",
        "A limit of 64 MiB on the body can be kept exactly, and others configured.",
        c_055_exact_limit
    ),
    row!(
        56,
        "MUST",
        "The limit holds after decompression, with bounded memory.",
        c_056_gzip_bomb
    ),
    row!(
        57,
        "MUST",
        "A body above the limit is answered 413.",
        c_057_status_413
    ),
    row!(
        58,
        "derived",
        "A body above the limit is not read to its end.",
        c_058_endless_body
    ),
    row!(
        59,
        "MUST",
        "A response above the limit is not sent; the agent is acknowledged all the same.",
        c_059_outbound_limit
    ),
    row!(
        60,
        "SHOULD",
        "What was not sent is recorded.",
        c_060_discarded_offer_is_recorded
    ),
];

fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> http::Response {
    let headers = [&[PROTOBUF], headers].concat();
    http::once(server.opamp, "POST", Server::PATH, &headers, body)
}

fn fits_and_does_not(server: &Server, limit: usize) {
    let uid = say::uid();
    assert_eq!(
        read(&post(server, &[], &of_size(uid, 0, limit))).error_response,
        None
    );
    let mut http = Http::connect(server.opamp);
    let length = (limit + 1).to_string();
    let headers = [PROTOBUF, ("Content-Length", length.as_str())];
    http.send(&[http::head("POST", Server::PATH, &headers), b"\r\n".to_vec()].concat());
    // it may be refused by its length alone
    http.try_send(&of_size(uid, 1, limit + 1));
    assert_eq!(http.response().status, 413);
}

fn c_055_exact_limit() {
    fits_and_does_not(&server::large(), 64 * 1024 * 1024);
    fits_and_does_not(&server::shared(), 10 * 1024 * 1024);
    fits_and_does_not(&server::small(), SMALL);
}

fn c_056_gzip_bomb() {
    let server = Server::start(&[]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let memory = server.peak_memory();
    // 5 MB that inflate to 5 GiB
    let bomb = bomb::gzip(320);
    assert!(bomb.len() < 10 * 1024 * 1024, "{}", bomb.len());
    for _ in 0..3 {
        let mut http = Http::connect(server.opamp);
        let length = bomb.len().to_string();
        let headers = [
            PROTOBUF,
            ("Content-Encoding", "gzip"),
            ("Content-Length", length.as_str()),
        ];
        http.send(&[http::head("POST", Server::PATH, &headers), b"\r\n".to_vec()].concat());
        http.try_send(&bomb);
        assert_eq!(http.response().status, 413);
    }
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 96 * 1024 * 1024, "{grown} bytes");
    assert!(server.rejected("oversize") >= 3.0, "each is counted");
    assert_eq!(bystander.beat().error_response, None, "others are served");
    // exactly at the limit after decompression is no bomb
    let uid = say::uid();
    let body = gzip(&of_size(uid, 0, 10 * 1024 * 1024));
    let reply = read(&post(&server, &[("Content-Encoding", "gzip")], &body));
    assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
}

fn c_057_status_413() {
    let server = server::small();
    let before = server.rejected("oversize");
    let uid = say::uid();
    let mut body = say::field(1, uid.as_bytes());
    body.extend(say::field(200, &vec![1; SMALL]));
    assert_eq!(post(&server, &[], &body).status, 413);
    assert_eq!(
        post(&server, &[("Content-Encoding", "gzip")], &gzip(&body)).status,
        413
    );
    assert!(!server.knows(uid));
    until_true("a count", || server.rejected("oversize") >= before + 2.0);
}

fn c_058_endless_body() {
    let server = server::small();
    let memory = server.peak_memory();
    let mut http = Http::connect(server.opamp);
    let headers = [PROTOBUF, ("Transfer-Encoding", "chunked")];
    http.send(&[http::head("POST", Server::PATH, &headers), b"\r\n".to_vec()].concat());
    let chunk = [b"1000\r\n".as_slice(), &[7; 0x1000], b"\r\n"].concat();
    let mut bytes = 0_usize;
    while http.try_send(&chunk) {
        bytes += 0x1000;
        assert!(bytes < 256 * 1024 * 1024, "the body is not cut");
    }
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
}

fn c_059_outbound_limit() {
    let server = server::small();
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 2 * SMALL])]);
    agent.wanted(&hash);
    for reply in agent.beats(5) {
        assert_eq!((reply.error_response, reply.remote_config), (None, None));
    }
    let hash = server.assign(&agent.label, &[("", "text/plain", b"# small")]);
    assert_eq!(agent.offer().config_hash, hash);
    assert!(matches!(agent.link, Link::Http(_)), "over one connection");
}

fn c_060_discarded_offer_is_recorded() {
    let server = server::small();
    let name = "ampora_opamp_offers_discarded_total{reason=\"oversize\"}";
    let before = server.metric(name);
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 2 * SMALL])]);
    agent.wanted(&hash);
    until_true("a count", || {
        agent.beat();
        server.metric(name) > before
    });
}
