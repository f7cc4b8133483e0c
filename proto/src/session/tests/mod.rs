//! Dialogues with a session: a message is said, and the reply is compared whole.

mod any_order;
mod errands;
mod offers;
mod replies;
mod sequence;
mod vectors;

use bytes::Bytes;
use prost::Message;

use super::*;
use crate::frame::{decode_http, encode_http};

pub(super) const UID: InstanceUid =
    InstanceUid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
/// Status, remote configuration both ways, restart, health.
pub(super) const BITS: u64 = 0x1 | 0x2 | 0x1000 | 0x400 | 0x800;
pub(super) const A: [u8; 32] = [0xA; 32];
pub(super) const B: [u8; 32] = [0xB; 32];
pub(super) const APPLIED: wire::RemoteConfigStatuses = wire::RemoteConfigStatuses::Applied;
pub(super) const APPLYING: wire::RemoteConfigStatuses = wire::RemoteConfigStatuses::Applying;
pub(super) const FAILED: wire::RemoteConfigStatuses = wire::RemoteConfigStatuses::Failed;

/// What may differ between replies. The rest is checked to be that of every reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) full_state: bool,
    pub(super) components: bool,
    pub(super) offer: Option<[u8; 32]>,
    pub(super) restart: bool,
}

pub(super) const ACK: Reply = Reply {
    full_state: false,
    components: false,
    offer: None,
    restart: false,
};
pub(super) const FULL_STATE: Reply = Reply {
    full_state: true,
    ..ACK
};
pub(super) const COMPONENTS: Reply = Reply {
    components: true,
    ..ACK
};
pub(super) const RESTART: Reply = Reply {
    restart: true,
    ..ACK
};

pub(super) fn offer(hash: [u8; 32]) -> Reply {
    Reply {
        offer: Some(hash),
        ..ACK
    }
}

/// A message under construction.
#[derive(Clone, PartialEq)]
pub(super) struct Says(pub(super) wire::AgentToServer);

/// A heartbeat with that sequence number.
pub(super) fn beat(sequence_num: u64) -> Says {
    Says(wire::AgentToServer {
        instance_uid: Bytes::copy_from_slice(UID.as_bytes()),
        sequence_num,
        capabilities: BITS,
        ..Default::default()
    })
}

/// A description and nothing else besides.
pub(super) fn described(sequence_num: u64) -> Says {
    let mut says = beat(sequence_num);
    says.0.agent_description = Some(wire::AgentDescription::default());
    says
}

/// Everything that [`BITS`] promises; the agent has nothing yet.
pub(super) fn full(sequence_num: u64) -> Says {
    described(sequence_num)
        .health(true)
        .status(&[], wire::RemoteConfigStatuses::Unset)
}

impl Says {
    pub(super) fn health(mut self, healthy: bool) -> Self {
        self.0.health = Some(wire::ComponentHealth {
            healthy,
            ..Default::default()
        });
        self
    }

    pub(super) fn status(mut self, hash: &[u8], status: wire::RemoteConfigStatuses) -> Self {
        self.0.remote_config_status = Some(wire::RemoteConfigStatus {
            last_remote_config_hash: Bytes::copy_from_slice(hash),
            status: status.into(),
            error_message: if status == FAILED {
                "broken".to_owned()
            } else {
                String::new()
            },
        });
        self
    }

    pub(super) fn components(mut self, hash: &[u8]) -> Self {
        self.0.available_components = Some(wire::AvailableComponents {
            hash: Bytes::copy_from_slice(hash),
            ..Default::default()
        });
        self
    }

    pub(super) fn bits(mut self, capabilities: u64) -> Self {
        self.0.capabilities = capabilities;
        self
    }

    pub(super) fn goodbye(mut self) -> Self {
        self.0.agent_disconnect = Some(wire::AgentDisconnect {});
        self
    }
}

