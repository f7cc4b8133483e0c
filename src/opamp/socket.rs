//! One WebSocket: messages in the order of the wire, replies and pushes written whole and one at a time, pings
//! to who is silent, and an end that the peer is told about.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::time::Clock;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::coop::unconstrained;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::exchange::{AgentConnection, Agents, Closed, Push, Transport};
use super::frame_reader::FrameReader;
use super::limits::{CLOSE_WAIT, WRITE_BYTES_PER_SECOND_MIN};
use super::listener::{Connection, Door, Place};
use super::patience::Patience;
use super::route;
use crate::clock::SystemClock;
use crate::doors::Held;
use crate::telemetry::frames::{Rejected, rejected};
use crate::telemetry::names;

/// The library's read buffer; the bytes wait in the buffer of the thread instead.
const READ_BUFFER_BYTES: usize = 256;

/// Larger messages leave in frames of this size, so that no write buffer grows; clients send them alike.
const FRAME_BYTES: usize = 4096;

/// After a message of this size the buffers that grew for it are thrown away.
const REWRAP_BYTES: usize = 16 * 1024;

/// So many ping intervals without a frame, or inside one message, and the socket is cut.
const QUIET_INTERVALS_MAX: u8 = 2;

/// Takes the connection over once the switch of protocols was written.
pub(super) fn open<A: Agents>(
    connection: &Arc<Connection<A>>,
    place: Arc<Place<A>>,
    token: Option<Arc<str>>,
    mut request: http::Request<Incoming>,
) {
    let upgrading = hyper::upgrade::on(&mut request);
    let client = connection.client(request.headers());
    let connection = connection.clone();
    let tasks = connection.door.tasks.clone();
    tasks.spawn(async move {
        let Ok(upgraded) = upgrading.await else {
            return;
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<Held>>() else {
            tracing::error!("an upgraded connection is not one of this listener");
            return;
        };
        let peer = route::peer(&connection, client, Transport::WebSocket, token);
        tracing::debug!(connection = peer.connection, client.address = %client, "a socket opened");
        let door = connection.door.clone();
        // what HTTP needed is not kept for the hours that a socket lives
        drop(connection);
        let agents = door.agents.connect(peer);
        let reader = FrameReader::new(parts.io.into_inner(), parts.read_buf, door.budget.clone());
        let mut socket = Socket::new(reader, agents, &door).await;
        // what is rare is boxed: the state of this task is what an idle agent costs
        while socket.serve(&door).await == Next::Rewrap {
            socket = Box::pin(socket.rewrapped()).await;
        }
        Box::pin(socket.finish()).await;
        drop(place);
    });
}

/// One WebSocket and whoever speaks over it.
struct Socket<C, S> {
    stream: WebSocketStream<FrameReader<S>>,
    agents: C,
    message_bytes_max: usize,
    write_timeout: Duration,
    patience: Patience,
    /// Ping intervals since the last frame.
    quiet: u8,
    /// Ping intervals inside one message.
    unfinished: u8,
    /// The buffers have grown for a large message.
    grown: bool,
    /// Messages wait in the library: replies to messages that are here already leave together.
    unflushed: bool,
    /// How it ended, once it has.
    how: Closed,
}

/// Why a socket stopped speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It goes on with new buffers.
    Rewrap,
    /// It has ended.
    End,
}

