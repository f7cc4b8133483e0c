//! The admin listener: bounds what a slow or greedy peer can hold, and lets calls under way finish when the node
//! stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::extract::ClientAddr;
use crate::doors::{self, Entrance, HttpLimits};
use crate::sockets::{Cut, Seat, Seats, cut};
use crate::tasks::Tasks;

/// Operators, scripts and Prometheus, with room for a browser's six connections each. Beyond it the one that has
/// waited longest between two requests makes room.
const CONNECTIONS_MAX: usize = 1024;

/// A TLS handshake, and each request line with its headers, has to arrive within this.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request line and its headers: path and query of 8 KiB, a token, and what proxies add.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// An HTTP/2 connection without a byte for this long is ended.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Whoever takes nothing of an answer for this long is cut.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// This door in metrics.
const DOOR: &str = "admin";

/// Serves `router` on `listener` until `tasks` is stopped.
pub fn serve(listener: TcpListener, entrance: Entrance, router: Router, tasks: &Tasks) {
    let seats = Seats::new(DOOR, CONNECTIONS_MAX);
    let failed = |error: &std::io::Error| {
        tracing::warn!(%error, "the admin listener cannot accept");
    };
    let connections = tasks.clone();
    doors::accept(listener, tasks, failed, move |stream, peer| {
        let Some(seat) = seats.take() else {
            return;
        };
        let (entrance, router) = (entrance.clone(), router.clone());
        let tasks = connections.clone();
        connections.spawn(async move {
            let given_away = seat.cut();
            tokio::select! {
                () = connection(stream, peer, seat, entrance, router, &tasks) => {}
                () = given_away.cancelled() => {}
            }
        });
    });
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    entrance: Entrance,
    router: Router,
    tasks: &Tasks,
) {
    let entering = entrance.enter(stream, peer, || true);
    let entered = tokio::select! {
        entered = tokio::time::timeout(HEADERS_TIMEOUT, entering) => entered,
        () = tasks.stopping().cancelled_owned() => return,
    };
    let entered = match entered {
        Ok(Ok(entered)) => entered,
        Ok(Err(why)) => {
            let cause = std::error::Error::source(&why).map(ToString::to_string);
            tracing::debug!(client.address = %peer.ip(), cause, "an admin connection did not come in: {why}");
            return;
        }
        Err(_) => return cut(DOOR, Cut::Silent),
    };
    let seat = Arc::new(seat);
    let nearest = entered.client;
    let answer = move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let client = ClientAddr(entrance.client(nearest, request.headers()));
        request.extensions_mut().insert(client);
        let answering = router.clone().oneshot(request);
        let seat = seat.clone();
        async move {
            seat.serve();
            let answered = answering.await;
            seat.wait();
            match answered {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    let limits = HttpLimits {
        head_timeout: HEADERS_TIMEOUT,
        head_bytes: HEADER_BYTES_MAX,
        idle_timeout: IDLE_TIMEOUT,
        write_timeout: WRITE_TIMEOUT,
        door: DOOR,
    };
    let ended = doors::speak(entered.stream, entered.protocol, answer, limits, tasks).await;
    if let Err(error) = ended {
        if error.is_timeout() {
            cut(DOOR, Cut::Silent);
        }
        tracing::debug!(%error, client.address = %nearest, "an admin connection ended badly");
    }
}
