//! One socket of the crowd: it connects, comes back when it is lost or refused, and carries its agents.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ampora_proto::wire;
use ampora_raft::time::Clock;
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::RETRY_AFTER;
use prost::Message as _;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::agent::SimulatedAgent;
use super::plan::{Plan, Profile};
use super::tally::{Tally, count};
use crate::clock::SystemClock;
use crate::entropy;
use crate::trust::{self, Trust};

/// The library's buffer for reading.
const READ_BUFFER_BYTES: usize = 4096;

/// Before another try after a failure; doubled up to the second.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Replies that are waited for: the oldest are forgotten beyond it, so that a silent server costs no memory.
const WAITING_MAX: usize = 1024;

/// Messages that are taken in before the answers to them leave together.
const AT_ONCE_MAX: usize = 64;

type Stream = WebSocketStream<Either<TcpStream, TlsStream<TcpStream>>>;

/// Where sockets go.
pub(super) struct Door {
    url: Url,
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Door {
    /// The door that a plan names, at the address that its host has.
    pub(super) fn of(url: &Url, address: SocketAddr, trust: &Trust) -> io::Result<Self> {
        let secure = || -> io::Result<_> {
            let mut settings = trust::client_settings(trust, None).map_err(io::Error::other)?;
            settings.alpn_protocols.clear();
            let host = url.host_str().unwrap_or_default().to_owned();
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            Ok((TlsConnector::from(Arc::new(settings)), name))
        };
        Ok(Self {
            url: url.clone(),
            address,
            tls: (url.scheme() == "wss").then(secure).transpose()?,
        })
    }
}

/// Why a socket is not there.
enum Away {
    /// Refused with a time to wait.
    Refused(Duration),
    /// Anything else.
    Failed,
}

/// Keeps one socket connected until `stop`.
pub(super) async fn keep(
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    doors: Arc<[Door]>,
    number: usize,
    stop: CancellationToken,
) {
    let wall_ms = SystemClock.wall_ms();
    let agents = plan
        .agents_of(number)
        .map(|number| SimulatedAgent::new(&plan, number, wall_ms));
    let mut carried = Carried::new(agents);
    let mut pause = RETRY_FIRST;
    let mut at = number;
    loop {
        let Some(door) = doors.get(at % doors.len().max(1)) else {
            return;
        };
        let wait = match connect(&plan, door, number).await {
            Ok(stream) => {
                pause = RETRY_FIRST;
                count(&tally.connects);
                tally.connected.fetch_add(1, Ordering::Relaxed);
                let stopped = carried.converse(stream, &plan, &tally, &stop).await;
                tally.connected.fetch_sub(1, Ordering::Relaxed);
                if stopped {
                    return;
                }
                count(&tally.lost);
                Duration::ZERO
            }
            Err(Away::Refused(wait)) => {
                count(&tally.refused);
                at += 1;
                wait
            }
            Err(Away::Failed) => {
                count(&tally.failed_connects);
                at += 1;
                pause = (pause * 2).min(RETRY_LAST);
                jittered(pause)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(ms / 2 + entropy::number() % (ms + 1))
}

async fn connect(plan: &Plan, door: &Door, number: usize) -> Result<Stream, Away> {
    let open = async {
        let socket = if door.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = plan.source(number) {
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        let stream = socket.connect(door.address).await?;
        stream.set_nodelay(true)?;
        io::Result::Ok(match &door.tls {
            None => Either::Left(stream),
            Some((tls, name)) => Either::Right(tls.connect(name.clone(), stream).await?),
        })
    };
    let stream = open.await.map_err(|_| Away::Failed)?;
    let request = door
        .url
        .as_str()
        .into_client_request()
        .map_err(|_| Away::Failed)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) => {
            let seconds = response.headers().get(RETRY_AFTER);
            let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
            Err(Away::Refused(Duration::from_secs(seconds.unwrap_or(30))))
        }
        Err(_) => Err(Away::Failed),
    }
}

/// The agents of one socket, and the replies that they wait for.
struct Carried {
    agents: BTreeMap<Uuid, SimulatedAgent>,
    /// When each message left: replies come in the order of the messages.
    waiting: VecDeque<u64>,
}

impl Carried {
    fn new(agents: impl Iterator<Item = SimulatedAgent>) -> Self {
        Self {
            agents: agents.map(|agent| (agent.uid(), agent)).collect(),
            waiting: VecDeque::new(),
        }
    }

    /// Speaks until the connection ends; true when it was `stop`.
    async fn converse(
        &mut self,
        mut stream: Stream,
        plan: &Plan,
        tally: &Tally,
        stop: &CancellationToken,
    ) -> bool {
        self.waiting.clear();
        let hello: Vec<_> = self
            .agents
            .values_mut()
            .map(|agent| agent.hello(plan))
            .collect();
        if self.send(&mut stream, hello, tally).await.is_err() {
            return false;
        }
        if plan.profile == Profile::FlatOut {
            let more = self.heartbeats(plan.in_flight.saturating_sub(1));
            if self.send(&mut stream, more, tally).await.is_err() {
                return false;
            }
        }
        let mut step = tokio::time::interval(period(plan));
        step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        step.reset_after(jittered(period(plan)).min(period(plan)));
        loop {
            let out = tokio::select! {
                incoming = stream.next() => match self.hear_all(&mut stream, incoming, plan, tally) {
                    Some(out) => out,
                    None => return false,
                },
                _ = step.tick(), if plan.profile != Profile::FlatOut => {
                    self.agents.values_mut().map(|agent| agent.step(plan.profile)).collect()
                }
                () = stop.cancelled() => {
                    // a server that has gone does not want to hear it
                    drop(stream.close(None).await);
                    return true;
                }
            };
            if self.send(&mut stream, out, tally).await.is_err() {
                return false;
            }
        }
    }

    /// Takes in what has come, and what is there behind it; returns what is to be sent together, or `None` when
    /// the connection has ended.
    fn hear_all(
        &mut self,
        stream: &mut Stream,
        first: Option<Result<Message, Error>>,
        plan: &Plan,
        tally: &Tally,
    ) -> Option<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        let mut incoming = first;
        for _ in 0..AT_ONCE_MAX {
            match incoming? {
                Ok(Message::Binary(payload)) => out.extend(self.hear(plan, tally, &payload)),
                Ok(_) => {}
                Err(_) => return None,
            }
            match stream.next().now_or_never() {
                Some(next) => incoming = next,
                None => break,
            }
        }
        Some(out)
    }

    fn heartbeats(&mut self, count: usize) -> Vec<Vec<u8>> {
        let first = self.agents.values_mut().next();
        first.map_or_else(Vec::new, |agent| {
            (0..count).map(|_| agent.heartbeat()).collect()
        })
    }

    async fn send(
        &mut self,
        stream: &mut Stream,
        frames: Vec<Vec<u8>>,
        tally: &Tally,
    ) -> Result<(), Error> {
        if frames.is_empty() {
            return Ok(());
        }
        for frame in frames {
            count(&tally.sent);
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(SystemClock.micros());
            }
            stream.feed(Message::Binary(Bytes::from(frame))).await?;
        }
        stream.flush().await
    }

    /// Takes one message in, and returns what is to be sent.
    fn hear(&mut self, plan: &Plan, tally: &Tally, payload: &[u8]) -> Vec<Vec<u8>> {
        let body = payload.get(1..).unwrap_or_default();
        let Ok(message) = wire::ServerToAgent::decode(body) else {
            count(&tally.failed_connects);
            return Vec::new();
        };
        let pushed = message.remote_config.is_some() && self.waiting.is_empty();
        if !pushed && let Some(sent_us) = self.waiting.pop_front() {
            tally.replied(SystemClock.micros().saturating_sub(sent_us));
        }
        let Ok(uid) = Uuid::from_slice(&message.instance_uid) else {
            return Vec::new();
        };
        let Some(mut agent) = self.agents.remove(&uid) else {
            return Vec::new();
        };
        let heard = agent.hear(plan, message);
        if heard.offered {
            count(&tally.offers);
            tally
                .last_offer_us
                .fetch_max(SystemClock.micros(), Ordering::Relaxed);
        }
        for (happened, counter) in [
            (heard.bad, &tally.bad_offers),
            (heard.restarted, &tally.restarts),
            (heard.asked_again, &tally.asked_again),
            (heard.refused, &tally.refusals),
            (heard.renamed, &tally.renamed),
        ] {
            if happened {
                count(counter);
            }
        }
        let mut out = heard.answers;
        if plan.profile == Profile::FlatOut && out.is_empty() {
            out.push(agent.heartbeat());
        }
        self.agents.insert(agent.uid(), agent);
        out
    }
}

/// Between two steps of a profile.
fn period(plan: &Plan) -> Duration {
    match plan.profile {
        Profile::Idle
        | Profile::FlatOut
        | Profile::Refusing
        | Profile::Breaking
        | Profile::Silent => plan.heartbeat,
        Profile::Chatty => Duration::from_secs(1),
        Profile::CrashLooping => Duration::from_secs(5),
    }
}
