//! The door for other nodes: who is let in by its key, and how many connections they may hold.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::time::Clock;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::bearer::{Channel, channel};
use super::calls::{PeerCalls, Removed};
use super::frames::FRAME_BYTES_MAX;
use super::key::{KeyHash, NodeKey};
use super::refusals::Told;
use super::serve::{Held, SMALL_BYTES, Terms, serve};
use super::trust::{Caller, Trust, key_shown, server_settings};
use crate::clock::SystemClock;
use crate::doors;
use crate::sockets::{Cut, Seat, Seats, Unread, cut};
use crate::tasks::Tasks;
use crate::telemetry::peers::Refused;

/// Connections of all kinds. Beyond it the one that has waited longest for the end of its handshake makes room.
const CONNECTIONS_MAX: usize = 256;

/// Connections of one address that have not shown a member's key.
const UNKNOWN_OF_ADDRESS_MAX: usize = 16;

/// Connections of one member: four, once more while it makes them anew, and two to spare. Beyond it the oldest is
/// ended: the member may have lost it without a word.
const OF_MEMBER_MAX: usize = 10;

/// Connections of bearers of a join token, and of nodes that were removed, that are served.
const STRANGERS_MAX: usize = 8;

/// What one of them may ask before its connection is ended: a greeting, a try to join, and each once more.
const STRANGER_CALLS_MAX: u64 = 4;

/// For how long such a connection may live: as long as it takes to commit that it joins.
const STRANGER_WITHIN: Duration = Duration::from_secs(30);

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Whoever takes nothing of an answer for this long is cut.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How long a refused connection is read, so that the refusal is not lost in a reset.
const LINGER: Duration = Duration::from_secs(1);

/// And how many bytes of it.
const LINGER_BYTES_MAX: u64 = 256 * 1024;

/// This door in metrics.
const DOOR: &str = "peer";

/// The listener for other nodes.
#[derive(Clone, Copy, Debug)]
pub struct PeerListener;

struct Door {
    settings: Arc<ServerConfig>,
    trust: Trust,
    calls: Arc<dyn PeerCalls>,
    seats: Arc<Seats>,
    strangers: Semaphore,
    told: Told,
    held: Held,
    unknown: Mutex<BTreeMap<IpAddr, usize>>,
    members: Mutex<BTreeMap<KeyHash, VecDeque<CancellationToken>>>,
}

impl PeerListener {
    /// Listens on `address` until `tasks` is stopped, and answers the address that it has. Connections are served on the
    /// runtime of the caller.
    ///
    /// # Errors
    /// Fails when the address cannot be listened on, or TLS cannot use the key.
    pub async fn open(
        address: SocketAddr,
        key: &NodeKey,
        trust: Trust,
        calls: Arc<dyn PeerCalls>,
        tasks: &Tasks,
    ) -> io::Result<SocketAddr> {
        let settings = server_settings(key, trust.clone()).map_err(io::Error::other)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door {
            settings: Arc::new(settings),
            trust,
            calls,
            seats: Seats::new(DOOR, CONNECTIONS_MAX),
            strangers: Semaphore::new(STRANGERS_MAX),
            told: Told::default(),
            held: Held::new(),
            unknown: Mutex::default(),
            members: Mutex::default(),
        });
        let failed = |error: &io::Error| {
            tracing::warn!(%error, "the listener for other nodes cannot accept");
        };
        let connections = tasks.clone();
        doors::accept(listener, tasks, failed, move |stream, peer| {
            welcome(&door, stream, peer, &connections);
        });
        Ok(address)
    }
}

