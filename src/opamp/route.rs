//! What a request at the agents' door is: an exchange, the opening of a WebSocket, or neither (C-002 to C-009).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::admission::Refusal;
use super::exchange::{Agents, Peer, Transport};
use super::listener::Connection;
use super::{handshake, poll, reply, socket};

/// Who polls, in clients that say so.
const INSTANCE_UID: &str = "opamp-instance-uid";

/// Answers one request. The content type decides which transport is meant (C-004, C-006).
pub(super) async fn answer<A: Agents>(
    connection: &Arc<Connection<A>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    // before anything else: whoever asks for something that is not here takes a place too
    let place = match connection.place() {
        Ok(place) => place,
        Err(refusal) => {
            excuse(connection, request.headers(), refusal);
            return reply::later(refusal.retry_after_seconds);
        }
    };
    if request.uri().path() != connection.door.limits.path {
        return reply::text(StatusCode::NOT_FOUND, "agents connect at opamp.path");
    }
    let headers = request.headers();
    let client = connection.client(headers);
    let token = match connection.door.agents.admit(client, headers) {
        Ok(token) => token,
        Err(denied) => return reply::denied(denied),
    };
    if is_protobuf(headers) {
        if request.method() != Method::POST {
            return reply::wrong_method();
        }
        return exchange(connection, token, request).await;
    }
    if handshake::is_wanted(headers) {
        return match handshake::accept(&request) {
            Ok(response) => {
                socket::open(connection, place, token, request);
                response
            }
            Err(refused) => refused.into_response(),
        };
    }
    match *request.method() {
        Method::POST => reply::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type has to be application/x-protobuf",
        ),
        Method::GET => reply::upgrade_required(),
        _ => reply::wrong_method(),
    }
}

/// An agent that polls and was told to come back later is not missed until then; nobody else may say so for it.
fn excuse<A: Agents>(connection: &Connection<A>, headers: &HeaderMap, refusal: Refusal) {
    let agents = &connection.door.agents;
    let uid = headers.get(INSTANCE_UID).and_then(|uid| uid.to_str().ok());
    if let Some(uid) = uid
        && agents.admit(connection.client(headers), headers).is_ok()
    {
        agents.told_to_wait(uid, Duration::from_secs(refusal.retry_after_seconds));
    }
}

async fn exchange<A: Agents>(
    connection: &Arc<Connection<A>>,
    token: Option<Arc<str>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let client = connection.client(request.headers());
    let peer = peer(connection, client, Transport::Http, token);
    let (response, malformed) = poll::answer(&connection.door, peer, request).await;
    if malformed {
        tracing::debug!(
            connection = connection.number,
            client.address = %client,
            "a poll is malformed"
        );
        tokio::time::sleep(connection.impatience(client)).await;
    }
    response
}

/// Who is at the other end of a connection.
pub(super) fn peer<A: Agents>(
    connection: &Connection<A>,
    client: IpAddr,
    transport: Transport,
    token: Option<Arc<str>>,
) -> Peer {
    Peer {
        client,
        transport,
        connection: connection.number,
        token,
    }
}

/// Parameters and case do not matter (C-005).
fn is_protobuf(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(reply::PROTOBUF))
}
