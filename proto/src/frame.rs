//! Bytes to messages and back: the header of a WebSocket message, the protobuf body, and the one reply that
//! a malformed message gets. It knows neither sockets nor what a message means.

use bytes::{BufMut, Bytes};
use prost::Message;
use uuid::Uuid;

use crate::InstanceUid;
use crate::config::Files;
use crate::wire;

mod digest;
mod scan;

pub use digest::digest;

/// The header byte of a WebSocket message (C-010); never padded, the Go client misreads that.
const HEADER: u8 = 0x00;
/// The first byte of a message without a header: field 1, length-delimited (C-013).
const HEADERLESS: u8 = 0x0A;
/// Key of `ServerToAgent.remote_config`: field 3, length-delimited.
const REMOTE_CONFIG_KEY: u8 = 0x1A;
/// A varint has at most this many bytes.
const VARINT_BYTES_MAX: usize = 10;
/// A uid of the wrong length is echoed up to this many bytes, more than the 26 of the old protocol's ULID.
const ECHO_BYTES_MAX: usize = 64;

/// One well-formed message of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The agent's uid as it stands in the message; never zero.
    pub uid: InstanceUid,
    /// The message.
    pub message: wire::AgentToServer,
    /// Tells a byte-identical repetition (C-296); see [`digest()`].
    pub digest: u64,
}

impl Incoming {
    /// The uid is a temporary one, and the agent asks for another (C-065).
    pub fn requests_uid(&self) -> bool {
        let flag = wire::AgentToServerFlags::RequestInstanceUid;
        self.message.flags & u64::from(i32::from(flag).unsigned_abs()) != 0
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// There are no bytes at all (C-015).
    #[error("the message is empty")]
    Empty,
    /// The header is not a whole varint (C-016).
    #[error("the message header is not a varint")]
    Header,
    /// The header is another number than 0 (C-012).
    #[error("the message header is not zero")]
    UnknownHeader,
    /// The body is not protobuf, has text that is not UTF-8, or nests deeper than 100 (C-117).
    #[error("the message is not a valid AgentToServer")]
    Protobuf,
    /// The uid has not 16 bytes, or all are zero (C-061, C-062).
    #[error("instance_uid must be 16 bytes and not all zero")]
    Uid,
}

/// A message that changes nothing but gets an answer (C-291).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// The kind, for counting.
    pub reason: Reason,
    /// What the decoder says: field names, never field contents.
    pub detail: Option<String>,
    /// The uid and a `BadRequest`, nothing else (C-086).
    pub reply: Box<wire::ServerToAgent>,
}

/// Reads one binary WebSocket message.
///
/// # Errors
/// [`Malformed`] by the rules of C-010 to C-016, C-061, C-062 and C-117.
pub fn decode_websocket(payload: Bytes) -> Result<Incoming, Box<Malformed>> {
    match payload.first() {
        None => Err(malformed(Reason::Empty, None, Bytes::new())),
        Some(&HEADERLESS) => decode_http(payload),
        Some(_) => match header(&payload) {
            None => Err(malformed(Reason::Header, None, Bytes::new())),
            Some((0, length)) => decode_http(payload.slice(length..)),
            Some((_, length)) => {
                let uid = scan::uid(&payload.slice(length..));
                Err(malformed(Reason::UnknownHeader, None, uid))
            }
        },
    }
}

/// Reads one body of a plain HTTP request, after decompression.
///
/// # Errors
/// [`Malformed`] by the rules of C-061, C-062 and C-117; a body of no bytes has no uid.
pub fn decode_http(body: Bytes) -> Result<Incoming, Box<Malformed>> {
    let message = match wire::AgentToServer::decode(body.clone()) {
        Ok(message) => message,
        Err(error) => {
            let detail = Some(error.to_string());
            return Err(malformed(Reason::Protobuf, detail, scan::uid(&body)));
        }
    };
    match Uuid::from_slice(&message.instance_uid) {
        Ok(uid) if !uid.is_nil() => Ok(Incoming {
            uid,
            digest: digest(&body),
            message,
        }),
        Ok(_) | Err(_) => Err(malformed(Reason::Uid, None, message.instance_uid)),
    }
}

