//! Any conversation with a session: messages of any bytes, time, instructions, lost connections, in any order. Each
//! message has one reply; what leaves may leave; no command or custom message leaves twice; every instruction ends once; nothing asks
//! to be called again at once for ever.
#![no_main]

use std::collections::BTreeSet;

use ampora_proto::InstanceUid;
use ampora_proto::capabilities::{agent, server};
use ampora_proto::frame::{decode_http, encode_websocket};
use ampora_proto::session::{
    ConnectionKey, Context, Event, Handled, Known, OUTSTANDING_MAX, Outgoing, Session, Token,
    Transport,
};
use ampora_proto::wire;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;

const UID: InstanceUid = InstanceUid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
const NEW_UID: InstanceUid = InstanceUid::from_u128(2);
/// The one custom capability that operators use; raw messages may announce others.
const CUSTOM: &str = "x";
/// Capability bits that the session asks about.
const BITS: [u64; 6] = [
    agent::ACCEPTS_REMOTE_CONFIG,
    agent::REPORTS_REMOTE_CONFIG,
    agent::ACCEPTS_RESTART_COMMAND,
    agent::REPORTS_HEALTH,
    agent::REPORTS_AVAILABLE_COMPONENTS,
    agent::REPORTS_EFFECTIVE_CONFIG,
];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut run = Run::new(&mut input);
    while !input.0.is_empty() {
        run.step(&mut input);
        run.settle();
    }
    run.end();
});

/// Bytes that are taken from the front; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A short piece of any bytes.
    fn piece(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.take(count)
    }

    fn hash(&mut self) -> [u8; 32] {
        [self.byte() % 4; 32]
    }

    fn bits(&mut self) -> u64 {
        let chosen = self.byte();
        let set = |(place, bit): (usize, &u64)| if chosen >> place & 1 == 0 { *bit } else { 0 };
        agent::REPORTS_STATUS | BITS.iter().enumerate().map(set).sum::<u64>()
    }
}

struct Run {
    session: Session,
    now_ms: u64,
    connection: ConnectionKey,
    transport: Transport,
    /// How the newest message came, and on which connection.
    heard_by: Transport,
    heard_on: ConnectionKey,
    owned: bool,
    desired: Option<[u8; 32]>,
    delivers: bool,
    budget: bool,
    sequence: u64,
    last: Vec<u8>,
    tokens: u64,
    /// Instructions that were taken and have not ended.
    open: BTreeSet<Token>,
    /// Restarts and custom messages that left.
    left: BTreeSet<Token>,
    /// The custom message that left last.
    newest: Token,
    /// What the agent announced of custom messages.
    announced: Vec<String>,
}

