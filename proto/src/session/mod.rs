//! The conversation with one agent, as a value. A message goes in with the time, exactly one reply comes out, and
//! what else must happen is data.
//!
//! It knows no socket, no log and no clock; who owns the agent and what it should run are told to it.
//!
//! ```text
//! message ─▶ handle_message ─▶ reply · report · events          set_owned, set_desired, restart,
//!            next_push ──────▶ server-initiated message          push_config ─▶ (no output, ask next_push)
//!            written ◀──────── what left this node whole         poll_timeout ─▶ handle_timeout ─▶ events
//! ```
//!
//! After anything that returns nothing, ask [`Session::next_push`] until it has nothing.

mod errands;
mod instructions;
mod offers;
mod outgoing;
mod report;
mod sequence;

use bytes::Bytes;

use crate::InstanceUid;
use crate::capabilities::agent;
use crate::frame::Incoming;
use crate::wire;

pub use errands::{OUTSTANDING_MAX, PUSH_CONFIRM_MS, RESTART_CONFIRM_MS, Refused, Token};
pub use offers::{OFFER_RETRY_FIRST_MS, OFFER_RETRY_MAX_MS};
pub use outgoing::{Event, Handled, Outgoing};
pub use report::Report;
pub use sequence::{FULL_STATE_FIRST_MS, FULL_STATE_MAX_MS};

use errands::Errands;
use offers::Offers;
use sequence::{Step, Stream};

/// Tells one connection of an agent from the next; plain HTTP has one for all polls of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// How an agent reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A socket that stays open: messages may leave at any time.
    WebSocket,
    /// Polls: messages leave as replies only.
    Http,
}

/// What was known of the agent before this session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// There is a record.
    pub known: bool,
    /// The last sequence number, when the session before ended cleanly (C-101).
    pub last_sequence: Option<u64>,
    /// The last capability bits other than 0.
    pub capabilities: u64,
    /// The record has a description.
    pub has_description: bool,
    /// The hash that the agent reported last, as bytes of any length.
    pub reported_hash: Option<Bytes>,
    /// The status that came with it.
    pub status: wire::RemoteConfigStatuses,
    /// The hash that failed on this agent and is not to be offered again (C-131).
    pub failed_hash: Option<[u8; 32]>,
    /// The last offer that was written to it (C-124).
    pub sent_hash: Option<[u8; 32]>,
    /// The custom capabilities that it announced last (C-246).
    pub custom_capabilities: Vec<String>,
}

/// What surrounds one message.
pub struct Context<'a> {
    /// The node's steady clock, ms.
    pub now_ms: u64,
    /// Where the message came from.
    pub connection: ConnectionKey,
    /// How.
    pub transport: Transport,
    /// A new identity to hand out with the reply (C-065, C-274).
    pub new_uid: Option<InstanceUid>,
    /// Takes one full-state request from the node's budget (C-310); asked only when one is needed.
    pub full_state_allowed: &'a mut dyn FnMut() -> bool,
    /// Whether the component list of this agent-made hash is at hand (C-257).
    pub components_known: &'a dyn Fn(&[u8]) -> bool,
}

/// The conversation with one agent on the node that serves it.
#[derive(Debug)]
pub struct Session {
    /// As the agent signs its messages: after a new identity was handed out still the old one (C-064).
    uid: InstanceUid,
    capabilities: u64,
    /// The connection of the newest message; stays for comparison when it is gone.
    connection: Option<ConnectionKey>,
    transport: Transport,
    /// The connection is there and the agent has not said goodbye on it.
    attached: bool,
    owned: bool,
    /// The reply to the newest message carried an offer: a repetition of that message gets it again.
    reply_offered: bool,
    /// The full state was asked for, and the request is to be pushed.
    full_state_due: bool,
    /// Digest of the component hash that was asked for on this connection (C-257).
    components_asked: Option<u64>,
    /// Custom messages that the agent understands; most agents never announce any.
    #[expect(
        clippy::box_collection,
        reason = "eight bytes of an idle session, not twenty-four"
    )]
    custom_capabilities: Option<Box<Vec<String>>>,
    stream: Stream,
    offers: Offers,
    /// Commands, pushes and what is watched for them; most agents never have any.
    errands: Option<Box<Errands>>,
}