/// The value and length of the leading varint; over-long forms are whole (C-011).
fn header(payload: &[u8]) -> Option<(u64, usize)> {
    scan::varint(payload.get(..payload.len().min(VARINT_BYTES_MAX))?)
}

fn malformed(reason: Reason, detail: Option<String>, uid: Bytes) -> Box<Malformed> {
    let uid = if uid.len() > ECHO_BYTES_MAX {
        Bytes::new()
    } else {
        uid
    };
    let text = match &detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_string(),
    };
    let reply = Box::new(refusal(
        uid,
        wire::ServerErrorResponseType::BadRequest,
        text,
        None,
    ));
    Box::new(Malformed {
        reason,
        detail,
        reply,
    })
}

/// The reply to a message that is refused for a reason of the server's, such as overload (C-300): the uid,
/// the kind, a text for people, and with `Unavailable` when to come back, in nanoseconds (C-301).
pub fn refusal(
    uid: Bytes,
    kind: wire::ServerErrorResponseType,
    text: String,
    retry_after_ns: Option<u64>,
) -> wire::ServerToAgent {
    let details = retry_after_ns.map(|retry_after_nanoseconds| {
        wire::server_error_response::Details::RetryInfo(wire::RetryInfo {
            retry_after_nanoseconds,
        })
    });
    wire::ServerToAgent {
        instance_uid: uid,
        error_response: Some(wire::ServerErrorResponse {
            r#type: kind.into(),
            error_message: text,
            details,
        }),
        ..Default::default()
    }
}

/// Bytes of the protobuf body that `encode_…` would write, to compare with the outbound limit beforehand.
pub fn encoded_len(message: &wire::ServerToAgent, remote_config: Option<&Bytes>) -> usize {
    message.encoded_len() + remote_config.map_or(0, Bytes::len)
}

/// One WebSocket message: the header byte, the message, and the field that [`encode_offer`] made.
pub fn encode_websocket(message: &wire::ServerToAgent, remote_config: Option<&Bytes>) -> Bytes {
    let mut out = Vec::with_capacity(1 + encoded_len(message, remote_config));
    out.push(HEADER);
    write_body(out, message, remote_config)
}

/// One body of a plain HTTP response.
pub fn encode_http(message: &wire::ServerToAgent, remote_config: Option<&Bytes>) -> Bytes {
    let out = Vec::with_capacity(encoded_len(message, remote_config));
    write_body(out, message, remote_config)
}

/// `out` has exactly the room needed, so that turning it into `Bytes` allocates nothing more.
fn write_body(mut out: Vec<u8>, message: &wire::ServerToAgent, offer: Option<&Bytes>) -> Bytes {
    message.encode_raw(&mut out);
    if let Some(offer) = offer {
        // A field may stand anywhere in a message, hence at its end.
        out.extend_from_slice(offer);
    }
    Bytes::from(out)
}

/// Field 3 of `ServerToAgent`, key and length included, made once and appended to the message of every agent
/// that is offered these files. It always has both the files and the hash (C-119, C-136).
pub fn encode_offer(files: &Files, hash: [u8; 32]) -> Bytes {
    let config_map = files
        .iter()
        .map(|file| {
            let wire_file = wire::AgentConfigFile {
                body: file.body.clone(),
                content_type: file.content_type.clone(),
                role: String::new(),
            };
            (file.name.clone(), wire_file)
        })
        .collect();
    let offer = wire::AgentRemoteConfig {
        config: Some(wire::AgentConfigMap { config_map }),
        config_hash: Bytes::copy_from_slice(&hash),
    };
    let length = offer.encoded_len();
    let mut out = Vec::with_capacity(1 + VARINT_BYTES_MAX + length);
    out.put_u8(REMOTE_CONFIG_KEY);
    out.extend_from_slice(&offer.encode_length_delimited_to_vec());
    Bytes::from(out)
}

#[cfg(test)]
mod tests;
