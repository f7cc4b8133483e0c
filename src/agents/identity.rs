//! Under which uid a message is served, and which connection holds that uid. The decisions are those of
//! `ampora_proto::identity`; this file gives them connections, time and chance, and moves the link.

use std::sync::Arc;

use ampora_proto::attributes;
use ampora_proto::frame::Incoming;
use ampora_proto::identity::{Scope, Sender, Verdict, uuid_v7};
use ampora_proto::session::ConnectionKey;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::Transport;

use super::agent::{Agent, Link, POLLS, State};
use super::claims::is_elsewhere;
use super::enrollment;
use super::exchange::Caller;
use super::room::Room;

/// `AgentToServer.flags`: the agent asks for a uid (C-065).
const REQUEST_INSTANCE_UID: u64 = 0x1;

/// How a message is to be treated.
#[derive(Debug)]
pub enum Route {
    /// Served as this agent; the uid to hand out with the reply, if any.
    Serve(Arc<Agent>, Option<InstanceUid>),
    /// Answered plainly: another connection holds the uid, and nothing of this one counts.
    Bystander,
    /// Refused: the uid belongs to an agent that came with another enrollment token.
    Foreign,
}

/// Finds the agent that a message is served as, and makes its connection the one that speaks for it.
pub fn route(room: &Room, caller: &Caller, incoming: &Incoming) -> Route {
    let asks = incoming.message.flags & REQUEST_INSTANCE_UID != 0;
    if enrollment::is_foreign(room, caller, incoming.uid) {
        return Route::Foreign;
    }
    if let Some(new) = alias(room, caller, incoming.uid, asks) {
        // the uid that was given out for this one has an owner as well
        if enrollment::is_foreign(room, caller, new) {
            return Route::Foreign;
        }
        if asks && room.consensus.view().fleet.agent(incoming.uid).is_some() {
            room.rename(incoming.uid, new);
        }
        let (agent, _) = judge(room, caller, incoming, new);
        return Route::Serve(agent, Some(new));
    }
    let (agent, verdict) = judge(room, caller, incoming, incoming.uid);
    match verdict {
        Verdict::Serve | Verdict::TakeOver { .. } | Verdict::Keep { .. } => {
            Route::Serve(agent, None)
        }
        Verdict::Bystander => Route::Bystander,
        Verdict::NewUid { fingerprint } => {
            let new = issue(room, incoming.uid, caller.connection, Some(fingerprint));
            let (agent, _) = judge(room, caller, incoming, new);
            Route::Serve(agent, Some(new))
        }
    }
}

/// A pong over a socket that carries this agent alone: the holder of the uid may be alive after all.
pub fn pong(room: &Arc<Room>, caller: &Caller, agent: &Arc<Agent>) {
    let now_ms = room.clock.boot_ms();
    let verdict = agent.with(|state| {
        let verdict = state.holder.pong(caller.connection, now_ms);
        if matches!(verdict, Some(Verdict::Keep { .. })) {
            link(state, caller);
        }
        verdict
    });
    if let Some(Verdict::Keep {
        newcomer,
        fingerprint,
    }) = verdict
    {
        if is_elsewhere(newcomer) {
            room.claim_soon(agent);
        } else {
            issue(room, agent.uid, newcomer, fingerprint);
        }
    }
}

/// The uid that was given out for `old`, or is given now because the agent asks for one.
fn alias(room: &Room, caller: &Caller, old: InstanceUid, asks: bool) -> Option<InstanceUid> {
    let now_ms = room.clock.boot_ms();
    let mut aliases = room.aliases.lock();
    if asks {
        let fresh = fresh(room);
        return Some(aliases.issue(&[Scope::Anywhere], old, fresh, now_ms));
    }
    if aliases.is_empty() {
        return None;
    }
    aliases.resolve(caller.connection, old, now_ms)
}

/// Gives somebody who may not use `old` a uid of its own.
pub(super) fn issue(
    room: &Room,
    old: InstanceUid,
    connection: ConnectionKey,
    fingerprint: Option<u64>,
) -> InstanceUid {
    let mut scopes = Vec::new();
    // all polls share one key: they are told apart by their descriptions alone
    if connection != POLLS {
        scopes.push(Scope::Connection(connection));
    }
    scopes.extend(fingerprint.map(Scope::Description));
    let fresh = fresh(room);
    let now_ms = room.clock.boot_ms();
    let new = room.aliases.lock().issue(&scopes, old, fresh, now_ms);
    tracing::warn!(agent.id = %old, new.id = %new, "two live agents use one uid: the newcomer gets another");
    new
}

fn fresh(room: &Room) -> InstanceUid {
    uuid_v7(room.clock.wall_ms(), room.entropy.bytes())
}

/// Judges who may use the uid, and moves the link to the connection that may.
fn judge(
    room: &Room,
    caller: &Caller,
    incoming: &Incoming,
    uid: InstanceUid,
) -> (Arc<Agent>, Verdict) {
    let now_ms = room.clock.boot_ms();
    let description = incoming.message.agent_description.as_ref();
    let fingerprint =
        description.map(|reported| attributes::fingerprint(&attributes::merged(reported)));
    let sequence = incoming.message.sequence_num;
    let judged = |state: &mut State| {
        let last = state.session.last_sequence();
        let sender = Sender {
            connection: caller.connection,
            fingerprint,
            sequence_broken: last.is_some_and(|last| last.checked_add(1) != Some(sequence)),
        };
        let verdict = state.holder.message(sender, now_ms);
        match verdict {
            Verdict::Serve | Verdict::TakeOver { .. } | Verdict::Keep { .. } => {
                link(state, caller);
            }
            Verdict::Bystander | Verdict::NewUid { .. } => {}
        }
        verdict
    };
    let (agent, verdict) = room.with_agent(uid, caller.transport, judged);
    if let Verdict::Keep {
        newcomer,
        fingerprint,
    } = verdict
        && !is_elsewhere(newcomer)
    {
        issue(room, uid, newcomer, fingerprint);
    }
    (agent, verdict)
}

fn link(state: &mut State, caller: &Caller) {
    let same = state
        .link
        .as_ref()
        .is_some_and(|link| link.connection == caller.connection);
    if !same {
        state.empty_messages = 0;
        state.link = Some(Link {
            connection: caller.connection,
            wake: caller.wake.clone(),
        });
    }
    state
        .displaced
        .take_if(|displaced| *displaced == caller.connection);
    state.token.clone_from(&caller.token);
    state.transport = caller.transport;
    state.connected = true;
    if caller.transport == Transport::Http {
        state.heartbeats = true;
    }
}