impl Session {
    /// Begins with what is known. It is not owned, and nothing is desired, until told.
    pub fn new(uid: InstanceUid, known: &Known) -> Self {
        Self {
            uid,
            capabilities: known.capabilities,
            connection: None,
            transport: Transport::WebSocket,
            attached: false,
            owned: false,
            full_state_due: false,
            reply_offered: false,
            components_asked: None,
            custom_capabilities: boxed(&known.custom_capabilities),
            stream: Stream::new(known),
            offers: Offers::new(known),
            errands: None,
        }
    }

    /// Takes one message and answers it (C-083). A byte-identical repetition is answered and otherwise
    /// ignored (C-295, C-296).
    pub fn handle_message(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Handled {
        let Incoming {
            uid,
            mut message,
            digest,
        } = incoming;
        let mut events = Vec::new();
        self.uid = uid;
        let reconnected = self.attach(context);

        if message.capabilities != 0 && message.capabilities != self.capabilities {
            self.change_capabilities(message.capabilities);
        } else {
            message.capabilities = 0;
        }
        let complete = report::is_complete(&message, self.capabilities);
        let described = message.agent_description.is_some();
        let step = self
            .stream
            .step(message.sequence_num, digest, described, complete);
        if step == Step::Gap {
            events.push(Event::GapSeen);
        }
        if reconnected || step == Step::Restart {
            self.offers.agent_began_anew();
            if let Some(errands) = &mut self.errands {
                errands.agent_came_back();
            }
        }

        let instance_uid = std::mem::take(&mut message.instance_uid);
        let goodbye = message.agent_disconnect.is_some();
        let repeated = step == Step::Repeat;
        let components = self.wants_components(&message, context);
        let report = if repeated {
            None
        } else {
            self.take_in(message)
        };
        // Goodbye counts last: what came with it is processed as ever (C-264).
        self.attached = !goodbye;
        let reply = self.reply(instance_uid, repeated, components, context, &mut events);
        self.drain_events(&mut events);
        Handled {
            reply,
            report,
            goodbye: goodbye && !repeated,
            events,
        }
    }

    /// A server-initiated message, over WebSocket only; commands come before offers, each alone (C-240).
    pub fn next_push(&mut self, now_ms: u64) -> Option<Outgoing> {
        if !self.can_push() {
            return None;
        }
        let uid = Bytes::copy_from_slice(self.uid.as_bytes());
        if let Some(command) = self.next_command(&uid, now_ms) {
            return Some(command);
        }
        if let Some((token, custom)) = self.next_custom_message() {
            let mut message = outgoing::ack(uid);
            message.custom_message = Some(custom);
            return Some(Outgoing {
                message,
                offer: None,
                marks: vec![token],
            });
        }
        if std::mem::take(&mut self.full_state_due) && self.stream.needs_full_state() {
            return Some(outgoing::full_state_request(uid));
        }
        let hash = self.take_offer(now_ms)?;
        let marks = self.mark_pushes(hash, now_ms);
        Some(Outgoing {
            message: outgoing::ack(uid),
            offer: Some(hash),
            marks,
        })
    }

    /// Asks by [`Self::next_push`] for a full state that is needed; true unless it was asked for already or may not be.
    pub fn push_full_state(&mut self, now_ms: u64, allowed: &mut dyn FnMut() -> bool) -> bool {
        let asks = self.can_push() && self.stream.ask_full_state(now_ms, allowed);
        self.full_state_due |= asks;
        asks
    }

    /// Whether this node owns the agent: without that, no offer and no command leaves.
    pub fn set_owned(&mut self, owned: bool) {
        self.owned = owned;
    }

    /// Asks the agent for everything at its next message, because something it once sent was lost here.
    pub fn request_full_state(&mut self) {
        self.stream.need_full_state();
    }

    /// The offer exceeds the outbound limit: it was left out and is not tried again for this hash.
    pub fn offer_discarded(&mut self, hash: [u8; 32]) {
        self.offers.discard(hash);
        if let Some(errands) = &mut self.errands {
            errands.offer_discarded(hash);
        }
    }

    /// A message of this session left the node whole: `offer` and `marks` as they stood in its [`Outgoing`].
    pub fn written(&mut self, offer: Option<[u8; 32]>, marks: &[Token], now_ms: u64) {
        if let Some(hash) = offer {
            self.offers.written(hash, now_ms);
        }
        if let Some(errands) = &mut self.errands {
            errands.written(marks, now_ms);
        }
    }

    /// The connection is gone. A late word about an older connection changes nothing (C-266).
    pub fn connection_lost(&mut self, connection: ConnectionKey) {
        if self.connection != Some(connection) {
            return;
        }
        self.attached = false;
        self.offers.connection_lost();
        if let Some(errands) = &mut self.errands {
            errands.connection_lost();
        }
        self.drop_pushes_of_nothing();
    }

    /// When to call [`Self::handle_timeout`] and then [`Self::next_push`]; a time that has passed means at once.
    pub fn poll_timeout(&self) -> Option<u64> {
        let errands = self.errands.as_ref();
        let forced = errands.is_some_and(|errands| errands.has_pushes());
        let errands = errands.and_then(|errands| errands.next_deadline_ms());
        let offer = if self.can_push() {
            self.offers.due_at_ms(self.capabilities, forced)
        } else {
            None
        };
        errands.into_iter().chain(offer).min()
    }

    /// Ends what has waited long enough.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(errands) = &mut self.errands {
            let reports = self.capabilities & agent::REPORTS_REMOTE_CONFIG != 0;
            errands.expire(now_ms, |hash| !reports || self.offers.is_in_use(hash));
        }
        self.drain_events(&mut events);
        events
    }

    /// The last sequence number heard, for the session that comes after a clean end.
    pub fn last_sequence(&self) -> Option<u64> {
        self.stream.last()
    }

    /// The uid under which the agent speaks.
    pub fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// The capability bits in force.
    pub fn capabilities(&self) -> u64 {
        self.capabilities
    }

    /// The connection of the newest message, while it is there and the agent has not said goodbye on it.
    pub fn connection(&self) -> Option<ConnectionKey> {
        self.connection.filter(|_| self.attached)
    }

    /// Nothing waits to be sent or watched.
    pub fn is_idle(&self) -> bool {
        self.errands.is_none()
    }

    /// The registry may forget this session: no connection, and nobody waits for anything.
    pub fn can_drop(&self) -> bool {
        !self.attached && self.is_idle()
    }

    /// Notes where the message came from; true when the agent came back on another connection.
    fn attach(&mut self, context: &Context<'_>) -> bool {
        let before = self.connection.replace(context.connection);
        self.transport = context.transport;
        let changed = before != self.connection;
        if changed {
            self.components_asked = None;
            self.full_state_due = false;
            self.offers.connection_lost();
            if let Some(errands) = &mut self.errands {
                errands.connection_lost();
            }
            self.drop_pushes_of_nothing();
        }
        changed && before.is_some()
    }

    fn change_capabilities(&mut self, capabilities: u64) {
        self.capabilities = capabilities;
        if let Some(errands) = &mut self.errands {
            errands.drop_unsupported(capabilities);
        }
    }

    /// Lets the parts of the message count, then moves them out.
    fn take_in(&mut self, message: wire::AgentToServer) -> Option<Box<Report>> {
        if let Some(custom) = &message.custom_capabilities {
            self.custom_capabilities = boxed(&custom.capabilities);
            if let Some(errands) = &mut self.errands {
                errands.drop_messages_beyond(&custom.capabilities);
            }
        }
        if let Some(status) = &message.remote_config_status {
            let failed = self.offers.report(status);
            if let (Some(hash), Some(errands)) = (failed, &mut self.errands) {
                errands.config_failed(hash, &status.error_message);
            }
        }
        if let (Some(health), Some(errands)) = (&message.health, &mut self.errands) {
            errands.health_seen(health.healthy);
        }
        report::extract(message)
    }

    /// The digest of a component hash whose list to ask for: bit, hash, no list, not at hand, not asked here before.
    fn wants_components(
        &self,
        message: &wire::AgentToServer,
        context: &Context<'_>,
    ) -> Option<u64> {
        let components = message.available_components.as_ref()?;
        let wanted = self.capabilities & agent::REPORTS_AVAILABLE_COMPONENTS != 0
            && components.components.is_empty()
            && !components.hash.is_empty();
        let digest = crate::frame::digest(&components.hash);
        let news = wanted && self.components_asked != Some(digest);
        (news && !(context.components_known)(&components.hash)).then_some(digest)
    }

    fn reply(
        &mut self,
        uid: Bytes,
        repeated: bool,
        components: Option<u64>,
        context: &mut Context<'_>,
        events: &mut Vec<Event>,
    ) -> Outgoing {
        let now_ms = context.now_ms;
        let live = self.owned && self.attached;
        let command_first = live && self.transport == Transport::Http && context.new_uid.is_none();
        if command_first && let Some(command) = self.next_command(&uid, now_ms) {
            self.reply_offered = false;
            return command;
        }
        let mut message = outgoing::ack(uid);
        if self.attached
            && self
                .stream
                .ask_full_state(now_ms, context.full_state_allowed)
        {
            message.flags |= outgoing::REPORT_FULL_STATE;
            events.push(Event::FullStateRequested);
        } else if self.attached
            && let Some(digest) = components
        {
            // The full state brings the list as well (C-260).
            message.flags |= outgoing::REPORT_AVAILABLE_COMPONENTS;
            self.components_asked = Some(digest);
            events.push(Event::ComponentsRequested);
        }
        message.agent_identification = context.new_uid.map(|new_uid| wire::AgentIdentification {
            new_instance_uid: Bytes::copy_from_slice(new_uid.as_bytes()),
        });
        let mut marks = Vec::new();
        if command_first && let Some((token, custom)) = self.next_custom_message() {
            message.custom_message = Some(custom);
            marks.push(token);
        }
        let offer = if !live {
            None
        } else if repeated && self.reply_offered {
            self.offers.repeat()
        } else {
            self.take_offer(now_ms)
        };
        self.reply_offered = offer.is_some();
        if let Some(hash) = offer {
            marks.extend(self.mark_pushes(hash, now_ms));
        }
        Outgoing {
            message,
            offer,
            marks,
        }
    }

    fn can_push(&self) -> bool {
        self.owned && self.attached && self.transport == Transport::WebSocket
    }

    fn next_command(&mut self, uid: &Bytes, now_ms: u64) -> Option<Outgoing> {
        let token = self.errands.as_mut()?.next_restart(now_ms)?;
        let mut message = outgoing::ack(uid.clone());
        message.command = Some(wire::ServerToAgentCommand {
            r#type: wire::CommandType::Restart.into(),
        });
        Some(Outgoing {
            message,
            offer: None,
            marks: vec![token],
        })
    }

    fn next_custom_message(&mut self) -> Option<(Token, wire::CustomMessage)> {
        self.errands.as_mut()?.next_message()
    }

    fn take_offer(&mut self, now_ms: u64) -> Option<[u8; 32]> {
        let forced = self
            .errands
            .as_ref()
            .is_some_and(|errands| errands.has_pushes());
        self.offers.take(now_ms, self.capabilities, forced)
    }

    fn mark_pushes(&mut self, hash: [u8; 32], now_ms: u64) -> Vec<Token> {
        match &mut self.errands {
            Some(errands) => errands.mark_pushes(hash, now_ms),
            None => Vec::new(),
        }
    }

    /// Moves out what was decided on the way, and lets go of an empty box.
    fn drain_events(&mut self, events: &mut Vec<Event>) {
        if let Some(errands) = &mut self.errands {
            events.append(errands.events());
            if errands.is_empty() {
                self.errands = None;
            }
        }
    }
}

#[expect(clippy::box_collection, reason = "see `Session::custom_capabilities`")]
fn boxed(names: &[String]) -> Option<Box<Vec<String>>> {
    (!names.is_empty()).then(|| Box::new(names.to_vec()))
}

#[cfg(test)]
mod tests;