/// Gives a connection a place, if there is one.
fn welcome(door: &Arc<Door>, stream: TcpStream, peer: SocketAddr, tasks: &Tasks) {
    let Some(unknown) = Unknown::of(door, peer.ip()) else {
        return Refused::Crowded.count();
    };
    let Some(seat) = door.seats.take() else {
        return Refused::Crowded.count();
    };
    let (door, stopping) = (door.clone(), tasks.stopping());
    tasks.spawn(async move {
        let given_away = seat.cut();
        let met = async {
            let stream = Unread::new(stream, WRITE_WITHIN, DOOR);
            if let Some((stream, shown)) = greet(&door, stream, peer).await {
                admit(&door, stream, shown, peer, &seat, unknown).await;
            }
        };
        tokio::select! {
            () = met => {}
            () = given_away.cancelled() => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// What the other side of a handshake has shown.
#[derive(Clone, Copy)]
struct Shown {
    key: KeyHash,
    channel: Channel,
}

impl Shown {
    fn of(stream: &TlsStream<Unread<TcpStream>>) -> Option<Self> {
        let session = stream.get_ref().1;
        let (key, channel) = (key_shown(session)?, channel(session).ok()?);
        Some(Self { key, channel })
    }
}

/// Shakes hands; nothing when the other side is not let in.
async fn greet(
    door: &Door,
    stream: Unread<TcpStream>,
    peer: SocketAddr,
) -> Option<(TlsStream<Unread<TcpStream>>, Shown)> {
    let acceptor = TlsAcceptor::from(door.settings.clone());
    let handshake = acceptor.accept(stream).into_fallible();
    let Ok(shaken) = timeout(HANDSHAKE_WITHIN, handshake).await else {
        Refused::Handshake.count();
        cut(DOOR, Cut::Silent);
        return None;
    };
    match shaken {
        Ok(stream) => match Shown::of(&stream) {
            Some(shown) => Some((stream, shown)),
            None => {
                Refused::Handshake.count();
                None
            }
        },
        Err((error, mut stream)) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            let (refused, why) = why(inner);
            refused.count();
            if let Some(untold) = door.told.next(SystemClock.boot_ms()) {
                tracing::warn!(
                    peer.address = %peer,
                    %error,
                    untold,
                    "a connection to the door for other nodes was refused: {why}"
                );
            }
            linger(&mut stream).await;
            None
        }
    }
}

/// What a handshake failed of, for metrics and for people.
fn why(error: Option<&rustls::Error>) -> (Refused, &'static str) {
    match error {
        Some(rustls::Error::InvalidCertificate(_)) => (
            Refused::Key,
            "its key is neither a member's nor that of a join token",
        ),
        Some(rustls::Error::NoCertificatesPresented) => (Refused::Key, "it shows no key"),
        Some(rustls::Error::AlertReceived(_)) => (
            Refused::Handshake,
            "the other side does not go on: it expects another node here",
        ),
        Some(_) | None => (Refused::Handshake, "it does not speak as nodes do"),
    }
}

/// Reads on for a moment: bytes that nobody reads would be answered by a reset, and the alert would be lost.
async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    drop(stream.shutdown().await);
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    drop(timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await);
}

/// Serves a connection as what its key makes of it.
async fn admit(
    door: &Arc<Door>,
    stream: TlsStream<Unread<TcpStream>>,
    shown: Shown,
    peer: SocketAddr,
    seat: &Seat,
    unknown: Unknown,
) {
    let Shown { key, channel } = shown;
    let terms = |frame_bytes_max, calls_max| Terms {
        key,
        channel,
        trust: door.trust.clone(),
        calls: door.calls.clone(),
        held: door.held.clone(),
        frame_bytes_max,
        calls_max,
    };
    let ended = match door.trust.caller(&key) {
        None => return Refused::Key.count(),
        Some(caller @ (Caller::Bearer(_) | Caller::Removed(_))) => {
            let Ok(_place) = door.strangers.try_acquire() else {
                return Refused::Crowded.count();
            };
            if let Caller::Removed(removed) = caller {
                tell_removed(door, peer, removed);
            }
            let terms = terms(SMALL_BYTES, STRANGER_CALLS_MAX);
            let served = timeout(STRANGER_WITHIN, serve(stream, &terms)).await;
            served.unwrap_or(Ok(()))
        }
        Some(Caller::Member(_)) => {
            drop(unknown);
            // not to be cut for somebody who has shown nothing
            seat.serve();
            let place = OfMember::take(door, key);
            let terms = terms(FRAME_BYTES_MAX, u64::MAX);
            tokio::select! {
                ended = serve(stream, &terms) => ended,
                () = place.ended.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer.address = %peer, %error, "a connection of another node ended badly");
    }
}

fn tell_removed(door: &Door, peer: SocketAddr, removed: Removed) {
    if let Some(untold) = door.told.next(SystemClock.boot_ms()) {
        tracing::info!(
            peer.address = %peer,
            peer.id = %removed.node,
            untold,
            "a node that was removed from this cluster is told so"
        );
    }
}

/// The place of a connection that has not shown a member's key, among those of its address.
struct Unknown {
    door: Arc<Door>,
    address: IpAddr,
}

impl Unknown {
    fn of(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let address = address.to_canonical();
        let mut unknown = door.unknown.lock();
        let count = unknown.entry(address).or_default();
        if *count >= UNKNOWN_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Self {
            door: door.clone(),
            address,
        })
    }
}

impl Drop for Unknown {
    fn drop(&mut self) {
        let mut unknown = self.door.unknown.lock();
        if let Some(count) = unknown.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                unknown.remove(&self.address);
            }
        }
    }
}

/// The place of a connection among those of its member.
struct OfMember {
    door: Arc<Door>,
    key: KeyHash,
    ended: CancellationToken,
}

impl OfMember {
    fn take(door: &Arc<Door>, key: KeyHash) -> Self {
        let ended = CancellationToken::new();
        let mut members = door.members.lock();
        let places = members.entry(key).or_default();
        places.retain(|place| !place.is_cancelled());
        if places.len() >= OF_MEMBER_MAX {
            Refused::Crowded.count();
            if let Some(oldest) = places.pop_front() {
                oldest.cancel();
            }
        }
        places.push_back(ended.clone());
        Self {
            door: door.clone(),
            key,
            ended,
        }
    }
}

impl Drop for OfMember {
    fn drop(&mut self) {
        self.ended.cancel();
        let mut members = self.door.members.lock();
        if let Some(places) = members.get_mut(&self.key) {
            places.retain(|place| !place.is_cancelled());
            if places.is_empty() {
                members.remove(&self.key);
            }
        }
    }
}
