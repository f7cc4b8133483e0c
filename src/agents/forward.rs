//! Plain-HTTP exchanges that reach another node than the one that owns the session.
//!
//! They are handed to the owner in one hop, so that one agent keeps one session, one sequence and one offer behind any
//! load balancer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_proto::frame;
use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_raft::records::{Session, Transport};
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::agent::POLLS;
use super::exchange::{self, Caller};
use super::room::Room;
use crate::opamp::Peer;
use crate::peer::{Exchange, Exchanged, Peers, Seen};
use crate::telemetry::names;

/// How long the owner of a session has to answer an exchange that another node heard.
const WITHIN: Duration = Duration::from_millis(400);

/// It was answered.
const OK: u16 = 200;
/// The message is malformed.
const BAD_REQUEST: u16 = 400;
/// Another node owns the session, and this one does not ask it: one hop is all.
const MISDIRECTED: u16 = 421;

/// Other nodes, as far as serving agents needs them.
pub trait Elsewhere: Send + Sync + 'static {
    /// Hands an exchange to the owner of the session.
    ///
    /// # Errors
    /// It was not answered.
    fn exchange(
        &self,
        node: NodeId,
        exchange: Exchange,
        within: Duration,
    ) -> BoxFuture<'_, io::Result<Exchanged>>;

    /// Asks when agents were heard last.
    ///
    /// # Errors
    /// It was not answered.
    fn last_seen(
        &self,
        node: NodeId,
        uids: Vec<InstanceUid>,
        within: Duration,
    ) -> BoxFuture<'_, io::Result<Vec<Option<Seen>>>>;
}

impl Elsewhere for Peers {
    fn exchange(
        &self,
        node: NodeId,
        exchange: Exchange,
        within: Duration,
    ) -> BoxFuture<'_, io::Result<Exchanged>> {
        Box::pin(Peers::exchange(self, node, exchange, within))
    }

    fn last_seen(
        &self,
        node: NodeId,
        uids: Vec<InstanceUid>,
        within: Duration,
    ) -> BoxFuture<'_, io::Result<Vec<Option<Seen>>>> {
        Box::pin(Peers::last_seen(self, node, uids, within))
    }
}

/// What becomes of a poll before this node serves it.
#[derive(Debug)]
pub(super) enum Heard {
    /// The session is this node's, or becomes it.
    Here,
    /// The owner has not answered: the session becomes this node's.
    Unanswered,
    /// The owner has answered.
    Answered(Bytes),
    /// The owner does not answer, and the session was taken from somebody a moment ago: the agent comes back.
    Later,
}

/// Hands a poll to the owner of the session, if that is another node.
pub(super) async fn hear(room: &Room, peer: &Peer, uid: InstanceUid, body: &Bytes) -> Heard {
    let Some(owner) = owner(room, uid) else {
        return Heard::Here;
    };
    let (outcome, heard) = match ask(room, owner.node, peer, body).await {
        Some(bytes) => ("answered", Heard::Answered(bytes)),
        // it is claimed here instead, but not with every poll
        None if !room.takeovers.is_recent(uid, room.clock.boot_ms()) => {
            ("claimed", Heard::Unanswered)
        }
        None => ("refused", Heard::Later),
    };
    metrics::counter!(names::POLLS_FORWARDED, "outcome" => outcome).increment(1);
    heard
}

/// Hands a poll to the node that took the session while this one asked for it.
pub(super) async fn pass_on(
    room: &Room,
    peer: &Peer,
    uid: InstanceUid,
    body: &Bytes,
) -> Option<Bytes> {
    let owner = room.owned_elsewhere(uid)?;
    let answered = ask(room, owner.node, peer, body).await;
    let outcome = if answered.is_some() {
        "answered"
    } else {
        "refused"
    };
    metrics::counter!(names::POLLS_FORWARDED, "outcome" => outcome).increment(1);
    answered
}

/// Whether this node owns the session.
pub(super) fn is_here(room: &Room, uid: InstanceUid) -> bool {
    let served = room.registry.get(uid);
    served.is_some_and(|agent| agent.with(|state| state.fence.is_some()))
}

fn owner(room: &Room, uid: InstanceUid) -> Option<Session> {
    if is_here(room, uid) {
        return None;
    }
    room.owned_elsewhere(uid)
}

async fn ask(room: &Room, owner: NodeId, peer: &Peer, body: &Bytes) -> Option<Bytes> {
    let elsewhere = room.elsewhere.get()?;
    let exchange = Exchange {
        client: peer.client,
        token: peer.token.clone(),
        headers: Vec::new(),
        body: body.clone(),
    };
    let asked = elsewhere.exchange(owner, exchange, WITHIN);
    match tokio::time::timeout(WITHIN, asked).await {
        Ok(Ok(answer)) if answer.status == OK => Some(answer.body),
        Ok(Ok(answer)) => {
            tracing::debug!(
                peer.id = owner.0,
                status = answer.status,
                "the owner did not serve a poll"
            );
            None
        }
        Ok(Err(error)) => {
            tracing::debug!(peer.id = owner.0, %error, "the owner did not answer a poll");
            None
        }
        Err(_elapsed) => None,
    }
}

/// Answers a poll that another node heard, if the session is this one's.
pub async fn answer(room: &Arc<Room>, asked: Exchange) -> Exchanged {
    let without = |status| Exchanged {
        status,
        headers: Vec::new(),
        body: Bytes::new(),
    };
    let Ok(incoming) = frame::decode_http(asked.body) else {
        return without(BAD_REQUEST);
    };
    let Some(agent) = room.registry.get(incoming.uid) else {
        return without(MISDIRECTED);
    };
    if !is_here(room, agent.uid) {
        // the other node may know sooner than this one that the claim of the first message was granted
        drop(agent.turn.lock().await);
    }
    if !is_here(room, agent.uid) {
        return without(MISDIRECTED);
    }
    let caller = Caller {
        connection: POLLS,
        transport: Transport::Http,
        wake: None,
        token: asked.token,
        takes_over: false,
    };
    let begun = exchange::begin(room, &caller, Ok(incoming));
    let (reply, _) = begun.answer().await;
    if reply.unheard {
        return without(MISDIRECTED);
    }
    if let Some(written) = reply.written {
        exchange::written(room, written);
    }
    Exchanged {
        body: reply.bytes,
        ..without(OK)
    }
}

#[cfg(test)]
mod tests;
