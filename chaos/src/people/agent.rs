//! One simulated agent: it connects to any node, says how it is, does what it is told, and goes elsewhere when nobody
//! answers.

use std::time::Duration;

use ampora_proto::wire;
use ampora_raft::ids::NodeId;
use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::People;
use super::speech::Speaker;
use crate::dice::Dice;
use crate::invariants::acts;
use crate::seat::Knock;

/// Messages on a socket that were not read yet.
const SOCKET_MAX: usize = 16;

/// A socket on which nothing is answered for so long is given up.
const PATIENCE: Duration = Duration::from_secs(6);

/// What a configuration contains that breaks every agent.
pub(super) const BAD: &str = "breaks";

/// What is seen of an agent from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState {
    /// Under which uid it speaks.
    pub uid: Uuid,
    /// Which node it is connected to.
    pub node: Option<NodeId>,
    /// The hash of what it runs.
    pub applied: Vec<u8>,
    /// How it said that it is.
    pub healthy: bool,
}

struct Life {
    people: People,
    number: usize,
    dice: Dice,
    speaker: Speaker,
}

/// Never ends.
pub(super) async fn live(people: People, number: usize, mut dice: Dice) {
    let bits = u128::from(dice.number()) << 64 | u128::from(dice.number());
    let uid = uuid::Builder::from_u128(bits)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid();
    let mut life = Life {
        people,
        number,
        dice,
        speaker: Speaker::new(uid),
    };
    loop {
        life.tell(None);
        let pause = life.dice.millis(50, 1_500);
        tokio::time::sleep(pause).await;
        life.connect().await;
    }
}

impl Life {
    fn note(&self, what: std::fmt::Arguments<'_>) {
        let name = format!("a{}", self.number);
        self.people.book.note(&name, what);
    }

    fn tell(&self, node: Option<NodeId>) {
        let state = AgentState {
            uid: self.speaker.uid,
            node,
            applied: self.speaker.applied().to_vec(),
            healthy: self.speaker.is_healthy(),
        };
        if let Some(known) = self.people.agents.lock().get_mut(self.number) {
            *known = state;
        }
    }

    /// One connection, until it is over.
    async fn connect(&mut self) {
        let seats = self.people.seats.clone();
        let Some(seat) = self.dice.pick(&seats) else {
            return;
        };
        let Some(door) = seat.with(|doors| doors.knocks.clone()) else {
            return;
        };
        let (say, from_agent) = mpsc::channel(SOCKET_MAX);
        let (to_agent, mut hear) = mpsc::channel(SOCKET_MAX);
        let knock = Knock {
            uid: self.speaker.uid,
            from_agent,
            to_agent,
        };
        if door.try_send(knock).is_err() {
            return;
        }
        let hello = if self.dice.happens(500) {
            self.speaker.everything()
        } else {
            self.speaker.heartbeat()
        };
        if say.send(hello).await.is_err() {
            return;
        }
        self.note(format_args!("{} comes to n{}", self.speaker.uid, seat.node));
        self.tell(Some(seat.node));
        let mut silent = Duration::ZERO;
        loop {
            let pause = self.dice.millis(300, 2_500);
            match tokio::time::timeout(pause, hear.recv()).await {
                Ok(None) => return,
                Ok(Some(bytes)) => {
                    silent = Duration::ZERO;
                    for answer in self.hear(&bytes) {
                        // what an agent does takes a moment
                        let pause = self.dice.millis(1, 60);
                        tokio::time::sleep(pause).await;
                        if say.send(answer).await.is_err() {
                            return;
                        }
                    }
                    self.tell(Some(seat.node));
                }
                Err(_elapsed) => {
                    silent += pause;
                    if silent > PATIENCE || self.dice.happens(4) {
                        return;
                    }
                    let said = if !self.people.is_calm() && self.dice.happens(150) {
                        let said = self.speaker.turns();
                        self.note(format_args!("turns: {:?}", self.speaker));
                        said
                    } else {
                        self.speaker.heartbeat()
                    };
                    // a full socket is one that nobody reads
                    if say.try_send(said).is_err() && say.is_closed() {
                        return;
                    }
                }
            }
        }
    }

    /// What it does with a message of the server.
    fn hear(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        let Some(Ok(message)) = bytes.get(1..).map(wire::ServerToAgent::decode) else {
            return Vec::new();
        };
        for act in acts(bytes) {
            self.people.oracle.heard(self.speaker.uid, &act);
        }
        let mut said = Vec::new();
        if let Some(new) = &message.agent_identification
            && let Ok(uid) = Uuid::from_slice(&new.new_instance_uid)
        {
            self.note(format_args!("{} becomes {uid}", self.speaker.uid));
            self.speaker.uid = uid;
        }
        if let Some(offer) = message.remote_config {
            let files = offer.config.unwrap_or_default().config_map;
            let bodies = files.into_values().map(|file| file.body);
            let fails = bodies.into_iter().any(|body| {
                body.windows(BAD.len())
                    .any(|window| window == BAD.as_bytes())
            });
            said.extend(self.speaker.offered(offer.config_hash, fails));
        }
        if message.command.is_some() {
            said.extend(self.speaker.restarts());
        }
        if message.flags & 1 != 0 {
            said.push(self.speaker.everything());
        }
        said
    }
}
