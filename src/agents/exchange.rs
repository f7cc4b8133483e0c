//! One message in, one reply out: decode, find the agent, own its session, let the session decide, and
//! carry out what it asks for. The reply to an ordinary message never waits for the log.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ampora_proto::capabilities::agent::REPORTS_HEARTBEAT;
use ampora_proto::capabilities::server::ANNOUNCED;
use ampora_proto::frame::{self, Incoming, Malformed};
use ampora_proto::session::{self, ConnectionKey, Context, Handled, Outgoing, Report, Token};
use ampora_proto::wire;
use ampora_raft::ids::{ConfigHash, InstanceUid};
use ampora_raft::outcome::EnrollmentRefusal;
use ampora_raft::records::{AgentUpdate, ReleaseReason, Transport};
use bytes::Bytes;
use prost::Message as _;

use super::agent::Agent;
use super::claims::Entered;
use super::enrollment::{self, Turned};
use super::identity::{self, Route};
use super::room::Room;
use super::wake::Wake;
use super::{convert, delivery, notes};
use crate::clock::SystemClock;
use crate::telemetry::frames::{self, Kind, Rejected};
use crate::telemetry::names;

/// How long an agent that is one too many should wait: the protocol's recommended minimum (C-304).
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// What an agent hears when there are as many as may be.
pub const AGENTS_MAX: &str = "the cluster has as many agents as it may (agents.max)";

/// Who brings a message.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The socket, or all polls.
    pub connection: ConnectionKey,
    /// The transport.
    pub transport: Transport,
    /// The bell of the socket.
    pub wake: Option<Arc<Wake>>,
    /// The id of the enrollment token that it came with; none where none is asked for.
    pub token: Option<Arc<str>>,
    /// Whether it takes the session from another live node: a socket does, a poll only if that node did not answer it.
    pub takes_over: bool,
}

/// A reply or a push, with what is to be done once it was handed to the transport.
#[derive(Debug)]
pub struct Message {
    /// The bytes, framed for the transport.
    pub bytes: Bytes,
    /// What its writing means.
    pub written: Option<Written>,
    /// Nobody has heard the message: another node took the session while this one asked for it.
    pub unheard: bool,
}

/// What the writing of a message means.
#[derive(Debug)]
pub struct Written {
    agent: Arc<Agent>,
    offer: Option<[u8; 32]>,
    marks: Vec<Token>,
}

/// The answer to a message, and the agent when it may be served.
pub type Answered = (Message, Option<Arc<Agent>>);

/// A message that is answered, or what its answer waits for. What waits is boxed: it is rare, and its state
/// would otherwise be part of every idle socket.
pub enum Begun {
    /// Nearly every message.
    Answered(Answered),
    /// The session, a delivery, or the body of an offer comes first.
    Waits(Pin<Box<dyn Future<Output = Answered> + Send>>),
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(answered) => f.debug_tuple("Answered").field(answered).finish(),
            Self::Waits(_) => f.write_str("Waits"),
        }
    }
}

impl Begun {
    fn now(message: Message, agent: Option<Arc<Agent>>) -> Self {
        Self::Answered((message, agent))
    }

    /// The answer, when it is there.
    pub async fn answer(self) -> Answered {
        match self {
            Self::Answered(answered) => answered,
            Self::Waits(answer) => answer.await,
        }
    }
}

/// Handles one message.
pub fn begin(
    room: &Arc<Room>,
    caller: &Caller,
    incoming: Result<Incoming, Box<Malformed>>,
) -> Begun {
    let incoming = match incoming {
        Ok(incoming) => incoming,
        Err(malformed) => {
            frames::rejected(Rejected::Malformed);
            tracing::debug!(reason = %malformed, connection = caller.connection.0, "malformed message");
            return Begun::now(encode(caller.transport, &malformed.reply), None);
        }
    };
    let kind = kind(&incoming.message);
    frames::received(kind);
    let (agent, new_uid) = match identity::route(room, caller, &incoming) {
        Route::Serve(agent, new_uid) => (agent, new_uid),
        Route::Bystander => {
            return Begun::now(encode(caller.transport, &plain(incoming.uid)), None);
        }
        Route::Foreign => {
            let away = Turned::Away(EnrollmentRefusal::Foreign);
            let reply = enrollment::answer(room, incoming.uid, away);
            return Begun::now(encode(caller.transport, &reply), None);
        }
    };
    let waits = !agent.with(|state| state.fence.is_some())
        || !enrollment::is_enrolled(room, caller, agent.uid)
        || caller.transport == Transport::Http && delivery::is_waiting(room, agent.uid);
    if !waits && let Ok(_turn) = agent.turn.try_lock() {
        heard(room, &agent, caller, kind);
        let concluded = speak(room, &agent, caller, new_uid, incoming);
        return match concluded {
            Ok(message) => Begun::now(message, Some(agent.clone())),
            Err(outgoing) => {
                let (room, agent, transport) = (room.clone(), agent.clone(), caller.transport);
                Begun::Waits(Box::pin(async move {
                    let message = build(&room, &agent, transport, *outgoing).await;
                    (message, Some(agent))
                }))
            }
        };
    }
    let (room, caller) = (room.clone(), caller.clone());
    Begun::Waits(Box::pin(async move {
        handle(&room, &caller, agent, new_uid, incoming, kind).await
    }))
}

