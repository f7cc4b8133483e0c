//! D. Compression of plain HTTP, in both directions.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message;

use crate::agent::{Agent, PROTOBUF, Via, read, read_body};
use crate::http::{self, Response};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        39,
        "MUST",
        "Requests come in gzip or as they are, as `Content-Encoding` says.",
        c_039_request_encodings
    ),
    row!(
        40,
        "derived",
        "Other encodings are answered 415.",
        c_040_unsupported_encodings
    ),
    row!(
        41,
        "derived",
        "Broken gzip is answered 400 and changes nothing.",
        c_041_broken_gzip
    ),
    row!(
        42,
        "SHOULD",
        "Responses are compressed when the client permits it, and only then.",
        c_042_response_compression
    ),
    row!(
        43,
        "derived",
        "`Accept-Encoding` is read with weights, several lines and any case.",
        c_043_accept_encoding
    ),
];

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let headers = [&[PROTOBUF], headers].concat();
    http::once(server.opamp, "POST", Server::PATH, &headers, body)
}

fn c_039_request_encodings() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    for encoding in [
        None,
        Some("identity"),
        Some("gzip"),
        Some("GZIP"),
        Some("x-gzip"),
    ] {
        let plain = agent.message().encode_to_vec();
        let zipped = encoding.is_some_and(|name| name.to_lowercase().contains("gzip"));
        let body = if zipped { gzip(&plain) } else { plain };
        let headers: Vec<_> = encoding
            .iter()
            .map(|name| ("Content-Encoding", *name))
            .collect();
        let reply = read(&post(&server, &headers, &body));
        assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..], "{encoding:?}");
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
}

fn c_040_unsupported_encodings() {
    let server = server::shared();
    let before = server.rejected("malformed");
    let uid = say::uid();
    for encoding in ["br", "deflate", "zstd", "gzip, br", "nonsense"] {
        let body = gzip(&say::bare(uid, 0).encode_to_vec());
        let response = post(&server, &[("Content-Encoding", encoding)], &body);
        assert_eq!(response.status, 415, "{encoding}");
    }
    assert!(!server.knows(uid));
    assert!(
        server.rejected("malformed") >= before + 5.0,
        "each is counted"
    );
}

fn c_041_broken_gzip() {
    let server = server::shared();
    let before = server.rejected("malformed");
    let uid = say::uid();
    let mut message = say::bare(uid, 0);
    message.agent_description = Some(say::description(&[(
        "some",
        "text that is long enough to be cut",
    )]));
    let whole = gzip(&message.encode_to_vec());
    let cut = &whole[..whole.len() / 2];
    let without_end = &whole[..whole.len() - 4];
    let mut damaged = whole.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 0xFF;
    let junk = [&whole[..10], b"this is not deflate".as_slice()].concat();
    for body in [cut, without_end, &damaged, &junk, b"not gzip at all", b""] {
        let response = post(&server, &[("Content-Encoding", "gzip")], body);
        assert_eq!(response.status, 400, "{body:?}");
    }
    assert!(!server.knows(uid), "state is unchanged");
    assert!(
        server.rejected("malformed") >= before + 6.0,
        "each is counted"
    );
}

/// Whether the response to a poll is compressed; it says what a plain one says.
fn compressed(server: &Server, accept: &[&str]) -> bool {
    let uid = say::uid();
    let headers: Vec<_> = accept
        .iter()
        .map(|value| ("Accept-Encoding", *value))
        .collect();
    let response = post(server, &headers, &say::bare(uid, 0).encode_to_vec());
    assert_eq!(response.status, 200);
    let encoding = response.header("content-encoding").map(str::to_owned);
    let body = match encoding.as_deref() {
        None | Some("identity") => response.body,
        Some("gzip") => {
            let mut body = Vec::new();
            GzDecoder::new(&response.body[..])
                .read_to_end(&mut body)
                .expect("gzip");
            body
        }
        Some(other) => panic!("{other} was not asked for"),
    };
    assert_eq!(read_body(&body).instance_uid, uid.as_bytes()[..]);
    encoding.as_deref() == Some("gzip")
}

fn c_042_response_compression() {
    let server = server::shared();
    // small replies may stay plain: an offer is worth compressing
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 50_000])]);
    agent.wanted(&hash);
    let response = crate::deadline::until("an offer", || {
        let body = agent.message().encode_to_vec();
        let response = post(&server, &[("Accept-Encoding", "gzip")], &body);
        (response.body.len() > 100).then_some(response)
    });
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert!(response.body.len() < 5000, "{}", response.body.len());
    let mut body = Vec::new();
    GzDecoder::new(&response.body[..])
        .read_to_end(&mut body)
        .expect("gzip");
    assert_eq!(
        read_body(&body)
            .remote_config
            .expect("the offer")
            .config_hash,
        hash
    );
    assert!(!compressed(&server, &[]), "nothing was said");
    assert!(!compressed(&server, &["gzip;q=0"]), "gzip is refused");
    assert!(!compressed(&server, &["identity"]));
}

fn c_043_accept_encoding() {
    let server = server::shared();
    for refusing in [
        &["gzip;q=0"][..],
        &["gzip; q=0.0"],
        &["GZIP;Q=0"],
        &["*;q=0"],
        &["br, deflate"],
        &["gzip;q=0, *"],
        &["*, gzip;q=0"],
        &["deflate", "gzip;q=0.000"],
        &["gzipped"],
        &[""],
    ] {
        assert!(!compressed(&server, refusing), "{refusing:?}");
    }
    // permitted in any of these spellings: each is read and answered, compressed or not
    for permitting in [
        &["gzip"][..],
        &["GZip"],
        &["br;q=1.0, gzip;q=0.8, *;q=0.1"],
        &["deflate", "gzip"],
        &["gzip ; q=0.5"],
        &["*"],
        &["gzip;q=nonsense"],
        &[",,gzip,"],
    ] {
        compressed(&server, permitting);
    }
    for permitting in [
        &["gzip"][..],
        &["GZip;q=1"],
        &["deflate", "br, gzip;q=0.001"],
    ] {
        let mut agent = Agent::introduced(&server, Via::Http);
        let hash = server.assign(&agent.label, &[("", "text/plain", &[b'#'; 50_000])]);
        agent.wanted(&hash);
        crate::deadline::until("a compressed offer", || {
            let headers: Vec<_> = permitting
                .iter()
                .map(|value| ("Accept-Encoding", *value))
                .collect();
            let response = post(&server, &headers, &agent.message().encode_to_vec());
            let zipped = response.header("content-encoding") == Some("gzip");
            assert!(zipped || response.body.len() < 1000, "{permitting:?}");
            (zipped && response.body.len() > 60).then_some(())
        });
    }
}