/// One agent's side and a session, with a clock that the test moves.
pub(super) struct Dialogue {
    pub(super) session: Session,
    pub(super) now_ms: u64,
    pub(super) connection: ConnectionKey,
    pub(super) transport: Transport,
    pub(super) full_state_allowed: bool,
    pub(super) components_known: bool,
    /// Whether what leaves is confirmed as written.
    pub(super) delivers: bool,
    pub(super) events: Vec<Event>,
    pub(super) report: Option<Box<Report>>,
}

impl Dialogue {
    /// An agent that nobody has heard of, owned here.
    pub(super) fn with_stranger() -> Self {
        Self::with(&Known::default())
    }

    pub(super) fn with(known: &Known) -> Self {
        let mut session = Session::new(UID, known);
        session.set_owned(true);
        Self {
            session,
            now_ms: 1_000_000,
            connection: ConnectionKey(1),
            transport: Transport::WebSocket,
            full_state_allowed: true,
            components_known: false,
            delivers: true,
            events: Vec::new(),
            report: None,
        }
    }

    /// An agent that has reported everything with sequence 0.
    pub(super) fn introduced() -> Self {
        let mut dialogue = Self::with_stranger();
        assert_eq!(dialogue.hears(full(0)), ACK);
        dialogue
    }

    pub(super) fn hears(&mut self, says: Says) -> Reply {
        self.hears_bytes(says.0.encode_to_vec())
    }

    pub(super) fn hears_bytes(&mut self, bytes: Vec<u8>) -> Reply {
        let incoming = decode_http(Bytes::from(bytes)).unwrap();
        let uid = incoming.uid;
        let allowed = self.full_state_allowed;
        let known = self.components_known;
        let handled = self.session.handle_message(
            incoming,
            &mut Context {
                now_ms: self.now_ms,
                connection: self.connection,
                transport: self.transport,
                new_uid: None,
                full_state_allowed: &mut || allowed,
                components_known: &|_| known,
            },
        );
        self.events = handled.events;
        self.report = handled.report;
        self.read(handled.reply, uid)
    }

    /// What the server says of its own accord.
    pub(super) fn pushed(&mut self) -> Option<Reply> {
        let outgoing = self.session.next_push(self.now_ms)?;
        let uid = self.session.uid();
        Some(self.read(outgoing, uid))
    }

    pub(super) fn passes(&mut self, ms: u64) -> Vec<Event> {
        self.now_ms += ms;
        self.session.handle_timeout(self.now_ms)
    }

    pub(super) fn reconnects(&mut self) {
        self.session.connection_lost(self.connection);
        self.connection.0 += 1;
    }

    /// Checks what is the same in all messages, also after encoding (C-064, C-073, C-086, C-240).
    fn read(&mut self, outgoing: Outgoing, uid: InstanceUid) -> Reply {
        if self.delivers {
            self.session
                .written(outgoing.offer, &outgoing.marks, self.now_ms);
        }
        let reply = Reply {
            full_state: outgoing.message.flags & 0x1 != 0,
            components: outgoing.message.flags & 0x2 != 0,
            offer: outgoing.offer,
            restart: outgoing.message.command.is_some(),
        };
        let restart = wire::ServerToAgentCommand {
            r#type: wire::CommandType::Restart.into(),
        };
        let expected = wire::ServerToAgent {
            instance_uid: Bytes::copy_from_slice(uid.as_bytes()),
            capabilities: 0x17,
            flags: u64::from(reply.full_state) | u64::from(reply.components) << 1,
            command: reply.restart.then_some(restart),
            ..Default::default()
        };
        assert_eq!(
            wire::ServerToAgent::decode(encode_http(&outgoing.message, None)).unwrap(),
            expected
        );
        assert!(
            !reply.restart || reply == RESTART,
            "a command stands alone: {reply:?}"
        );
        reply
    }
}

/// A hundred thousand idle agents are to fit beside everything else.
#[test]
fn an_idle_session_is_small() {
    let bytes = size_of::<Session>();
    println!("a session has {bytes} bytes");
    assert!(bytes <= 300, "{bytes}");
}