/// Handles one message that has to wait: for its turn, its session, or the log.
async fn handle(
    room: &Arc<Room>,
    caller: &Caller,
    agent: Arc<Agent>,
    new_uid: Option<InstanceUid>,
    incoming: Incoming,
    kind: Kind,
) -> Answered {
    let uid = incoming.uid;
    let _turn = agent.turn.lock().await;
    heard(room, &agent, caller, kind);
    if let Err(turned) = enrollment::enroll(room, caller, agent.uid).await {
        room.leave(&agent, caller.connection, ReleaseReason::Lost);
        let reply = enrollment::answer(room, uid, turned);
        return (encode(caller.transport, &reply), None);
    }
    match room
        .enter(&agent, caller.transport, caller.takes_over)
        .await
    {
        Entered::Owned(_) => {}
        Entered::Refused => {
            frames::rejected(Rejected::Overload);
            room.leave(&agent, caller.connection, ReleaseReason::Lost);
            let reply = unavailable(room, uid, AGENTS_MAX);
            return (encode(caller.transport, &reply), None);
        }
        // the poll of before was another node's, which this one did not know yet
        Entered::NotYet
            if caller.transport == Transport::Http && room.owned_elsewhere(agent.uid).is_some() =>
        {
            room.leave(&agent, caller.connection, ReleaseReason::Lost);
            let unheard = Message {
                unheard: true,
                ..encode(caller.transport, &plain(uid))
            };
            return (unheard, None);
        }
        Entered::NotYet => {}
    }
    if caller.transport == Transport::Http {
        delivery::hand_over(room, agent.uid).await;
    }
    let message = match speak(room, &agent, caller, new_uid, incoming) {
        Ok(message) => message,
        Err(outgoing) => build(room, &agent, caller.transport, *outgoing).await,
    };
    (message, Some(agent.clone()))
}

/// Lets the session speak and carries out what it asks for; an error is a reply whose offer has to be fetched.
fn speak(
    room: &Arc<Room>,
    agent: &Arc<Agent>,
    caller: &Caller,
    new_uid: Option<InstanceUid>,
    incoming: Incoming,
) -> Result<Message, Box<Outgoing>> {
    prepare_desired(room, agent, &incoming.message);
    let handled = converse(room, agent, caller.connection, new_uid, incoming);
    if let Some(report) = handled.report {
        measure_apply(room, agent, &report);
        let wall_ms = room.clock.wall_ms();
        let (update, encoded) = convert::update(agent.uid, &report, &room.bodies, wall_ms);
        notes::said(room, agent, &report, &update, encoded);
        let now_ms = room.clock.boot_ms();
        room.batches
            .report(agent.uid, update, &room.consensus, now_ms);
    }
    room.evidence.conclude(agent.uid, handled.events);
    if handled.goodbye {
        room.leave(agent, caller.connection, ReleaseReason::Goodbye);
    }
    if handled.reply.offer.is_some() {
        return Err(Box::new(handled.reply));
    }
    Ok(framed(agent, caller.transport, handled.reply, None))
}

/// Notes a sign of life, and whether silence would say something from here on.
fn heard(room: &Room, agent: &Agent, caller: &Caller, kind: Kind) {
    let now_ms = room.clock.boot_ms();
    let wall_ms = room.clock.wall_ms();
    agent.with(|state| {
        state.heard_ms = now_ms;
        state.alive_ms = now_ms;
        state.seen_wall_ms = wall_ms;
        state.empty_messages = state
            .empty_messages
            .saturating_add(u8::from(kind == Kind::Heartbeat));
        state.heartbeats = caller.transport == Transport::Http
            || state.empty_messages >= 2
            || state.session.capabilities() & REPORTS_HEARTBEAT != 0;
    });
}

