//! The agents' side of the transports: a socket that may carry many agents, and polls. Everything is
//! routed by uid, never by connection (C-277).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ampora_proto::frame::{self, Malformed, Reason};
use ampora_proto::session::ConnectionKey;
use ampora_proto::wire;
use ampora_raft::ids::InstanceUid;
use ampora_raft::planted::{self, Bug};
use ampora_raft::records::{ReleaseReason, Transport};
use bytes::Bytes;
use http::HeaderMap;

use super::agent::{Agent, POLLS};
use super::enrollment;
use super::exchange::{self, Begun, Caller, Written};
use super::forward::{self, Heard};
use super::identity;
use super::room::Room;
use super::wake::{Call, Wake};
use crate::clock::SystemClock;
use crate::opamp::{AgentConnection, Agents, Answer, Closed, Denied, Later, Peer, Push};
use crate::telemetry::frames::{Rejected, rejected};

/// Agents on one socket: gateways carry hundreds; more would make one socket a node of its own.
const AGENTS_PER_SOCKET_MAX: usize = 4096;

/// Close code for a socket whose agents were all forgotten, or whose token is gone (RFC 6455: policy violation).
const POLICY: u16 = 1008;

/// Polls that nobody can answer come back after one second, and up to so many more.
const POLL_LATER_SPREAD: u64 = 4;

/// The room as transports see it.
#[derive(Clone, Debug)]
pub struct Door {
    room: Arc<Room>,
}

impl Door {
    /// The door of `room`.
    pub fn new(room: Arc<Room>) -> Self {
        Self { room }
    }
}

impl Agents for Door {
    type Connection = Socket;

    fn admit(&self, client: IpAddr, headers: &HeaderMap) -> Result<Option<Arc<str>>, Denied> {
        if !self.room.settings.needs_token {
            return Ok(None);
        }
        if let Some(token) = enrollment::token(&self.room, headers) {
            return Ok(Some(token));
        }
        rejected(Rejected::Auth);
        let now_ms = self.room.clock.boot_ms();
        match self.room.attempts.failed(client, now_ms) {
            Ok(()) => Err(Denied::Unknown),
            Err(too_many) => Err(Denied::TooMany(too_many.retry_after_seconds)),
        }
    }

    fn connect(&self, peer: Peer) -> Socket {
        let wake = Arc::new(Wake::default());
        if let Some(token) = &peer.token {
            self.room.sockets.add(token, peer.connection, wake.clone());
            // it may have been revoked since the door was opened
            if self
                .room
                .consensus
                .view()
                .fleet
                .enrollment_token(token)
                .is_none()
            {
                wake.revoke();
            }
        }
        Socket {
            room: self.room.clone(),
            caller: Caller {
                // 0 stands for polls
                connection: ConnectionKey(peer.connection + 1),
                transport: Transport::WebSocket,
                wake: Some(wake.clone()),
                token: peer.token,
                takes_over: true,
            },
            wake,
            carried: BTreeMap::new(),
            unwritten: Vec::new(),
        }
    }

    fn told_to_wait(&self, uid: &str, wait: Duration) {
        let uid = InstanceUid::try_parse(uid).ok();
        let agent = uid.and_then(|uid| self.room.registry.get(uid));
        if let Some(agent) = agent {
            self.room.excuse(&agent, wait);
        }
    }

    async fn poll(&self, peer: Peer, body: Bytes) -> Result<Answer, Later> {
        let started = SystemClock.micros();
        let incoming = frame::decode_http(body.clone());
        let mut takes_over = false;
        if let Ok(incoming) = &incoming {
            match forward::hear(&self.room, &peer, incoming.uid, &body).await {
                Heard::Here => {}
                Heard::Unanswered => takes_over = true,
                Heard::Answered(bytes) => return Ok(forwarded(bytes)),
                Heard::Later => return Err(come_back(&self.room)),
            }
        }
        // who is served here is answered here: what is large of it is gone before anything is waited for
        let unserved = incoming.as_ref().ok().map(|incoming| incoming.uid);
        let unserved = unserved.filter(|uid| !forward::is_here(&self.room, *uid));
        let unserved = unserved.map(|uid| (uid, body.clone()));
        drop(body);
        let caller = Caller {
            connection: POLLS,
            transport: Transport::Http,
            wake: None,
            token: peer.token.clone(),
            takes_over,
        };
        let malformed = incoming.is_err();
        let begun = exchange::begin(&self.room, &caller, incoming);
        let (reply, _) = begun.answer().await;
        if reply.unheard {
            let Some((uid, body)) = unserved else {
                return Err(come_back(&self.room));
            };
            return match forward::pass_on(&self.room, &peer, uid, &body).await {
                Some(bytes) => Ok(forwarded(bytes)),
                None => Err(come_back(&self.room)),
            };
        }
        // a reply that is lost shows as a repetition of the same message, which is offered again
        if let Some(written) = reply.written {
            exchange::written(&self.room, written);
        }
        exchange::measured(started);
        Ok(Answer {
            bytes: reply.bytes,
            malformed,
        })
    }
}