impl<C, S> Socket<C, S>
where
    C: AgentConnection,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    async fn new<A: Agents>(reader: FrameReader<S>, agents: C, door: &Door<A>) -> Self {
        let message_bytes_max = door.limits.message_bytes_max;
        Self {
            stream: wrapped(reader, message_bytes_max).await,
            agents,
            message_bytes_max,
            write_timeout: door.limits.write_timeout,
            patience: Patience::default(),
            quiet: 0,
            unfinished: 0,
            grown: false,
            unflushed: false,
            how: Closed::Lost,
        }
    }

    /// Speaks until the connection ends, or its buffers have grown and nothing is in them.
    async fn serve<A: Agents>(&mut self, door: &Door<A>) -> Next {
        let stopping = door.tasks.stopping();
        let mut draining = pin!(async {
            stopping.cancelled().await;
            tokio::time::sleep(door.drain_delay()).await;
        });
        let mut ping = tokio::time::interval(door.limits.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let how = loop {
            if let Err(how) = self.settle().await {
                break how;
            }
            if self.grown {
                return Next::Rewrap;
            }
            // what the agent says comes first, so that an answer costs as little as it can: pushes were looked
            // at above, and the runtime makes a socket that never rests give way to the others
            let went = tokio::select! {
                biased;
                incoming = self.stream.next() => self.incoming(incoming).await,
                () = poll_fn(|cx| self.agents.poll_push(cx)) => Ok(()),
                // a peer that never rests spends the turns of this task, and time passes all the same
                _ = unconstrained(ping.tick()) => self.tick().await,
                () = unconstrained(&mut draining) => {
                    self.close(CloseCode::Away, "this node is stopping").await;
                    Err(Closed::Draining)
                }
            };
            if let Err(how) = went {
                break how;
            }
        };
        self.how = how;
        Next::End
    }

    /// Ends the session at once, and the connection politely.
    async fn finish(self) {
        self.agents.closed(self.how).await;
        let mut reader = self.stream.into_inner();
        drop(tokio::time::timeout(CLOSE_WAIT, reader.shutdown()).await);
    }

    /// Before waiting: what there is to say is said, and what was said leaves.
    async fn settle(&mut self) -> Result<(), Closed> {
        // whoever rang may have nothing to say after all
        if self.agents.has_push()
            && let Some(push) = self.agents.next_push().await
        {
            self.push(push).await?;
        }
        let ahead = self.stream.get_ref().has_frame_ahead();
        if self.unflushed && (!ahead || self.grown) {
            within(self.write_timeout, self.stream.flush()).await?;
            self.unflushed = false;
            self.agents.written();
        }
        Ok(())
    }

    async fn incoming(&mut self, incoming: Option<Result<Message, Error>>) -> Result<(), Closed> {
        self.quiet = 0;
        match incoming {
            Some(Ok(Message::Binary(payload))) => self.message(payload).await,
            Some(Ok(Message::Text(_))) => {
                rejected(Rejected::Malformed);
                self.close(CloseCode::Unsupported, "messages are binary")
                    .await;
                Err(Closed::Violation)
            }
            // the library answers a ping with the next read
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                self.agents.pong();
                Ok(())
            }
            Some(Ok(Message::Close(_))) => {
                self.until_closed().await;
                Err(Closed::ByPeer)
            }
            // the library hands out no raw frames
            Some(Ok(Message::Frame(_))) => Ok(()),
            Some(Err(error)) => Err(self.failed(&error).await),
            None => Err(Closed::Lost),
        }
    }

    async fn message(&mut self, payload: Bytes) -> Result<(), Closed> {
        self.unfinished = 0;
        self.grown = payload.len() > REWRAP_BYTES;
        let answer = self.agents.message(payload).await;
        self.stream.get_mut().message_done();
        if answer.malformed {
            let delay_ms = self.patience.delay_ms(SystemClock.boot_ms());
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        self.write(answer.bytes).await
    }

    async fn push(&mut self, push: Push) -> Result<(), Closed> {
        match push {
            Push::Message(bytes) => self.write(bytes).await,
            Push::Ping => {
                let ping = self.stream.send(Message::Ping(Bytes::new()));
                within(self.write_timeout, ping).await
            }
            Push::Close { code, reason } => {
                self.close(CloseCode::from(code), reason).await;
                Err(Closed::ByUs)
            }
        }
    }

    /// A ping interval has passed.
    async fn tick(&mut self) -> Result<(), Closed> {
        let reader = self.stream.get_ref();
        if !reader.is_inside_message() {
            self.unfinished = 0;
        } else if self.unfinished < QUIET_INTERVALS_MAX {
            self.unfinished += 1;
        } else {
            rejected(if reader.waits_for_budget() {
                Rejected::Overload
            } else {
                Rejected::Malformed
            });
            self.close(CloseCode::Policy, "the message took too long")
                .await;
            return Err(Closed::Violation);
        }
        if self.quiet >= QUIET_INTERVALS_MAX {
            return Err(Closed::Silent);
        }
        self.quiet += 1;
        let ping = self.stream.send(Message::Ping(Bytes::new()));
        within(self.write_timeout, ping).await
    }

    /// Takes one message on its way, whole. What is too large is left out (C-034), who does not read is cut (C-028).
    async fn write(&mut self, bytes: Bytes) -> Result<(), Closed> {
        if bytes.len() > self.message_bytes_max {
            rejected(Rejected::Oversize);
            tracing::error!(
                bytes = bytes.len(),
                "a message beyond the limit was not sent"
            );
            return Ok(());
        }
        self.grown |= bytes.len() > REWRAP_BYTES;
        let all = self.write_timeout
            + Duration::from_secs(bytes.len() as u64 / WRITE_BYTES_PER_SECOND_MIN);
        let feeding = feed(&mut self.stream, bytes, self.write_timeout);
        match tokio::time::timeout(all, feeding).await {
            Ok(fed) => fed?,
            Err(_) => return Err(slow_reader()),
        }
        self.unflushed = true;
        Ok(())
    }

    /// Says why the connection ends, and waits a moment for the peer to agree.
    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let close = self.stream.send(Message::Close(Some(frame)));
        if within(CLOSE_WAIT, close).await.is_ok() {
            self.until_closed().await;
        }
    }

    /// Reads on until both sides have said Close; some clients never do.
    async fn until_closed(&mut self) {
        let closing = async { while let Some(Ok(_)) = self.stream.next().await {} };
        drop(tokio::time::timeout(CLOSE_WAIT, closing).await);
    }

    /// The library stopped reading; tells the peer why when it is the peer's fault.
    async fn failed(&mut self, error: &Error) -> Closed {
        tracing::debug!(%error, "a socket failed");
        let (reason, code, text) = match error {
            Error::Capacity(_) => (
                Rejected::Oversize,
                CloseCode::Size,
                "larger than opamp.max_message_bytes",
            ),
            // only text is checked for UTF-8, and text is refused whatever it says
            Error::Utf8(_) => (
                Rejected::Malformed,
                CloseCode::Unsupported,
                "messages are binary",
            ),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Closed::Lost,
            Error::Protocol(_) => (
                Rejected::Malformed,
                CloseCode::Protocol,
                "not the WebSocket protocol",
            ),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Tls(_)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt
            | Error::Url(_)
            | Error::Http(_)
            | Error::HttpFormat(_) => return Closed::Lost,
        };
        rejected(reason);
        self.close(code, text).await;
        Closed::Violation
    }

    /// The same socket in new buffers: those of the library never shrink. [`Self::settle`] has flushed, and
    /// the reader holds what was read ahead.
    async fn rewrapped(mut self) -> Self {
        let limit = self.message_bytes_max;
        self.stream = wrapped(self.stream.into_inner(), limit).await;
        self.grown = false;
        self
    }
}