/// A description may move the agent to another group: the offer then rides in the same reply (C-138).
fn prepare_desired(room: &Room, agent: &Agent, message: &wire::AgentToServer) {
    let Some(description) = &message.agent_description else {
        return;
    };
    let view = room.consensus.view();
    let Some(record) = view.fleet.agent(agent.uid) else {
        return;
    };
    let mut provisional = (**record).clone();
    provisional.description = Arc::new(convert::description(agent.uid, description));
    let desired = view.fleet.desired(&provisional).version;
    agent.with(|state| {
        state
            .session
            .set_desired(desired.map(|version| version.hash.0));
    });
}

fn converse(
    room: &Room,
    agent: &Agent,
    connection: ConnectionKey,
    new_uid: Option<InstanceUid>,
    incoming: Incoming,
) -> Handled {
    let now_ms = room.clock.boot_ms();
    agent.with(|state| {
        if state.asked.is_open() && incoming.message.agent_description.is_some() {
            let set_aside = std::mem::take(&mut state.asked);
            let bytes = incoming.message.encoded_len();
            room.full_states.arrived(set_aside, bytes, now_ms);
        }
        let mut asked = None;
        let mut full_state_allowed = || {
            asked = room.full_states.ask(now_ms);
            if asked.is_none() {
                room.unasked.lock().insert(agent.uid);
            }
            asked.is_some()
        };
        let components_known = |hash: &[u8]| {
            let view = room.consensus.view();
            let record = view.fleet.agent(agent.uid);
            record.is_some_and(|record| {
                record.components.is_some() && record.components_hash.as_deref() == Some(hash)
            })
        };
        let mut context = Context {
            now_ms,
            connection,
            transport: match state.transport {
                Transport::WebSocket => session::Transport::WebSocket,
                Transport::Http => session::Transport::Http,
            },
            new_uid,
            full_state_allowed: &mut full_state_allowed,
            components_known: &components_known,
        };
        let acts = state.fence.is_some() && room.liveness.may_act(now_ms);
        state.session.set_owned(acts);
        let handled = state.session.handle_message(incoming, &mut context);
        if let Some(asked) = asked {
            state.asked = asked;
        }
        room.arm(agent.uid, state.session.poll_timeout());
        handled
    })
}

/// From the writing of an offer to the agent's word that it is in use.
fn measure_apply(room: &Room, agent: &Agent, report: &Report) {
    let Some(status) = &report.remote_config_status else {
        return;
    };
    if status.status() != wire::RemoteConfigStatuses::Applied {
        return;
    }
    let now_ms = room.clock.boot_ms();
    let offered = agent.with(|state| {
        state
            .offered
            .take_if(|(hash, _)| status.last_remote_config_hash[..] == hash[..])
    });
    if let Some((_, written_ms)) = offered {
        let seconds = Duration::from_millis(now_ms.saturating_sub(written_ms)).as_secs_f64();
        let view = room.consensus.view();
        let agent_type = view
            .fleet
            .agent(agent.uid)
            .map(|record| room.agent_types.label(&record.description.agent_type));
        let agent_type = agent_type.unwrap_or_default();
        metrics::histogram!(names::APPLY_DURATION, "agent_type" => agent_type).record(seconds);
    }
}

/// Attaches the body of an offer and frames the message. What cannot be offered is left out: the agent is
/// acknowledged all the same (C-034, C-059).
pub async fn build(
    room: &Arc<Room>,
    agent: &Arc<Agent>,
    transport: Transport,
    outgoing: Outgoing,
) -> Message {
    let mut outgoing = outgoing;
    let mut body = None;
    if let Some(hash) = outgoing.offer {
        match room.offers.get(ConfigHash(hash), &room.consensus).await {
            Ok(encoded) if fits(room, &outgoing.message, &encoded) => body = Some(encoded),
            Ok(encoded) => {
                outgoing.offer = None;
                agent.with(|state| state.session.offer_discarded(hash));
                metrics::counter!(names::OFFERS_DISCARDED, "reason" => "oversize").increment(1);
                tracing::warn!(
                    agent.id = %agent.uid,
                    offer_bytes = encoded.len(),
                    limit_bytes = room.settings.message_bytes_max,
                    "an offer is larger than a message may be and was not sent"
                );
            }
            Err(error) => {
                outgoing.offer = None;
                metrics::counter!(names::OFFERS_DISCARDED, "reason" => "unreadable").increment(1);
                tracing::error!(agent.id = %agent.uid, error = ?error, "an offer could not be made");
            }
        }
    }
    framed(agent, transport, outgoing, body.as_ref())
}

