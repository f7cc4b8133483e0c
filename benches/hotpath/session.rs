//! What a heartbeat costs: its frame is decoded, the session answers, the reply is encoded.

use ampora_proto::InstanceUid;
use ampora_proto::capabilities::agent;
use ampora_proto::frame::{decode_websocket, encode_websocket};
use ampora_proto::session::{ConnectionKey, Context, Known, Session, Transport};
use ampora_proto::wire;
use bytes::Bytes;
use prost::Message;

/// Agents that take turns, so that no session is always the last one used.
const AGENTS: u64 = 1_000;

/// Sessions with agents that have introduced themselves, and the heartbeats that they will send.
pub struct Heartbeats {
    sessions: Vec<Session>,
    frames: Vec<Bytes>,
    now_ms: u64,
}

impl Heartbeats {
    /// Prepares so many heartbeats.
    ///
    /// # Panics
    /// When the product does not answer as it should: then nothing is worth measuring.
    pub fn new(count: u64) -> Self {
        let frames = (0..count).map(|n| frame(n % AGENTS, 1 + n / AGENTS, false));
        let mut heartbeats = Self {
            sessions: Vec::new(),
            frames: frames.collect(),
            now_ms: 1_000_000,
        };
        for n in 0..AGENTS {
            let mut session = Session::new(uid(n), &Known::default());
            session.set_owned(true);
            heartbeats.sessions.push(session);
            let reply = heartbeats.answer(n, &frame(n, 0, true));
            let reply = wire::ServerToAgent::decode(reply.slice(1..));
            assert_eq!(reply.map(|reply| reply.flags), Ok(0), "agent {n} is known");
        }
        heartbeats
    }

    /// Answers the first `count` of the heartbeats, once; the bytes of all replies.
    ///
    /// # Panics
    /// When a heartbeat is not understood.
    pub fn run(&mut self, count: u64) -> usize {
        let frames = std::mem::take(&mut self.frames);
        let mut bytes = 0;
        for (n, frame) in (0..count).zip(&frames) {
            bytes += self.answer(n % AGENTS, frame).len();
        }
        self.frames = frames;
        bytes
    }

    fn answer(&mut self, agent: u64, frame: &Bytes) -> Bytes {
        let incoming = decode_websocket(frame.clone()).expect("a frame of ours");
        self.now_ms += 1;
        let mut context = Context {
            now_ms: self.now_ms,
            connection: ConnectionKey(agent),
            transport: Transport::WebSocket,
            new_uid: None,
            full_state_allowed: &mut || true,
            components_known: &|_| false,
        };
        let place = usize::try_from(agent).expect("a few agents");
        let handled = self.sessions[place].handle_message(incoming, &mut context);
        encode_websocket(&handled.reply.message, None)
    }
}

fn uid(agent: u64) -> InstanceUid {
    InstanceUid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(agent))
}

fn frame(agent: u64, sequence_num: u64, introduces: bool) -> Bytes {
    let message = wire::AgentToServer {
        instance_uid: Bytes::copy_from_slice(uid(agent).as_bytes()),
        sequence_num,
        capabilities: agent::REPORTS_STATUS | agent::ACCEPTS_REMOTE_CONFIG,
        agent_description: introduces.then(Default::default),
        ..Default::default()
    };
    let mut frame = vec![0];
    frame.extend_from_slice(&message.encode_to_vec());
    Bytes::from(frame)
}
