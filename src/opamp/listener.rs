//! The accept loop of the agents' door and the life of one connection until it is a WebSocket or ends.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::time::Clock;
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::admission::{Admission, Refusal};
use super::budget::Budget;
use super::exchange::Agents;
use super::limits::{
    DRAIN_SHARE, FIRST_REQUEST_TIMEOUT_CROWDED, HEADER_BYTES_MAX, KEEP_ALIVE, Limits,
    NEWCOMERS_CROWDED, NEWCOMERS_MAX,
};
use super::patience::{Patience, Patients};
use super::route;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::doors::{self, Entrance, HttpLimits, Unwelcome};
use crate::entropy;
use crate::sockets::{Cut, Seat, Seats, cut};
use crate::tasks::Tasks;
use crate::telemetry::frames::{Rejected, rejected};
use crate::telemetry::names;

/// This door in metrics.
const DOOR: &str = "opamp";

/// What all connections of this door share.
#[derive(Debug)]
pub(super) struct Door<A> {
    pub(super) agents: A,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) tasks: Tasks,
    entrance: Entrance,
    admission: Mutex<Admission>,
    patients: Mutex<Patients>,
    newcomers: Arc<Seats>,
    connections: AtomicU64,
}

impl<A: Agents> Door<A> {
    fn new(agents: A, entrance: Entrance, config: &Config, tasks: &Tasks) -> Self {
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
            entrance,
            admission: Mutex::new(admission),
            patients: Mutex::default(),
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

    /// What becomes of a connection that asks for a handshake: a place, or one that is only to tell it when to come
    /// back, or neither.
    fn before_handshake(self: &Arc<Self>) -> Option<Standing<A>> {
        match self.admit() {
            Ok(place) => Some(Standing::In(Arc::new(place))),
            Err(refusal) if self.admission.lock().tells(SystemClock.boot_ms()) => {
                Some(Standing::Refused(refusal))
            }
            Err(_) => None,
        }
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
    /// Who it is from; its requests may be from others, behind trusted proxies.
    client: IpAddr,
    /// Unique within the process.
    pub(super) number: u64,
    state: Mutex<State<A>>,
}

#[derive(Debug)]
struct State<A: Agents> {
    /// Held until the first request.
    newcomer: Option<Seat>,
    standing: Standing<A>,
    patience: Patience,
}

/// How a connection stands with admission.
#[derive(Debug)]
enum Standing<A: Agents> {
    /// It will ask with its next request.
    Unasked,
    /// It is in; the place is shared with the WebSocket that the connection may become.
    In(Arc<Place<A>>),
    /// It was turned away before its handshake, and hears so with its next request.
    Refused(Refusal),
}

impl<A: Agents> Connection<A> {
    /// The place of this connection, which it gets with its first request or before its handshake.
    ///
    /// # Errors
    /// When the door is too crowded.
    pub(super) fn place(&self) -> Result<Arc<Place<A>>, Refusal> {
        let mut state = self.state.lock();
        state.newcomer = None;
        let asked = match std::mem::replace(&mut state.standing, Standing::Unasked) {
            Standing::In(place) => Ok(place),
            Standing::Refused(refusal) => Err(refusal),
            Standing::Unasked => self.door.admit().map(Arc::new),
        };
        match asked {
            Ok(place) => {
                state.standing = Standing::In(place.clone());
                Ok(place)
            }
            Err(refusal) => {
                rejected(Rejected::Overload);
                Err(refusal)
            }
        }
    }

    /// Who a request with these headers is from.
    pub(super) fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.door.entrance.client(self.client, headers)
    }

    /// How long the answer to a malformed message of a client has to wait. The connection of a proxy is not made to
    /// wait for one of those behind it.
    pub(super) fn impatience(&self, client: IpAddr) -> Duration {
        let now_ms = SystemClock.boot_ms();
        Duration::from_millis(if client == self.client {
            self.state.lock().patience.delay_ms(now_ms)
        } else {
            self.door.patients.lock().delay_ms(client, now_ms)
        })
    }

    fn has_asked(&self) -> bool {
        self.state.lock().newcomer.is_none()
    }
}

/// Serves `agents` on `listener` until `tasks` is stopped.
pub fn serve<A: Agents>(
    listener: TcpListener,
    entrance: Entrance,
    agents: A,
    config: &Config,
    tasks: &Tasks,
) {
    let door = Arc::new(Door::new(agents, entrance, config, tasks));
    let failed = |error: &std::io::Error| {
        metrics::counter!(names::ACCEPT_ERRORS).increment(1);
        tracing::warn!(%error, "the agents' listener cannot accept");
    };
    doors::accept(listener, tasks, failed, move |stream, peer| {
        welcome(&door, stream, peer);
    });
}

/// Gives a connection its seat and its time.
fn welcome<A: Agents>(door: &Arc<Door<A>>, stream: TcpStream, peer: SocketAddr) {
    let crowded = door.newcomers.taken() > NEWCOMERS_CROWDED;
    let Some(newcomer) = door.newcomers.take() else {
        // all others are being served: there is no request yet that could be answered
        rejected(Rejected::Overload);
        return;
    };
    let patience = match door.limits.request_timeout {
        timeout if crowded => timeout.min(FIRST_REQUEST_TIMEOUT_CROWDED),
        timeout => timeout,
    };
    let arrival = Arrival {
        newcomer,
        stream,
        peer,
        patience,
    };
    door.tasks.spawn(await_bytes(door.clone(), arrival));
}

/// A connection that has not said anything yet.
struct Arrival {
    newcomer: Seat,
    stream: TcpStream,
    peer: SocketAddr,
    /// How long it may take to its first request.
    patience: Duration,
}

/// Waits for the first bytes, which cost nothing while they do not come.
async fn await_bytes<A: Agents>(door: Arc<Door<A>>, arrival: Arrival) {
    let stopping = door.tasks.stopping();
    let mut no_request = pin!(no_request_within(arrival.patience, &arrival.newcomer));
    let mut first_byte = [0];
    tokio::select! {
        // a look, because readiness alone is assumed at first; what is wrong with the stream shows when it is read
        _ = arrival.stream.peek(&mut first_byte) => {}
        why = &mut no_request => return no_request_came(why),
        () = stopping.cancelled() => return,
    }
    // the future of HTTP is large, and what it became lives on without it
    Box::pin(meet(door, arrival, no_request)).await;
}

/// Ends when the time for a first request is over, or others need the seat.
fn no_request_within(patience: Duration, newcomer: &Seat) -> impl Future<Output = Cut> + use<> {
    let given_away = newcomer.cut();
    async move {
        tokio::select! {
            () = tokio::time::sleep(patience) => Cut::Silent,
            () = given_away.cancelled() => Cut::Crowded,
        }
    }
}

/// Brings a connection in and lets it speak.
async fn meet<A: Agents>(
    door: Arc<Door<A>>,
    arrival: Arrival,
    mut no_request: Pin<&mut impl Future<Output = Cut>>,
) {
    let Arrival {
        newcomer,
        stream,
        peer,
        patience,
    } = arrival;
    let whole_patience = door.limits.request_timeout;
    let (mut standing, asked) = (Standing::Unasked, AtomicBool::new(false));
    let entering = door.entrance.enter(stream, peer, || {
        asked.store(true, Ordering::Relaxed);
        let before = door.before_handshake();
        let has_room = before.is_some();
        standing = before.unwrap_or(Standing::Unasked);
        has_room
    });
    // what was let in is not hurried: a handshake that is cut was work for nothing
    let overdue = async {
        let why = no_request.as_mut().await;
        if why == Cut::Silent && asked.load(Ordering::Relaxed) {
            tokio::time::sleep(whole_patience.saturating_sub(patience)).await;
        }
        why
    };
    let entered = tokio::select! {
        entered = entering => entered,
        why = overdue => return no_request_came(why),
        () = door.tasks.stopping().cancelled_owned() => return,
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(why) => return turned_away(peer, &why),
    };
    let anew = match &standing {
        Standing::Unasked => None,
        Standing::In(_) | Standing::Refused(_) => {
            Some(no_request_within(whole_patience, &newcomer))
        }
    };
    let connection = Arc::new(Connection {
        client: entered.client,
        number: door.connections.fetch_add(1, Ordering::Relaxed),
        state: Mutex::new(State {
            newcomer: Some(newcomer),
            standing,
            patience: Patience::default(),
        }),
        door,
    });
    match anew {
        Some(no_request) => converse(connection, entered, no_request).await,
        None => converse(connection, entered, no_request).await,
    }
}

fn turned_away(peer: SocketAddr, why: &Unwelcome) {
    match why {
        Unwelcome::ProxyHeader | Unwelcome::NotTls => rejected(Rejected::Malformed),
        Unwelcome::Stranger(_) => rejected(Rejected::Auth),
        Unwelcome::Crowded => rejected(Rejected::Overload),
        Unwelcome::Handshake(_) | Unwelcome::Gone(_) => {}
    }
    let source = std::error::Error::source(why);
    tracing::debug!(
        client.address = %peer.ip(),
        cause = source.map(ToString::to_string),
        "an agent's connection did not come in: {why}"
    );
}

/// Speaks HTTP until the connection ends or becomes a WebSocket.
async fn converse<A: Agents>(
    connection: Arc<Connection<A>>,
    entered: doors::Entered,
    no_request: impl Future<Output = Cut>,
) {
    let answer = {
        let connection = connection.clone();
        move |request| {
            let connection = connection.clone();
            async move { route::answer(&connection, request).await }
        }
    };
    let limits = HttpLimits {
        head_timeout: KEEP_ALIVE,
        head_bytes: HEADER_BYTES_MAX,
        idle_timeout: KEEP_ALIVE,
        write_timeout: connection.door.limits.write_timeout,
        door: DOOR,
    };
    let tasks = &connection.door.tasks;
    let speaking = doors::speak(entered.stream, entered.protocol, answer, limits, tasks);
    let no_request = async {
        let why = no_request.await;
        if connection.has_asked() {
            std::future::pending().await
        }
        why
    };
    let ended = tokio::select! {
        ended = speaking => ended,
        why = no_request => return no_request_came(why),
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            cut(DOOR, Cut::Silent);
        }
        tracing::debug!(
            %error,
            connection = connection.number,
            client.address = %connection.client,
            "an agent's connection ended badly"
        );
    }
}

fn no_request_came(why: Cut) {
    match why {
        // counted as cut by who needed its place
        Cut::Crowded => rejected(Rejected::Overload),
        Cut::Silent | Cut::Unread => cut(DOOR, why),
    }
}