/// A message in the frame of its transport, with what its writing means.
fn framed(
    agent: &Arc<Agent>,
    transport: Transport,
    outgoing: Outgoing,
    body: Option<&Bytes>,
) -> Message {
    let bytes = match transport {
        Transport::WebSocket => frame::encode_websocket(&outgoing.message, body),
        Transport::Http => frame::encode_http(&outgoing.message, body),
    };
    let means = outgoing.offer.is_some() || !outgoing.marks.is_empty();
    let written = means.then(|| Written {
        agent: agent.clone(),
        offer: outgoing.offer,
        marks: outgoing.marks,
    });
    Message {
        bytes,
        written,
        unheard: false,
    }
}

fn fits(room: &Room, message: &wire::ServerToAgent, offer: &Bytes) -> bool {
    frame::encoded_len(message, Some(offer)) <= room.settings.message_bytes_max
}

/// A message was handed to its transport in full.
pub fn written(room: &Room, written: Written) {
    let now_ms = room.clock.boot_ms();
    let agent = &written.agent;
    agent.with(|state| {
        state.session.written(written.offer, &written.marks, now_ms);
        if let Some(hash) = written.offer {
            state.offered = Some((hash, now_ms));
        }
        room.arm(agent.uid, state.session.poll_timeout());
    });
    let Some(hash) = written.offer else { return };
    let update = AgentUpdate {
        sent_hash: Some(ConfigHash(hash)),
        ..AgentUpdate::default()
    };
    room.batches
        .report(agent.uid, update, &room.consensus, now_ms);
}

/// The smallest whole answer, for who is acknowledged and nothing more.
fn plain(uid: InstanceUid) -> wire::ServerToAgent {
    wire::ServerToAgent {
        instance_uid: Bytes::copy_from_slice(uid.as_bytes()),
        capabilities: ANNOUNCED,
        ..wire::ServerToAgent::default()
    }
}

/// A message without an offer.
fn encode(transport: Transport, reply: &wire::ServerToAgent) -> Message {
    let bytes = match transport {
        Transport::WebSocket => frame::encode_websocket(reply, None),
        Transport::Http => frame::encode_http(reply, None),
    };
    Message {
        bytes,
        written: None,
        unheard: false,
    }
}

/// The refusal of an agent that is one too many; spread, so that a refused fleet does not return at once.
pub fn unavailable(room: &Room, uid: InstanceUid, text: &str) -> wire::ServerToAgent {
    let spread = Duration::from_millis(room.entropy.number() % 30_000);
    let retry_after = u64::try_from((REFUSED_RETRY + spread).as_nanos()).unwrap_or(u64::MAX);
    frame::refusal(
        Bytes::copy_from_slice(uid.as_bytes()),
        wire::ServerErrorResponseType::Unavailable,
        text.to_owned(),
        Some(retry_after),
    )
}

/// What a message carries, for the counter: the most telling part.
fn kind(message: &wire::AgentToServer) -> Kind {
    if message.agent_disconnect.is_some() {
        Kind::Disconnect
    } else if message.agent_description.is_some() {
        Kind::Description
    } else if message.remote_config_status.is_some() {
        Kind::ConfigStatus
    } else if message.effective_config.is_some() {
        Kind::EffectiveConfig
    } else if message.health.is_some() {
        Kind::Health
    } else if message.package_statuses.is_some() {
        Kind::PackageStatuses
    } else if message.available_components.is_some() {
        Kind::Components
    } else if message.custom_message.is_some() || message.custom_capabilities.is_some() {
        Kind::Custom
    } else if message.connection_settings_request.is_some()
        || message.connection_settings_status.is_some()
    {
        Kind::ConnectionSettings
    } else {
        Kind::Heartbeat
    }
}

/// One message was handled: from its arrival to its reply.
pub fn measured(started: u64) {
    frames::answered(SystemClock.elapsed(started));
}
