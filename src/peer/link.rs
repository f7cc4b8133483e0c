//! One connection to one node, for calls of one kind: made when it is needed, made anew after a pause when it failed.
//! Calls wait for their answers side by side; when the connection ends, all of them are told at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::ids::NodeId;
use ampora_raft::time::Clock;
use bytes::Bytes;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::book::{AddressBook, Known};
use super::frames::{self, FRAME_BYTES_MAX, What};
use super::key::{KeyHash, NodeKey};
use super::listener::WRITE_WITHIN;
use super::serve::{BUDGET_UNIT_BYTES, IN_FLIGHT_MAX, units};
use super::trust::{client_settings, key_shown};
use crate::clock::SystemClock;
use crate::entropy::Entropy;
use crate::sockets::Unread;
use crate::telemetry::peers::Refused;

/// Calls that wait for their turn.
const WAITING_MAX: usize = 64;

/// Bytes of calls that wait for their turn: two of the largest.
const WAITING_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// A connection and its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The first pause after a failure; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection that is not needed for this long is ended, before the other side does it.
const IDLE: Duration = Duration::from_secs(30);

/// However short calls wait, a silence below this does not cost the connection.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Says that a call has not left this node; after any other error it may have been served.
pub(super) const UNSENT: io::ErrorKind = io::ErrorKind::NotConnected;

/// The other side has ended the handshake because of the key that it was shown.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the node there does not let this key in: it is neither a member's nor that of a join token it knows"
)]
pub struct NotLetIn;

/// What calls are for; each has a connection of its own, so that none waits behind bytes that are less urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Of consensus: what makes and keeps a leader. None of them waits for anything but a disk.
    Raft,
    /// Of consensus: what waits for the log, and without a quorum for nothing.
    Log,
    /// Small calls of everybody else.
    Calls,
    /// What is large, or is answered by something large.
    Bulk,
}

impl Lane {
    fn what(self) -> What {
        match self {
            Self::Raft | Self::Log => What::Urgent,
            Self::Calls | Self::Bulk => What::Call,
        }
    }
}

/// What a link needs of its node.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) key: Arc<NodeKey>,
    pub(super) book: AddressBook,
    pub(super) entropy: Entropy,
}

/// A way to one node.
#[derive(Clone, Debug)]
pub(super) struct Link {
    calls: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    late: Arc<Notify>,
}

/// A call that waits for its turn.
#[derive(Debug)]
struct Outgoing {
    body: Vec<u8>,
    within: Duration,
    answer: oneshot::Sender<io::Result<Bytes>>,
    _bytes: OwnedSemaphorePermit,
}

/// A call that waits for its answer.
struct Waiting {
    sent_ms: u64,
    within: Duration,
    answer: oneshot::Sender<io::Result<Bytes>>,
    _slot: OwnedSemaphorePermit,
}

impl Link {
    /// A link, and what has to run for it to work: until every clone of the link is gone.
    pub(super) fn new(
        node: NodeId,
        lane: Lane,
        ground: Ground,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        let late = Arc::new(Notify::new());
        let link = Self {
            calls,
            bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX / BUDGET_UNIT_BYTES)),
            late: late.clone(),
        };
        let runner = Runner {
            node,
            lane,
            ground,
            late,
            failures: 0,
            held: None,
        };
        (link, runner.run(waiting))
    }

    /// Whether what runs for it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.calls.is_closed()
    }

    /// Sends a call and waits for its answer, all of it within the time.
    pub(super) async fn ask(&self, body: Vec<u8>, within: Duration) -> io::Result<Bytes> {
        if body.len() > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (answer, answered) = oneshot::channel();
        let asking = async {
            let bytes = self.bytes.clone();
            let bytes = bytes.acquire_many_owned(units(body.len())).await;
            let outgoing = Outgoing {
                body,
                within,
                answer,
                _bytes: bytes.map_err(io::Error::other)?,
            };
            let sent = self.calls.send(outgoing).await;
            sent.map_err(|_| io::Error::from(UNSENT))?;
            answered.await.map_err(io::Error::other)?
        };
        timeout(within, asking).await.unwrap_or_else(|_| {
            self.late.notify_one();
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the other node did not answer in time",
            ))
        })
    }
}

/// Makes the connection and runs it.
struct Runner {
    node: NodeId,
    lane: Lane,
    ground: Ground,
    late: Arc<Notify>,
    /// Connections in a row over which nothing was heard.
    failures: u32,
    /// A call that was taken and not sent yet.
    held: Option<Outgoing>,
}

