//! The admin listener: accepts, bounds what a slow or greedy peer can hold, and lets calls under way finish
//! when the node stops.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::extract::ClientAddr;
use crate::sockets::{Cut, Seat, Seats, Unread, cut};
use crate::tasks::Tasks;

/// Operators, scripts and Prometheus, with room for a browser's six connections each. Beyond it the one that has
/// waited longest between two requests makes room.
const CONNECTIONS_MAX: usize = 1024;

/// A request line and its headers have to arrive within this.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after `accept` failed, as it does while there is no free descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whoever takes nothing of an answer for this long is cut.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// This door in metrics.
const DOOR: &str = "admin";

/// Serves `router` on `listener` until `tasks` is stopped.
pub fn serve(listener: TcpListener, router: Router, tasks: &Tasks) {
    let connections = tasks.clone();
    tasks.spawn(async move {
        let seats = Seats::new(DOOR, CONNECTIONS_MAX);
        let stopping = connections.stopping();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(seat) = seats.take() else {
                        continue;
                    };
                    let peer = peer.ip().to_canonical();
                    let (router, stopping) = (router.clone(), stopping.clone());
                    let stop = stopping.cancelled_owned();
                    connections.spawn(connection(stream, seat, peer, router, stop));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

async fn connection(
    stream: TcpStream,
    seat: Seat,
    peer: IpAddr,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    // answers are small: they should not wait for company
    drop(stream.set_nodelay(true));
    let stream = Unread::new(stream, WRITE_TIMEOUT, DOOR);
    let given_away = seat.cut();
    let seat = Arc::new(seat);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddr(peer));
        let (router, seat) = (router.clone(), seat.clone());
        async move {
            seat.serve();
            let answer = router.oneshot(request).await;
            seat.wait();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = given_away.cancelled() => return,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            cut(DOOR, Cut::Silent);
        }
        tracing::debug!(%error, "an admin connection ended badly");
    }
}
