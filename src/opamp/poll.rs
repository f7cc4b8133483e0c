//! One plain-HTTP exchange: the body within its limits, unpacked; the answer, packed when the peer takes that.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};

use super::budget::Reservation;
use super::coding::{self, Coding, Unpacked};
use super::exchange::{Agents, Later, Peer};
use super::listener::Door;
use super::reply;
use crate::telemetry::frames::{Rejected, rejected};

/// Packed bodies beyond this are unpacked on a thread that may be held: gzip packs at most 1032 to 1, so a
/// smaller one takes a millisecond or two at worst.
const UNPACK_INLINE_BYTES: usize = 2 * 1024;

/// Answers one exchange. True when the message was malformed.
pub(super) async fn answer<A: Agents>(
    door: &Door<A>,
    peer: Peer,
    request: Request<Incoming>,
) -> (Response<Full<Bytes>>, bool) {
    let packs = coding::accepts_gzip(request.headers());
    let mut reservation = door.budget.reservation();
    let body = match read(door, &mut reservation, request).await {
        Ok(body) => body,
        Err(refused) => return refused.into_response(),
    };
    let answer = match door.agents.poll(peer, body).await {
        Ok(answer) => answer,
        Err(Later(seconds)) => return (reply::unanswered(seconds), false),
    };
    if answer.bytes.len() > door.limits.message_bytes_max {
        // the callee keeps below it: what got here is better lost than sent
        rejected(Rejected::Oversize);
        tracing::error!(
            bytes = answer.bytes.len(),
            "a reply beyond the limit was not sent"
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return (reply::text(status, "the reply is too large"), false);
    }
    let packed = if packs {
        coding::gzip(&answer.bytes)
    } else {
        None
    };
    let is_packed = packed.is_some();
    let body = packed.unwrap_or(answer.bytes);
    (reply::protobuf(body, is_packed), answer.malformed)
}

/// Why a body was not taken.
#[derive(Clone, Copy, Debug)]
enum Refused {
    TooLarge,
    UnknownCoding,
    BrokenGzip,
    BrokenBody,
    TooSlow,
}

impl Refused {
    fn into_response(self) -> (Response<Full<Bytes>>, bool) {
        let (reason, response) = match self {
            Self::TooLarge => (
                Rejected::Oversize,
                reply::last(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the message is larger than opamp.max_message_bytes",
                ),
            ),
            Self::UnknownCoding => (
                Rejected::Malformed,
                reply::text(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "Content-Encoding: gzip and identity are understood",
                ),
            ),
            Self::BrokenGzip => (
                Rejected::Malformed,
                reply::text(StatusCode::BAD_REQUEST, "the body is not whole gzip"),
            ),
            Self::BrokenBody => (
                Rejected::Malformed,
                reply::last(StatusCode::BAD_REQUEST, "the body ended early"),
            ),
            Self::TooSlow => (
                Rejected::Malformed,
                reply::last(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            ),
        };
        rejected(reason);
        (response, true)
    }
}

async fn read<A: Agents>(
    door: &Door<A>,
    reservation: &mut Reservation,
    request: Request<Incoming>,
) -> Result<Bytes, Refused> {
    let limit = door.limits.message_bytes_max;
    let coding = coding::of_request(request.headers()).ok_or(Refused::UnknownCoding)?;
    if announced(request.headers()).is_some_and(|bytes| bytes > limit as u64) {
        return Err(Refused::TooLarge);
    }
    let within = collect(reservation, request.into_body(), limit);
    let body = tokio::time::timeout(door.limits.body_timeout, within)
        .await
        .map_err(|_| Refused::TooSlow)??;
    match coding {
        Coding::Identity => Ok(body),
        Coding::Gzip => unpack(door, reservation, body, limit).await,
    }
}

async fn collect(
    reservation: &mut Reservation,
    mut body: Incoming,
    limit: usize,
) -> Result<Bytes, Refused> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::BrokenBody)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let bytes = first.len() + all.len() + data.len();
        if bytes > limit {
            return Err(Refused::TooLarge);
        }
        reservation.cover(bytes as u64).await;
        // most bodies are one piece, and are not copied
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

async fn unpack<A: Agents>(
    door: &Door<A>,
    reservation: &mut Reservation,
    packed: Bytes,
    limit: usize,
) -> Result<Bytes, Refused> {
    let unpacked = if packed.len() <= UNPACK_INLINE_BYTES {
        coding::gunzip(&packed, limit)
    } else {
        // the size is known only afterwards
        reservation.cover(limit as u64).await;
        let unpacking = door
            .tasks
            .spawn_blocking(move || coding::gunzip(&packed, limit));
        unpacking.await.unwrap_or(Err(Unpacked::Broken))
    };
    unpacked.map_err(|why| match why {
        Unpacked::Broken => Refused::BrokenGzip,
        Unpacked::TooLarge => Refused::TooLarge,
    })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
