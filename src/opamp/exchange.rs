//! The seam between the transports and the room that understands agents: bytes on one side, sessions on the
//! other. Transports frame, bound and time bytes and know nothing of their meaning; [`Agents`] knows nothing
//! of sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

/// How a peer talks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A WebSocket: full duplex, the server may speak at any time.
    WebSocket,
    /// Plain HTTP: one request, one reply; nothing hangs on the TCP connection (C-050).
    Http,
}

impl Transport {
    /// Returns the value of metric labels and of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is: the peer, or whom trusted proxies named.
    pub client: IpAddr,
    /// How they come.
    pub transport: Transport,
    /// Number of the TCP connection, unique within the process.
    pub connection: u64,
    /// What [`Agents::admit`] found: the id of its credential, if one is asked for.
    pub token: Option<Arc<str>>,
}

/// Why a peer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It shows no credential that works.
    Unknown,
    /// It failed too often; it may try again after so many seconds.
    TooMany(u64),
}

/// How a WebSocket came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer sent a Close frame.
    ByPeer,
    /// The connection was lost without a Close frame: end of stream, reset, or a failed read or write.
    Lost,
    /// Neither a frame nor a pong was heard for two ping intervals.
    Silent,
    /// The peer stopped reading and was cut after the write timeout (C-028).
    SlowReader,
    /// The peer broke the WebSocket protocol or a limit and was told so by 1002, 1003, 1008 or 1009.
    Violation,
    /// The agents room asked for it by [`Push::Close`].
    ByUs,
    /// This node is draining; the peer was told 1001.
    Draining,
}

/// What the server says without having been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// A whole message with its header byte.
    Message(Bytes),
    /// The peer is asked whether it is there.
    Ping,
    /// The socket is to be closed: revoked.
    Close {
        /// Close code of RFC 6455, such as 1008.
        code: u16,
        /// Text for the peer's log, ≤ 123 bytes; longer texts are cut.
        reason: &'static str,
    },
}

/// The reply to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The reply, framed for the transport.
    pub bytes: Bytes,
    /// The message was malformed: a peer that sends many is slowed down (C-298).
    pub malformed: bool,
}

/// A poll is to be repeated after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later(pub u64);

/// The room that understands agents, as the transports see it.
pub trait Agents: Send + Sync + 'static {
    /// The state of one WebSocket.
    type Connection: AgentConnection;

    /// Looks at the credential of a request before anything else of it, polls included: credentials may change
    /// between them (C-285).
    ///
    /// # Errors
    /// When the peer is not let in.
    fn admit(&self, client: IpAddr, headers: &HeaderMap) -> Result<Option<Arc<str>>, Denied>;

    /// Meets a peer whose WebSocket was accepted.
    fn connect(&self, peer: Peer) -> Self::Connection;

    /// Answers one plain-HTTP exchange: an uncompressed body without a header byte in, the body of the 200
    /// reply out. There is something to answer for a malformed body too (C-037, C-293). The future is dropped
    /// when the peer goes away.
    ///
    /// # Errors
    /// Nobody can answer at this moment, and nothing has happened: the peer is to come back.
    fn poll(&self, peer: Peer, body: Bytes) -> impl Future<Output = Result<Answer, Later>> + Send;

    /// Hears that a poll was turned away and told to come back after `wait`; `uid` is what its header says.
    fn told_to_wait(&self, uid: &str, wait: Duration);
}

/// The far side of one WebSocket. One task owns it and calls one method at a time; the futures of
/// [`AgentConnection::message`] are never dropped before they are done.
pub trait AgentConnection: Send + Sync + 'static {
    /// Answers one binary message, header byte included on both ways. Messages come in the order of the wire,
    /// the next one after the reply to the last (C-024). A reply above `opamp.max_message_bytes` is not sent
    /// and counted (C-034): the callee keeps below it.
    fn message(&mut self, payload: Bytes) -> impl Future<Output = Answer> + Send;

    /// Whether there may be something to say unasked.
    fn has_push(&self) -> bool;

    /// Ready when there may be something to say unasked.
    fn poll_push(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes the next of it; nothing when it has become needless meanwhile. The future is never dropped before
    /// it is done.
    fn next_push(&mut self) -> impl Future<Output = Option<Push>> + Send;

    /// Hears that every reply and push taken so far was handed to the socket in full. Not called for those
    /// that a failing socket swallowed; then [`AgentConnection::closed`] follows.
    fn written(&mut self);

    /// Hears a sign of life that is not a message: a pong, or the peer's own ping.
    fn pong(&mut self);

    /// Hears the end, exactly once.
    fn closed(self, how: Closed) -> impl Future<Output = ()> + Send;
}
