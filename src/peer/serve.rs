//! One connection that came in: calls are read, served side by side within bounds, and answered as they are done.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ampora_storage::codec::{Kind, decode_message, encode_message};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::bearer::{Channel, proven};
use super::calls::{Join, PeerAnswer, PeerCall, PeerCalls, Refusal};
use super::frames::{self, FRAME_BYTES_MAX, FrameError, Head, What};
use super::key::KeyHash;
use super::trust::{Caller, Trust};
use crate::telemetry::peers::Refused;

/// Calls of one connection that are served side by side; more wait unread.
pub(super) const IN_FLIGHT_MAX: usize = 64;

/// Frames up to this size are within the bound of calls alone.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

/// Bytes of larger frames, and of bodies that are asked for, that a listener holds at one time.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of larger frames of consensus that it holds besides.
const HELD_URGENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Budgets of bytes are counted in these.
pub(super) const BUDGET_UNIT_BYTES: usize = 1024;

/// Nobody waits longer for an answer: the end of a snapshot is answered when it is installed.
const CALL_WITHIN_MAX: Duration = Duration::from_secs(300);

/// A frame that began has to be whole within this.
const FRAME_WITHIN: Duration = Duration::from_secs(30);

/// A connection on which nothing is asked or served for this long is ended; who called ends it earlier.
const IDLE: Duration = Duration::from_secs(90);

/// What a connection may do.
pub(super) struct Terms {
    /// What it is known by.
    pub(super) key: KeyHash,
    /// What its session exports.
    pub(super) channel: Channel,
    pub(super) trust: Trust,
    pub(super) calls: Arc<dyn PeerCalls>,
    pub(super) held: Held,
    /// Largest frame.
    pub(super) frame_bytes_max: usize,
    /// Calls that it may make in all.
    pub(super) calls_max: u64,
}

/// What the connections of a listener may hold together; clones share it.
#[derive(Clone)]
pub(super) struct Held {
    calls: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
}

impl Held {
    pub(super) fn new() -> Self {
        let budget = |bytes| Arc::new(Semaphore::new(bytes / BUDGET_UNIT_BYTES));
        Self {
            calls: budget(HELD_BYTES_MAX),
            urgent: budget(HELD_URGENT_BYTES_MAX),
        }
    }

    async fn take(&self, what: What, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let budget = match what {
            What::Urgent => &self.urgent,
            What::Call | What::Answer => &self.calls,
        };
        let permit = budget.clone().acquire_many_owned(units(bytes)).await;
        permit.map_err(io::Error::other)
    }
}

/// A call that is to be served.
struct Job {
    number: u64,
    within: Duration,
    asked: Result<(Caller, PeerCall), Refusal>,
    permits: Permits,
}

/// What a call holds until its answer is written.
struct Permits {
    _slot: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
    _answer: Option<OwnedSemaphorePermit>,
}

/// An answer on its way.
struct Done {
    number: u64,
    answer: Vec<u8>,
    _permits: Permits,
}

/// How many units of the budget so many bytes take.
pub(super) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Serves until the connection ends, or what came over it cannot be gone on with.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(stream: S, terms: &Terms) -> io::Result<()> {
    let (mut incoming, mut outgoing) = split(stream);
    let (jobs_in, jobs) = mpsc::channel(IN_FLIGHT_MAX);
    let (done_in, mut done) = mpsc::channel::<Done>(IN_FLIGHT_MAX);
    let writing = async {
        while let Some(done) = done.recv().await {
            let (number, none) = (done.number, Duration::ZERO);
            frames::write(&mut outgoing, number, none, What::Answer, &done.answer).await?;
        }
        Ok(())
    };
    let working = async {
        work(terms, jobs, done_in).await;
        Ok(())
    };
    // when the other side ends, what it asked for is not done
    tokio::select! {
        ended = read(&mut incoming, terms, jobs_in) => ended,
        ended = async { tokio::try_join!(working, writing) } => ended.map(|((), ())| ()),
    }
}

/// Reads calls until the other side ends.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    terms: &Terms,
    jobs: mpsc::Sender<Job>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut last = 0;
    for _ in 0..terms.calls_max {
        let slot = slots.clone().acquire_owned().await;
        let slot = slot.map_err(io::Error::other)?;
        let is_idle = || slots.available_permits() == IN_FLIGHT_MAX - 1;
        let Some(head) = next(stream, terms.frame_bytes_max, is_idle).await? else {
            return Ok(());
        };
        if head.what == What::Answer {
            Refused::Unasked.count();
            return Err(broken("an answer came that nobody had asked for"));
        }
        if head.number <= last {
            Refused::Replayed.count();
            return Err(broken("the number of a call was used before"));
        }
        last = head.number;
        let job = timeout(FRAME_WITHIN, take(stream, terms, &head, slot)).await??;
        if jobs.send(job).await.is_err() {
            return Ok(());
        }
    }
    // all of its calls are made; they are answered before the end
    drop(jobs);
    std::future::pending().await
}

/// The next head; none when the other side ends, or nothing is under way any more.
async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
    is_idle: impl Fn() -> bool,
) -> io::Result<Option<Head>> {
    let mut reading = pin!(frames::read_head(stream, bytes_max));
    loop {
        match timeout(IDLE, reading.as_mut()).await {
            Ok(read) => return read.map_err(refuse_frame),
            Err(_) if is_idle() => return Ok(None),
            Err(_) => {}
        }
    }
}