async fn wrapped<S: AsyncRead + AsyncWrite + Unpin>(
    reader: FrameReader<S>,
    message_bytes_max: usize,
) -> WebSocketStream<FrameReader<S>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(FRAME_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    WebSocketStream::from_raw_socket(reader, Role::Server, Some(config)).await
}

/// Hands a message to the library; the peer has to take each part of it within `stall`.
async fn feed<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<FrameReader<S>>,
    bytes: Bytes,
    stall: Duration,
) -> Result<(), Closed> {
    if bytes.len() <= FRAME_BYTES {
        return within(stall, stream.feed(Message::Binary(bytes))).await;
    }
    let last = bytes.len().div_ceil(FRAME_BYTES) - 1;
    for (index, part) in bytes.chunks(FRAME_BYTES).enumerate() {
        let data = if index == 0 {
            Data::Binary
        } else {
            Data::Continue
        };
        let frame = Frame::message(bytes.slice_ref(part), OpCode::Data(data), index == last);
        within(stall, stream.feed(Message::Frame(frame))).await?;
    }
    Ok(())
}

/// Waits for a write.
async fn within(
    limit: Duration,
    write: impl Future<Output = Result<(), Error>>,
) -> Result<(), Closed> {
    match tokio::time::timeout(limit, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closed::Lost),
        Err(_) => Err(slow_reader()),
    }
}

fn slow_reader() -> Closed {
    metrics::counter!(names::SLOW_READERS).increment(1);
    Closed::SlowReader
}