impl Runner {
    async fn run(mut self, mut calls: mpsc::Receiver<Outgoing>) {
        loop {
            if self.held.is_none() {
                self.held = calls.recv().await;
            }
            if self.held.is_none() {
                return;
            }
            let failed = match self.connect(&mut calls).await {
                Ok((stream, known)) => {
                    let talk = Talk::new(known);
                    let ended = self.converse(&talk, stream, &mut calls).await;
                    let why = ended.err().map(plain);
                    talk.end(why.as_ref());
                    if talk.heard.load(Ordering::Relaxed) > 0 {
                        self.failures = 0;
                        continue;
                    }
                    why
                }
                Err(error) => Some(plain(error)),
            };
            let Some(why) = failed else {
                continue;
            };
            tracing::debug!(peer.id = %self.node, error = %why, "another node cannot be reached");
            if let Some(held) = self.held.take() {
                held.fail(&why);
            }
            self.failures = self.failures.saturating_add(1);
            let pause = pause(self.failures, self.ground.entropy.number());
            // an end of the pause is the only end: calls are refused for ever otherwise
            drop(timeout(pause, refuse(&mut calls, &why)).await);
        }
    }

    /// Connects. While a node is known to be away, calls do not wait for another try.
    async fn connect(
        &self,
        calls: &mut mpsc::Receiver<Outgoing>,
    ) -> io::Result<(TlsStream<Unread<TcpStream>>, Known)> {
        let known = self.ground.book.of(self.node).ok_or_else(unknown)?;
        let expected = vec![known.key];
        let connecting = connect(&known.address, &self.ground.key, expected);
        let connected = if self.failures == 0 {
            connecting.await
        } else {
            let away = io::Error::new(UNSENT, "the other node is away");
            tokio::select! {
                connected = connecting => connected,
                never = refuse(calls, &away) => match never {},
            }
        };
        connected.map(|(stream, _)| (stream, known))
    }

    /// Speaks over a connection until it ends, or is not needed any more.
    async fn converse<S: AsyncRead + AsyncWrite>(
        &mut self,
        talk: &Talk,
        stream: S,
        calls: &mut mpsc::Receiver<Outgoing>,
    ) -> io::Result<()> {
        let (mut incoming, mut outgoing) = split(stream);
        let (book, node, what) = (self.ground.book.clone(), self.node, self.lane.what());
        let is_as_known = || book.all().get(&node) == Some(&talk.known);
        let held = &mut self.held;
        let writing = async {
            let mut number = 0;
            loop {
                let slot = talk.slots.clone().acquire_owned().await;
                let slot = slot.map_err(io::Error::other)?;
                if held.is_none() {
                    *held = match timeout(IDLE, calls.recv()).await {
                        Ok(Some(call)) => Some(call),
                        Ok(None) => return Ok(()),
                        Err(_) if talk.waiting.lock().is_empty() => return Ok(()),
                        Err(_) => continue,
                    };
                }
                // somebody else may answer under this address by now, or this node under another one
                if !is_as_known() {
                    return Ok(());
                }
                let Some(call) = held.take().filter(|call| !call.answer.is_closed()) else {
                    continue;
                };
                number += 1;
                talk.wait(number, call.within, call.answer, slot);
                frames::write(&mut outgoing, number, call.within, what, &call.body).await?;
            }
        };
        tokio::select! {
            ended = writing => ended,
            ended = talk.listen(&mut incoming) => ended,
            ended = talk.watch(&self.late) => ended,
        }
    }
}

/// What is said over one connection.
struct Talk {
    known: Known,
    slots: Arc<Semaphore>,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    /// When bytes came last, in milliseconds of boot time; 0 before any.
    heard: AtomicU64,
}

impl Talk {
    fn new(known: Known) -> Self {
        Self {
            known,
            slots: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            waiting: Mutex::default(),
            heard: AtomicU64::new(0),
        }
    }

    fn wait(
        &self,
        number: u64,
        within: Duration,
        answer: oneshot::Sender<io::Result<Bytes>>,
        slot: OwnedSemaphorePermit,
    ) {
        let waiting = Waiting {
            sent_ms: SystemClock.boot_ms(),
            within,
            answer,
            _slot: slot,
        };
        self.waiting.lock().insert(number, waiting);
    }

