//! One agent on the node that serves it: its session, who holds its uid, where pushes go, and under which
//! fence this node acts. The lock is never held across an await.

use std::sync::Arc;

use ampora_proto::identity::Holder;
use ampora_proto::session::{ConnectionKey, Event, Outgoing, Refused, Session, Token};
use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::records::Transport;
use parking_lot::Mutex;

use super::full_states::SetAside;
use super::notes::Words;
use super::wake::Wake;

/// An agent that is served here.
#[derive(Debug)]
pub struct Agent {
    /// The key.
    pub uid: InstanceUid,
    /// One exchange at a time: copies of a poll that overlap are answered one after the other (C-049).
    pub turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    /// The conversation.
    pub session: Session,
    /// Which connection may use the uid.
    pub holder: Holder,
    /// Under which fence this node owns the session; none while the claim is on its way.
    pub fence: Option<Fence>,
    /// A claim is on its way to the log.
    pub claiming: bool,
    /// The session knows what a record holds: when the record is gone, the agent must say it again.
    pub recorded: bool,
    /// Where the agent speaks from; none while there is no transport.
    pub link: Option<Link>,
    /// The offer that was written last and its boot time, until the agent says that it is applied.
    pub offered: Option<([u8; 32], u64)>,
    /// The enrollment token that it came with last.
    pub token: Option<Arc<str>>,
    /// How the agent came last.
    pub transport: Transport,
    /// Whether a transport is up, or polls come.
    pub connected: bool,
    /// The socket over which it spoke until another node took the session; somebody may go on speaking there.
    pub displaced: Option<ConnectionKey>,
    /// Boot time of the last sign of life.
    pub heard_ms: u64,
    /// Boot time at which the connection was last seen to be alive, by a message or a pong.
    pub alive_ms: u64,
    /// Wall time of the last message, for people.
    pub seen_wall_ms: u64,
    /// Whether silence says something: heartbeats are announced, polled, or were seen twice.
    pub heartbeats: bool,
    /// Messages without content on this connection.
    pub empty_messages: u8,
    /// What was set aside for the full state that the agent was asked for.
    pub asked: SetAside,
    /// What history has heard of it last.
    pub words: Words,
}

/// Where an agent speaks from: a socket, or polls.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which one; all polls are one.
    pub connection: ConnectionKey,
    /// How a socket's task is told that there is something to write; none for polls.
    pub wake: Option<Arc<Wake>>,
}

/// The key under which all polls of an agent stand.
pub const POLLS: ConnectionKey = ConnectionKey(0);

/// The key of a connection to another node.
pub const ELSEWHERE: ConnectionKey = ConnectionKey(u64::MAX);

impl Agent {
    /// An agent that was not served here before.
    pub fn new(uid: InstanceUid, session: Session, transport: Transport) -> Self {
        Self {
            uid,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                session,
                holder: Holder::default(),
                fence: None,
                claiming: false,
                recorded: false,
                link: None,
                offered: None,
                token: None,
                transport,
                connected: false,
                displaced: None,
                heard_ms: 0,
                alive_ms: 0,
                seen_wall_ms: 0,
                heartbeats: false,
                empty_messages: 0,
                asked: SetAside::default(),
                words: Words::default(),
            }),
        }
    }

    /// Runs `f` on the state.
    pub fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        f(&mut state)
    }

    /// Tells the socket's task that this agent may have something to write.
    pub fn wake(&self) {
        let wake = {
            let state = self.state.lock();
            state.link.as_ref().and_then(|link| link.wake.clone())
        };
        if let Some(wake) = wake {
            wake.push(self.uid);
        }
    }

    /// The fence under which commands may be given; none without an owned session or a transport.
    pub fn acting_fence(&self) -> Option<Fence> {
        let state = self.state.lock();
        state.fence.filter(|_| state.connected)
    }

    /// Queues a restart that is already marked as sent.
    ///
    /// # Errors
    /// When the agent does not take it, or its mailbox is full.
    pub fn restart(&self, token: Token) -> Result<(), Refused> {
        self.state.lock().session.restart(token)?;
        self.wake();
        Ok(())
    }

    /// Queues a custom message that is already marked as sent.
    ///
    /// # Errors
    /// When the agent does not understand it, or its mailbox is full.
    pub fn custom_message(
        &self,
        token: Token,
        message: ampora_proto::wire::CustomMessage,
    ) -> Result<(), Refused> {
        self.state.lock().session.custom_message(token, message)?;
        self.wake();
        Ok(())
    }

    /// Whether the mailbox takes one more custom message.
    pub fn has_room_for_message(&self) -> bool {
        self.state.lock().session.has_room_for_message()
    }

    /// Offers the desired configuration again.
    ///
    /// # Errors
    /// When the agent cannot take one, none is desired, or its mailbox is full.
    pub fn push_config(&self, token: Token) -> Result<(), Refused> {
        self.state.lock().session.push_config(token)?;
        self.wake();
        Ok(())
    }

    /// A version that failed on the agent gets another chance.
    pub fn forget_failure(&self, hash: [u8; 32]) {
        self.state.lock().session.forget_failure(hash);
        self.wake();
    }

    /// Sets what the agent should run.
    pub fn set_desired(&self, desired: Option<[u8; 32]>) {
        self.state.lock().session.set_desired(desired);
        self.wake();
    }

    /// Takes the next server-initiated message for the socket `connection`.
    pub fn next_push(&self, connection: ConnectionKey, now_ms: u64) -> Option<Outgoing> {
        let mut state = self.state.lock();
        let here = state
            .link
            .as_ref()
            .is_some_and(|link| link.connection == connection);
        let is_owned = state.fence.is_some();
        state.session.set_owned(is_owned);
        here.then(|| state.session.next_push(now_ms)).flatten()
    }

    /// Lets time pass for the session.
    pub fn handle_timeout(&self, now_ms: u64) -> (Vec<Event>, Option<u64>) {
        let mut state = self.state.lock();
        let events = state.session.handle_timeout(now_ms);
        let next = state.session.poll_timeout();
        drop(state);
        self.wake();
        (events, next)
    }
}