/// Reads what follows a head, and judges who asks.
async fn take(
    stream: &mut (impl AsyncRead + Unpin),
    terms: &Terms,
    head: &Head,
    slot: OwnedSemaphorePermit,
) -> io::Result<Job> {
    let bytes = match head.bytes {
        ..=SMALL_BYTES => None,
        bytes => Some(terms.held.take(head.what, bytes).await?),
    };
    let body = frames::read_body(stream, head.bytes, || {}).await?;
    // members change while connections are open
    let Some(caller) = terms.trust.caller(&terms.key) else {
        Refused::Key.count();
        return Err(io::ErrorKind::PermissionDenied.into());
    };
    let asked = judge(caller, &body);
    let answer = match &asked {
        Ok((_, PeerCall::Body(_) | PeerCall::History(_))) => {
            Some(terms.held.take(What::Call, FRAME_BYTES_MAX).await?)
        }
        Ok(_) | Err(_) => None,
    };
    Ok(Job {
        number: head.number,
        within: head.within.min(CALL_WITHIN_MAX),
        asked: asked.map(|call| (caller, call.1)),
        permits: Permits {
            _slot: slot,
            _bytes: bytes,
            _answer: answer,
        },
    })
}

fn judge(caller: Caller, body: &Bytes) -> Result<(Caller, PeerCall), Refusal> {
    let Ok(call) = decode_message::<PeerCall>(Kind::PeerCall, body) else {
        Refused::Malformed.count();
        return Err(Refusal::Unreadable);
    };
    match caller {
        Caller::Bearer(_) if !call.is_open() => {
            Refused::Stranger.count();
            Err(Refusal::NotAMember)
        }
        Caller::Bearer(_) | Caller::Member(_) | Caller::Removed(_) if !call.is_bounded() => {
            Refused::Oversize.count();
            Err(Refusal::TooLarge)
        }
        Caller::Bearer(_) | Caller::Member(_) | Caller::Removed(_) => Ok((caller, call)),
    }
}

/// Serves calls side by side, until no more come and all are answered.
async fn work(terms: &Terms, mut jobs: mpsc::Receiver<Job>, done: mpsc::Sender<Done>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(job) = jobs.recv() => running.push(answer(terms, job)),
            Some(answered) = running.next() => {
                // there is room: each holds a slot until it is written
                if done.send(answered).await.is_err() {
                    break;
                }
            }
            else => break,
        }
    }
}

async fn answer(terms: &Terms, job: Job) -> Done {
    let answer = match job.asked {
        Err(refusal) => PeerAnswer::Refused(refusal),
        Ok((caller, call)) => {
            let served = timeout(job.within, ask(terms, caller, call)).await;
            served.unwrap_or(PeerAnswer::Refused(Refusal::TooLate))
        }
    };
    let answer = encode_message(Kind::PeerAnswer, &answer)
        .or_else(|error| {
            Refused::Oversize.count();
            tracing::warn!(%error, "an answer to another node is too large");
            encode_message(Kind::PeerAnswer, &PeerAnswer::Refused(Refusal::TooLarge))
        })
        .unwrap_or_default();
    Done {
        number: job.number,
        answer,
        _permits: job.permits,
    }
}

async fn ask(terms: &Terms, caller: Caller, call: PeerCall) -> PeerAnswer {
    let calls = &terms.calls;
    match (caller, call) {
        // whatever it asks: nothing else is said to it
        (Caller::Removed(removed), _) => PeerAnswer::Removed(removed),
        (caller, PeerCall::Hello(hello)) => PeerAnswer::Hello(calls.hello(caller, hello).await),
        (Caller::Bearer(token), PeerCall::Join(join)) => admit(terms, token, join).await,
        (Caller::Member(_), PeerCall::Join(_)) => PeerAnswer::Refused(Refusal::NoToken),
        (_, PeerCall::Redeem(_)) => PeerAnswer::Refused(Refusal::Retired),
        (Caller::Bearer(_), _) => PeerAnswer::Refused(Refusal::NotAMember),
        (Caller::Member(from), PeerCall::Raft(request)) => {
            PeerAnswer::Raft(calls.raft(from, request).await)
        }
        (Caller::Member(from), PeerCall::Exchange(exchange)) => {
            PeerAnswer::Exchanged(calls.exchange(from, exchange).await)
        }
        (Caller::Member(from), PeerCall::LastSeen(uids)) => {
            PeerAnswer::LastSeen(calls.last_seen(from, uids).await)
        }
        (Caller::Member(from), PeerCall::Body(hash)) => {
            PeerAnswer::Body(calls.body(from, hash).await)
        }
        (Caller::Member(from), PeerCall::History(query)) => {
            PeerAnswer::History(calls.history(from, query).await)
        }
    }
}

/// Lets a newcomer join that holds its key at the other end of this very session.
async fn admit(terms: &Terms, token: KeyHash, join: Join) -> PeerAnswer {
    match proven(&join.public_key, &join.signature, &terms.channel) {
        Some(key) => PeerAnswer::Redeemed(terms.calls.join(token, key, join).await),
        None => {
            Refused::Key.count();
            PeerAnswer::Refused(Refusal::Unproven)
        }
    }
}

fn refuse_frame(error: FrameError) -> io::Error {
    match &error {
        FrameError::Oversize(_) => Refused::Oversize.count(),
        FrameError::Malformed => Refused::Malformed.count(),
        FrameError::Io(_) => {}
    }
    error.into_io()
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
