//! The old protocol, as the crate `otel-opamp-rs` 0.0.14 still speaks it, by its own bytes: `HEAD` first, then a uid that
//! is a ULID in 26 letters, and no header before messages on a WebSocket. It is told no, and harms nobody.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::Transport;
use crate::library::{Agent, Library};
use crate::stage::{Stage, pipeline};
use crate::wait::{SOON, until};

const ULID: &str = "01J9ZC3V5M8Q2R4T6W8Y0A2C4E";

/// How often it is refused: once for each thing that it says.
const REFUSALS: f64 = 2.0;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A field of a length below 128, in protobuf.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let head = [number << 3 | 2, u8::try_from(content.len()).unwrap()];
    [&head, content].concat()
}

/// Its first message: uid, sequence 1, a description, capabilities, health that is false.
fn hello() -> Vec<u8> {
    let value = field(2, &field(1, b"legacy"));
    let attribute = [field(1, b"service.name"), value].concat();
    let description = field(3, &field(1, &attribute));
    let uid = field(1, ULID.as_bytes());
    [
        uid,
        vec![0x10, 1],
        description,
        vec![0x20, 7],
        field(5, &[]),
    ]
    .concat()
}

/// What it says next, whatever it was told: uid, sequence 2, capabilities, health that is true.
fn healthy() -> Vec<u8> {
    let uid = field(1, ULID.as_bytes());
    [uid, vec![0x10, 2, 0x20, 7], field(5, &[0x08, 1])].concat()
}

async fn exchange(stage: &Stage, request: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(&stage.server.opamp).await.unwrap();
    stream.write_all(request).await.unwrap();
    read(&mut stream, enough).await
}

async fn read(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut answer = Vec::new();
    let reading = async {
        while !enough(&answer) && answer.len() < ANSWER_BYTES_MAX {
            if stream.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
    };
    let reading = tokio::time::timeout(SOON, reading).await;
    assert!(reading.is_ok(), "{}", String::from_utf8_lossy(&answer));
    answer
}

fn ends_its_head(answer: &[u8]) -> bool {
    answer.windows(4).any(|four| four == b"\r\n\r\n")
}

/// The answer is a `ServerErrorResponse` that says bad request (field 2; its type, field 1, is 1), and why.
fn assert_refused(message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    let bad_request = |four: &[u8]| four[0] == 0x12 && four[2..] == [0x08, 1];
    assert!(message.windows(4).any(bad_request), "{message:?}");
    assert!(text.contains("instance_uid"), "{text}");
    assert!(message.len() < 512, "{} bytes", message.len());
}

async fn served_beside(stage: &Stage) -> (Agent, String) {
    stage.rest().version("edge", &pipeline("first")).await;
    stage.rest().assign("edge").await;
    let dir = stage.client("agent");
    let transport = Transport::WebSocket;
    let agent = Agent::start(&dir, &stage.server.opamp, Library::Go023, transport);
    let uid = agent.uid().await;
    agent.known(stage).await;
    agent.applied(stage, &uid, "first").await;
    (agent, uid)
}

async fn harmed_nobody(stage: &Stage, refusals: f64, mut agent: Agent, uid: &str) {
    until("the refusal is counted", SOON, async || {
        let rejected = stage.rest().metric("ampora_opamp_frames_rejected_total");
        let rejected = rejected.await;
        let malformed = rejected
            .iter()
            .any(|(labels, count)| labels.contains("\"malformed\"") && *count == refusals);
        malformed.then_some(()).ok_or(format!("{rejected:?}"))
    })
    .await;
    assert_eq!(stage.rest().agents().await.len(), 1);
    stage.rest().version("edge", &pipeline("second")).await;
    stage.rest().assign("edge").await;
    agent.applied(stage, uid, "second").await;
    assert_eq!(agent.connects(), 1);
    agent.assert_well();
}

#[tokio::test]
async fn legacy_client_is_refused_over_plain_http() {
    let stage = Stage::new(&[]).await;
    let (agent, uid) = served_beside(&stage).await;
    // it goes on with anything but a 404
    let head = b"HEAD /v1/opamp HTTP/1.1\r\nhost: ampora\r\n\r\n";
    let answer = exchange(&stage, head, ends_its_head).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert!(!answer.starts_with("HTTP/1.1 404"), "{answer}");

    for body in [hello(), healthy()] {
        let post = format!(
            "POST /v1/opamp HTTP/1.1\r\nhost: ampora\r\nconnection: close\r\n\
             content-type: application/x-protobuf\r\napi-key: none\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = [post.as_bytes(), &body].concat();
        let answer = exchange(&stage, &request, |_| false).await;
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, message) = answer.split_at(head.unwrap() + 4);
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let content_type = "content-type: application/x-protobuf\r\n";
        assert!(head.contains(content_type), "{head}");
        assert_refused(message);
    }
    harmed_nobody(&stage, REFUSALS, agent, &uid).await;
}

#[tokio::test]
async fn legacy_client_is_refused_over_websocket() {
    let stage = Stage::new(&[]).await;
    let (agent, uid) = served_beside(&stage).await;
    let mut stream = TcpStream::connect(&stage.server.opamp).await.unwrap();
    let opening =
        b"GET /v1/opamp HTTP/1.1\r\nhost: ampora\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(opening).await.unwrap();
    let opened = read(&mut stream, ends_its_head).await;
    assert!(opened.starts_with(b"HTTP/1.1 101"), "{opened:?}");

    for body in [hello(), healthy()] {
        // a binary message with a mask of zeros
        let length = u8::try_from(body.len()).unwrap();
        assert!(length < 126);
        let frame = [&[0x82, 0x80 | length, 0, 0, 0, 0], body.as_slice()].concat();
        stream.write_all(&frame).await.unwrap();
        let whole = |answer: &[u8]| answer.len() > 2 && answer.len() >= 2 + usize::from(answer[1]);
        let answer = read(&mut stream, whole).await;
        assert_eq!(answer[0], 0x82, "{answer:?}");
        assert_eq!(answer[2], 0, "no header: {answer:?}");
        assert_refused(&answer[3..]);
    }
    harmed_nobody(&stage, REFUSALS, agent, &uid).await;
}
