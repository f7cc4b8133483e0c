//! The accept loop of the agents' door and the life of one connection until it is a WebSocket or ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::time::Clock;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::admission::{Admission, Refusal};
use super::budget::Budget;
use super::exchange::Agents;
use super::limits::{
    DRAIN_SHARE, FIRST_REQUEST_TIMEOUT_CROWDED, HEADER_BYTES_MAX, KEEP_ALIVE, Limits,
    NEWCOMERS_CROWDED, NEWCOMERS_MAX,
};
use super::linger::Linger;
use super::patience::Patience;
use super::route;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::entropy;
use crate::sockets::{Cut, Seat, Seats, Unread, cut};
use crate::tasks::Tasks;
use crate::telemetry::frames::{Rejected, rejected};
use crate::telemetry::names;

/// How long to wait after `accept` failed, as it does while there is no free descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// This door in metrics.
const DOOR: &str = "opamp";

/// What all connections of this door share.
#[derive(Debug)]
pub(super) struct Door<A> {
    pub(super) agents: A,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) tasks: Tasks,
    admission: Mutex<Admission>,
    newcomers: Arc<Seats>,
    connections: AtomicU64,
}

impl<A: Agents> Door<A> {
    fn new(agents: A, config: &Config, tasks: &Tasks) -> Self {
        let limits = Limits::of(config);
        let admission = Admission::new(
            limits.connections_max,
            limits.accept_rate,
            SystemClock.boot_ms(),
        );
        Self {
            agents,
            budget: Budget::new(limits.message_bytes_max),
            limits,
            tasks: tasks.clone(),
            admission: Mutex::new(admission),
            newcomers: Seats::new(DOOR, NEWCOMERS_MAX),
            connections: AtomicU64::new(0),
        }
    }

    /// How long one socket waits before it is closed in a drain, so that all together keep the pace at which
    /// their agents can be taken in again.
    pub(super) fn drain_delay(&self) -> Duration {
        let open = u64::try_from(self.admission.lock().open()).unwrap_or(u64::MAX);
        let pace = u64::from(self.limits.accept_rate.max(1));
        let all = Duration::from_millis(open.saturating_mul(1000) / pace);
        let most = self.limits.drain.mul_f64(DRAIN_SHARE);
        let spread_ms = u64::try_from(all.min(most).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(entropy::number() % spread_ms.saturating_add(1))
    }

    fn admit(self: &Arc<Self>) -> Result<Place<A>, Refusal> {
        let now_ms = SystemClock.boot_ms();
        self.admission.lock().enter(now_ms, entropy::number())?;
        Ok(Place { door: self.clone() })
    }
}

/// The place of an admitted connection; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place<A: Agents> {
    door: Arc<Door<A>>,
}

impl<A: Agents> Drop for Place<A> {
    fn drop(&mut self) {
        self.door.admission.lock().leave();
    }
}

/// One connection while it speaks HTTP.
#[derive(Debug)]
pub(super) struct Connection<A: Agents> {
    pub(super) door: Arc<Door<A>>,
    pub(super) address: SocketAddr,
    /// Unique within the process.
    pub(super) number: u64,
    state: Mutex<State<A>>,
}

#[derive(Debug)]
struct State<A: Agents> {
    /// Held until the first request.
    newcomer: Option<Seat>,
    /// Held from the first request on; shared with the WebSocket that the connection may become.
    place: Option<Arc<Place<A>>>,
    patience: Patience,
}

impl<A: Agents> Connection<A> {
    /// The place of this connection, which it gets with its first request.
    ///
    /// # Errors
    /// When the door is too crowded.
    pub(super) fn place(&self) -> Result<Arc<Place<A>>, Refusal> {
        let mut state = self.state.lock();
        state.newcomer = None;
        if let Some(place) = &state.place {
            return Ok(place.clone());
        }
        match self.door.admit() {
            Ok(place) => Ok(state.place.insert(Arc::new(place)).clone()),
            Err(refusal) => {
                rejected(Rejected::Overload);
                Err(refusal)
            }
        }
    }