/// What the owner of a session has answered.
fn forwarded(bytes: Bytes) -> Answer {
    Answer {
        bytes,
        malformed: false,
    }
}

/// The message was not heard: it comes again as it is.
fn come_back(room: &Room) -> Later {
    Later(1 + room.entropy.number() % POLL_LATER_SPREAD)
}

/// One WebSocket with the agents that speak over it.
#[derive(Debug)]
pub struct Socket {
    room: Arc<Room>,
    caller: Caller,
    wake: Arc<Wake>,
    carried: BTreeMap<InstanceUid, Arc<Agent>>,
    unwritten: Vec<Written>,
}

impl Socket {
    /// Decodes and handles a message; what is large of it is gone before anything is waited for.
    fn begin(&self, payload: Bytes) -> (Begun, bool) {
        let incoming = frame::decode_websocket(payload).and_then(|incoming| {
            let known = self.carried.contains_key(&incoming.uid);
            if known || self.carried.len() < AGENTS_PER_SOCKET_MAX {
                Ok(incoming)
            } else {
                Err(too_many_agents(incoming.uid))
            }
        });
        let malformed = incoming.is_err();
        (
            exchange::begin(&self.room, &self.caller, incoming),
            malformed,
        )
    }

    async fn push_of(&mut self, uid: InstanceUid) -> Option<Push> {
        let agent = self.carried.get(&uid)?.clone();
        let now_ms = self.room.clock.boot_ms();
        if !self.room.liveness.may_act(now_ms) && !planted::is(Bug::ActsPastLease) {
            // everybody is rung for once it may
            return None;
        }
        let outgoing = agent.next_push(self.caller.connection, now_ms)?;
        // there may be another one behind it
        self.wake.push(uid);
        let transport = self.caller.transport;
        // rare, and too large to be part of every idle socket
        let push = Box::pin(exchange::build(&self.room, &agent, transport, outgoing)).await;
        self.keep(push.written);
        Some(Push::Message(push.bytes))
    }

    fn keep(&mut self, written: Option<Written>) {
        self.unwritten.extend(written);
    }
}

impl AgentConnection for Socket {
    async fn message(&mut self, payload: Bytes) -> Answer {
        let started = SystemClock.micros();
        let (begun, malformed) = self.begin(payload);
        let (reply, agent) = begun.answer().await;
        if let Some(agent) = agent {
            if agent.with(|state| state.connected) {
                self.carried.insert(agent.uid, agent);
            } else {
                // it said goodbye: its place on the socket is another's
                self.carried.remove(&agent.uid);
            }
        }
        self.keep(reply.written);
        exchange::measured(started);
        Answer {
            bytes: reply.bytes,
            malformed,
        }
    }

    fn has_push(&self) -> bool {
        self.wake.is_rung()
    }

    fn poll_push(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wake.poll_rung(cx)
    }

    async fn next_push(&mut self) -> Option<Push> {
        match self.wake.take()? {
            Call::Revoked => Some(Push::Close {
                code: POLICY,
                reason: "the enrollment token was revoked",
            }),
            Call::Detached(uid) => {
                self.carried.remove(&uid);
                self.carried.is_empty().then_some(Push::Close {
                    code: POLICY,
                    reason: "the agent was forgotten",
                })
            }
            Call::Ping => Some(Push::Ping),
            Call::Agent(uid) => self.push_of(uid).await,
        }
    }

    fn written(&mut self) {
        for written in self.unwritten.drain(..) {
            exchange::written(&self.room, written);
        }
    }

    fn pong(&mut self) {
        for agent in self.carried.values() {
            self.room.sign_of_life(agent, self.caller.connection);
        }
        if self.carried.len() == 1
            && let Some(agent) = self.carried.values().next()
        {
            identity::pong(&self.room, &self.caller, agent);
        }
    }

    async fn closed(mut self, how: Closed) {
        if let Some(token) = &self.caller.token {
            // the key counts from 1, connections from 0
            let connection = self.caller.connection.0 - 1;
            self.room.sockets.remove(token, connection);
        }
        for uid in self.wake.take_detached() {
            self.carried.remove(&uid);
        }
        let reason = match how {
            Closed::Draining => ReleaseReason::Drained,
            Closed::ByPeer
            | Closed::Lost
            | Closed::Silent
            | Closed::SlowReader
            | Closed::Violation
            | Closed::ByUs => ReleaseReason::Lost,
        };
        for agent in self.carried.values() {
            self.room.leave(agent, self.caller.connection, reason);
        }
        self.room
            .aliases
            .lock()
            .connection_gone(self.caller.connection);
    }
}

/// The answer to an agent that is one too many for its socket: the others go on.
fn too_many_agents(uid: InstanceUid) -> Box<Malformed> {
    Box::new(Malformed {
        reason: Reason::Uid,
        detail: None,
        reply: Box::new(frame::refusal(
            Bytes::copy_from_slice(uid.as_bytes()),
            wire::ServerErrorResponseType::BadRequest,
            format!("a socket carries at most {AGENTS_PER_SOCKET_MAX} agents"),
            None,
        )),
    })
}