    /// Hands answers to those who wait for them.
    async fn listen(&self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let heard = || self.heard.store(SystemClock.boot_ms(), Ordering::Relaxed);
        loop {
            let head = frames::read_head(stream, FRAME_BYTES_MAX).await;
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => return Err(io::ErrorKind::ConnectionReset.into()),
                Err(error) => {
                    match error {
                        frames::FrameError::Oversize(_) => Refused::Oversize.count(),
                        frames::FrameError::Malformed => Refused::Malformed.count(),
                        frames::FrameError::Io(_) => {}
                    }
                    return Err(error.into_io());
                }
            };
            heard();
            let is_asked = self.waiting.lock().contains_key(&head.number);
            if head.what != What::Answer || !is_asked {
                Refused::Unasked.count();
                let why = "the other node answers what was not asked";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let body = frames::read_body(stream, head.bytes, heard).await?;
            if let Some(waiting) = self.waiting.lock().remove(&head.number) {
                // it may wait no longer
                drop(waiting.answer.send(Ok(body)));
            }
        }
    }

    /// Ends when nothing was heard for as long as one of the calls waits: each is answered in time, if only by a refusal.
    async fn watch(&self, late: &Notify) -> io::Result<()> {
        loop {
            late.notified().await;
            let (now_ms, heard_ms) = (SystemClock.boot_ms(), self.heard.load(Ordering::Relaxed));
            let is_silent = self.waiting.lock().values().any(|waiting| {
                let silent_ms = now_ms.saturating_sub(waiting.sent_ms.max(heard_ms));
                Duration::from_millis(silent_ms) >= waiting.within.max(SILENCE_MIN)
            });
            if is_silent {
                let why = "the other node does not answer any more";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }

    /// Tells all who wait that no answer comes. Their calls have left this node.
    fn end(&self, why: Option<&io::Error>) {
        let aborted = io::ErrorKind::ConnectionAborted;
        let kind = why.map_or(aborted, io::Error::kind);
        let kind = if kind == UNSENT { aborted } else { kind };
        let text = why.map_or_else(
            || "the connection was ended".to_owned(),
            ToString::to_string,
        );
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for waiting in waiting.into_values() {
            drop(waiting.answer.send(Err(io::Error::new(kind, text.clone()))));
        }
    }
}

impl Outgoing {
    /// Tells the caller that the call has not left this node.
    fn fail(self, why: &io::Error) {
        drop(
            self.answer
                .send(Err(io::Error::new(UNSENT, why.to_string()))),
        );
    }
}

/// Tells everybody who calls that nobody is there; ends never.
async fn refuse(calls: &mut mpsc::Receiver<Outgoing>, why: &io::Error) -> Infallible {
    while let Some(call) = calls.recv().await {
        call.fail(why);
    }
    std::future::pending().await
}

/// Connects to whoever holds one of the expected keys.
pub(super) async fn connect(
    address: &str,
    key: &NodeKey,
    expected: Vec<KeyHash>,
) -> io::Result<(TlsStream<Unread<TcpStream>>, KeyHash)> {
    let settings = client_settings(key, expected).map_err(io::Error::other)?;
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = Unread::new(stream, WRITE_WITHIN, "peer");
        let name = ServerName::try_from("ampora-node").map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(settings))
            .connect(name, stream)
            .await?;
        let shown = key_shown(stream.get_ref().1);
        let shown = shown.ok_or(io::ErrorKind::InvalidData)?;
        Ok((stream, shown))
    };
    timeout(CONNECT_WITHIN, connecting).await?
}

/// How long to pause after so many failures: doubling, and between half and all of it, so that nodes do not call in step.
fn pause(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let whole = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let half_ms = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX) / 2;
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

/// An error of TLS in words for operators.
pub(super) fn plain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied)) => {
            io::Error::new(io::ErrorKind::PermissionDenied, NotLetIn)
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) => {
            io::Error::new(io::ErrorKind::InvalidData, other.0.to_string())
        }
        Some(_) | None => error,
    }
}

pub(super) fn unknown() -> io::Error {
    io::Error::new(UNSENT, "no address of that node is known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_differ() {
        let ends = |failures| {
            let one = |random| u64::try_from(pause(failures, random).as_millis()).expect("short");
            (one(0), one(u64::MAX).max(one(500)).max(one(25)))
        };
        assert_eq!(ends(1), (25, 50));
        assert_eq!(pause(2, 50), Duration::from_millis(100));
        assert_eq!(pause(3, 100), Duration::from_millis(200));
        assert_eq!((pause(6, 0), pause(6, 500)), (PAUSE_MAX / 2, PAUSE_MAX));
        assert_eq!(pause(u32::MAX, 500), PAUSE_MAX);
    }
}