    /// How long the answer to a malformed message has to wait.
    pub(super) fn impatience(&self) -> Duration {
        let now_ms = SystemClock.boot_ms();
        Duration::from_millis(self.state.lock().patience.delay_ms(now_ms))
    }

    fn has_asked(&self) -> bool {
        self.state.lock().newcomer.is_none()
    }
}

/// Serves `agents` on `listener` until `tasks` is stopped.
pub fn serve<A: Agents>(listener: TcpListener, agents: A, config: &Config, tasks: &Tasks) {
    let door = Arc::new(Door::new(agents, config, tasks));
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => welcome(&door, stream, address),
                Err(error) => {
                    metrics::counter!(names::ACCEPT_ERRORS).increment(1);
                    tracing::warn!(%error, "the agents' listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

fn welcome<A: Agents>(door: &Arc<Door<A>>, stream: TcpStream, address: SocketAddr) {
    let crowded = door.newcomers.taken() > NEWCOMERS_CROWDED;
    let Some(newcomer) = door.newcomers.take() else {
        rejected(Rejected::Overload);
        return;
    };
    let given_away = newcomer.cut();
    // messages are small and answers are waited for
    drop(stream.set_nodelay(true));
    let connection = Arc::new(Connection {
        door: door.clone(),
        address,
        number: door.connections.fetch_add(1, Ordering::Relaxed),
        state: Mutex::new(State {
            newcomer: Some(newcomer),
            place: None,
            patience: Patience::default(),
        }),
    });
    let patience = match door.limits.request_timeout {
        timeout if crowded => timeout.min(FIRST_REQUEST_TIMEOUT_CROWDED),
        timeout => timeout,
    };
    let no_request = async move {
        tokio::select! {
            () = tokio::time::sleep(patience) => Cut::Silent,
            () = given_away.cancelled() => Cut::Crowded,
        }
    };
    door.tasks.spawn(converse(connection, stream, no_request));
}

/// Waits for the first bytes, which cost nothing while they do not come, and then speaks HTTP.
async fn converse<A: Agents>(
    connection: Arc<Connection<A>>,
    stream: TcpStream,
    no_request: impl Future<Output = Cut>,
) {
    let stopping = connection.door.tasks.stopping();
    let mut no_request = pin!(no_request);
    let mut first_byte = [0];
    tokio::select! {
        // a look, because readiness alone is assumed at first; what is wrong with the stream shows when it is read
        _ = stream.peek(&mut first_byte) => Box::pin(speak_http(connection, stream, no_request)).await,
        why = &mut no_request => no_request_came(why),
        () = stopping.cancelled() => {}
    }
}

/// Speaks HTTP until the connection ends or becomes a WebSocket.
async fn speak_http<A: Agents>(
    connection: Arc<Connection<A>>,
    stream: TcpStream,
    no_request: impl Future<Output = Cut>,
) {
    let stopping = connection.door.tasks.stopping();
    let stream = Unread::new(stream, connection.door.limits.write_timeout, DOOR);
    let service = {
        let connection = connection.clone();
        service_fn(move |request| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(route::answer(&connection, request).await) }
        })
    };
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(Linger::new(stream)), service)
        .with_upgrades();
    let mut http = pin!(http);
    let no_request = async {
        let why = no_request.await;
        if connection.has_asked() {
            std::future::pending().await
        }
        why
    };
    let ended = tokio::select! {
        ended = &mut http => ended,
        why = no_request => return no_request_came(why),
        () = stopping.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            cut(DOOR, Cut::Silent);
        }
        tracing::debug!(%error, connection = connection.number, "an agent's connection ended badly");
    }
}

fn no_request_came(why: Cut) {
    match why {
        // counted as cut by who needed its place
        Cut::Crowded => rejected(Rejected::Overload),
        Cut::Silent | Cut::Unread => cut(DOOR, why),
    }
}