impl Run {
    fn new(input: &mut Input<'_>) -> Self {
        let shape = input.byte();
        let known = Known {
            known: shape & 1 != 0,
            last_sequence: (shape & 2 != 0).then_some(u64::from(shape)),
            capabilities: input.bits(),
            has_description: shape & 4 != 0,
            reported_hash: (shape & 8 != 0).then(|| Bytes::copy_from_slice(input.piece())),
            status: wire::RemoteConfigStatuses::try_from(i32::from(shape >> 6)).unwrap_or_default(),
            failed_hash: (shape & 16 != 0).then(|| input.hash()),
            sent_hash: (shape & 32 != 0).then(|| input.hash()),
            custom_capabilities: (shape & 4 != 0)
                .then(|| CUSTOM.to_owned())
                .into_iter()
                .collect(),
        };
        let announced = known.custom_capabilities.clone();
        Self {
            session: Session::new(UID, &known),
            now_ms: 1_000_000,
            connection: ConnectionKey(1),
            transport: Transport::WebSocket,
            heard_by: Transport::WebSocket,
            heard_on: ConnectionKey(0),
            owned: false,
            desired: None,
            delivers: true,
            budget: true,
            sequence: 0,
            last: Vec::new(),
            tokens: 0,
            open: BTreeSet::new(),
            left: BTreeSet::new(),
            newest: Token(0),
            announced,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 21 {
            0 => self.hears(input.piece().to_vec(), None),
            1..=4 => {
                let message = self.message(input);
                self.hears(message, None);
            }
            5 => self.hears(self.last.clone(), None),
            6 => {
                let message = self.message(input);
                self.hears(message, Some(NEW_UID));
            }
            7 => {
                self.session.connection_lost(self.connection);
                self.connection.0 += 1;
            }
            8 => self.connection.0 += u64::from(input.byte() % 2),
            9 => {
                self.connection.0 += 1;
                self.transport = match self.transport {
                    Transport::WebSocket => Transport::Http,
                    Transport::Http => Transport::WebSocket,
                };
            }
            10 => {
                self.desired = Some(input.hash()).filter(|hash| hash[0] != 0);
                self.session.set_desired(self.desired);
            }
            11 | 12 => {
                self.owned = input.byte() % 4 != 0;
                self.session.set_owned(self.owned);
            }
            13 => {
                let token = self.token();
                if self.session.restart(token).is_ok() {
                    self.open.insert(token);
                }
            }
            14 => {
                let token = self.token();
                if self.session.push_config(token).is_ok() {
                    self.open.insert(token);
                }
            }
            15 => {
                let token = Token(u64::from(input.byte()));
                if self.session.cancel(token) {
                    assert!(
                        !self.left.contains(&token),
                        "a command that left was cancelled"
                    );
                    assert!(self.open.remove(&token), "{token:?} was not open");
                }
            }
            16 => self.session.offer_discarded(input.hash()),
            17 => self.session.request_full_state(),
            18 => {
                let shape = input.byte();
                (self.delivers, self.budget) = (shape & 1 == 0, shape & 2 == 0);
            }
            19 => {
                let (token, data) = (self.token(), Bytes::copy_from_slice(input.piece()));
                let message = wire::CustomMessage {
                    capability: CUSTOM.to_owned(),
                    data,
                    ..Default::default()
                };
                let room = self.session.has_room_for_message();
                let taken = self.session.custom_message(token, message);
                let announced = self.announced.iter().any(|name| name == CUSTOM);
                assert_eq!(taken.is_ok(), room && announced, "{taken:?}");
                self.open.extend(taken.map(|()| token));
            }
            _ => self.passes(u64::from(input.byte()) * 1_000),
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn message(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let shape = input.byte();
        let mut message = wire::AgentToServer {
            instance_uid: Bytes::copy_from_slice(UID.as_bytes()),
            sequence_num: self.sequence,
            capabilities: input.bits(),
            ..Default::default()
        };
        message.agent_description = (shape & 1 != 0).then(Default::default);
        message.health = (shape & 2 != 0).then(|| wire::ComponentHealth {
            healthy: shape & 4 != 0,
            ..Default::default()
        });
        message.remote_config_status = (shape & 8 != 0).then(|| wire::RemoteConfigStatus {
            last_remote_config_hash: Bytes::copy_from_slice(&input.hash()),
            status: i32::from(input.byte() % 5),
            error_message: String::from_utf8_lossy(input.piece()).into_owned(),
        });
        message.available_components = (shape & 16 != 0).then(|| wire::AvailableComponents {
            hash: Bytes::copy_from_slice(&input.hash()),
            ..Default::default()
        });
        message.custom_capabilities = (shape & 0x60 == 0x20).then(|| wire::CustomCapabilities {
            capabilities: (shape & 1 != 0)
                .then(|| CUSTOM.to_owned())
                .into_iter()
                .collect(),
        });
        message.agent_disconnect = (shape & 0x60 == 0x60).then_some(wire::AgentDisconnect {});
        if shape & 0x80 != 0 {
            message.sequence_num = u64::from(input.byte());
        }
        message.encode_to_vec()
    }

    fn hears(&mut self, bytes: Vec<u8>, new_uid: Option<InstanceUid>) {
        let Ok(incoming) = decode_http(Bytes::from(bytes.clone())) else {
            return;
        };
        let uid = incoming.message.instance_uid.clone();
        self.sequence = incoming.message.sequence_num.wrapping_add(1);
        let goodbye = incoming.message.agent_disconnect.is_some();
        let budget = self.budget;
        (self.heard_by, self.heard_on) = (self.transport, self.connection);
        let handled = self.session.handle_message(
            incoming,
            &mut Context {
                now_ms: self.now_ms,
                connection: self.connection,
                transport: self.transport,
                new_uid,
                full_state_allowed: &mut || budget,
                components_known: &|_| false,
            },
        );
        assert_eq!(self.session.connection().is_none(), goodbye);
        if self.last == bytes && handled.report.is_some() {
            let last = self.session.last_sequence();
            panic!("a repetition reports: {:?} at {last:?}", handled.report);
        }
        self.last = bytes;
        let report = handled.report.as_ref();
        if let Some(custom) = report.and_then(|report| report.custom_capabilities.as_ref()) {
            self.announced.clone_from(&custom.capabilities);
        }
        self.replied(&handled, &uid, new_uid);
        self.leaves(&handled.reply);
        self.told(handled.events);
    }

    fn replied(&self, handled: &Handled, uid: &Bytes, new_uid: Option<InstanceUid>) {
        let message = &handled.reply.message;
        assert_eq!(
            (&message.instance_uid, message.capabilities),
            (uid, server::ANNOUNCED)
        );
        let identified = message.agent_identification.as_ref();
        let given = identified.map(|given| given.new_instance_uid.clone());
        assert_eq!(
            given.as_deref(),
            new_uid.as_ref().map(|uid| &uid.as_bytes()[..])
        );
        let encoded = encode_websocket(message, None);
        assert_eq!(
            wire::ServerToAgent::decode(encoded.slice(1..)).as_ref(),
            Ok(message)
        );
        if handled.events.contains(&Event::FullStateRequested) {
            assert!(self.budget && message.flags & 0x1 != 0);
        }
    }

    /// What may leave: from the owner, to an agent that is there and takes it, and a command alone and once.
    fn leaves(&mut self, outgoing: &Outgoing) {
        let takes = |bit: u64| self.session.capabilities() & bit != 0;
        if let Some(hash) = outgoing.offer {
            assert!(self.owned && self.session.connection().is_some());
            assert_eq!(self.desired, Some(hash));
            assert!(takes(agent::ACCEPTS_REMOTE_CONFIG));
        }
        if outgoing.message.command.is_some() {
            assert!(self.owned && self.session.connection().is_some());
            assert!(takes(agent::ACCEPTS_RESTART_COMMAND));
            assert_eq!((outgoing.offer, outgoing.message.flags), (None, 0));
            let [token] = outgoing.marks[..] else {
                panic!("one command, one token: {outgoing:?}");
            };
            assert!(self.left.insert(token), "a command left twice");
        }
        if let Some(custom) = &outgoing.message.custom_message {
            assert!(self.owned && self.session.connection().is_some());
            assert!(outgoing.message.command.is_none());
            assert!(self.announced.contains(&custom.capability));
            let token = *outgoing.marks.first().expect("a message has a token");
            assert!(
                self.left.insert(token) && token > self.newest,
                "twice or out of order"
            );
            self.newest = token;
        }
        assert!(
            outgoing.marks.iter().all(|token| self.open.contains(token)),
            "{outgoing:?}"
        );
        if self.delivers {
            self.session
                .written(outgoing.offer, &outgoing.marks, self.now_ms);
        }
    }

    /// Everything that wants to leave at this moment leaves, and then there is peace.
    fn settle(&mut self) {
        for _ in 0..2 * OUTSTANDING_MAX + 2 {
            self.passes(0);
            let Some(outgoing) = self.session.next_push(self.now_ms) else {
                let due = self.session.poll_timeout();
                assert!(
                    due.is_none_or(|due| due > self.now_ms),
                    "called again at once: {due:?}"
                );
                return;
            };
            assert_eq!(self.heard_by, Transport::WebSocket);
            self.leaves(&outgoing);
        }
        panic!("pushes without end");
    }

    fn passes(&mut self, ms: u64) {
        self.now_ms += ms;
        let events = self.session.handle_timeout(self.now_ms);
        self.told(events);
    }

    fn told(&mut self, events: Vec<Event>) {
        for event in events {
            let token = match event {
                Event::GapSeen | Event::FullStateRequested | Event::ComponentsRequested => continue,
                Event::RestartConfirmed(token)
                | Event::MessageWritten(token)
                | Event::MessageLost(token) => {
                    assert!(self.left.contains(&token), "it never left");
                    token
                }
                Event::RestartUnconfirmed(token)
                | Event::PushSucceeded(token)
                | Event::PushFailed(token, _)
                | Event::PushUnconfirmed(token)
                | Event::PushUnassigned(token)
                | Event::Unsupported(token) => token,
            };
            assert!(self.open.remove(&token), "{token:?} ended twice");
        }
    }

    /// What left ends with time; what never left can be taken back.
    fn end(&mut self) {
        self.session.set_owned(false);
        self.session.connection_lost(self.heard_on);
        self.passes(1_000_000);
        for token in std::mem::take(&mut self.open) {
            assert!(!self.left.contains(&token), "{token:?} never ended");
            assert!(
                self.session.cancel(token),
                "{token:?} is neither open nor ended"
            );
        }
        self.passes(0);
        assert!(self.session.is_idle());
    }
}
