//! An agent that behaves, wherever it is led: it numbers its messages, reads every answer, sends again what was not
//! taken, and counts what it was asked for.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ampora_proto::identity;
use ampora_proto::wire::any_value::Value;
use ampora_proto::wire::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentRemoteConfig, AgentToServer, AnyValue,
    ComponentHealth, EffectiveConfig, KeyValue, RemoteConfigStatus, RemoteConfigStatuses,
    ServerToAgent,
};
use bytes::Bytes;
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};
use uuid::Uuid;

use crate::cluster::SOON;
use crate::support::eventually;

/// Status, remote configuration, effective configuration, restart, health, status of the remote configuration.
const CAPABILITIES: u64 = 0x1C07;

/// How long a look at the socket waits for something to read.
const GLANCE: Duration = Duration::from_millis(20);

/// How it reaches a node.
enum Link {
    None,
    /// By polls, each over whatever connection there is.
    Polls(Box<Polls>),
    Socket(Box<WebSocket<TcpStream>>),
}

struct Polls {
    url: String,
    client: reqwest::Client,
    runtime: Runtime,
}

/// One agent, and what it has met.
pub(crate) struct Agent {
    pub(crate) uid: Uuid,
    /// Value of its label `conf`, by which groups find it.
    pub(crate) label: String,
    sequence: u64,
    link: Link,
    /// Every offer that came.
    pub(crate) offers: Vec<AgentRemoteConfig>,
    /// How often it was asked for everything.
    pub(crate) full_states: usize,
    /// Whether it has said everything again since the last offer: what it does not run yet is offered again then.
    told_again: bool,
    /// How often it was given another uid.
    pub(crate) renamed: usize,
    /// How often it was told to restart.
    pub(crate) restarts: usize,
    /// How often a message was not taken and was sent again.
    pub(crate) repeated: usize,
    /// What it says that it runs.
    running: Bytes,
}

impl Agent {
    /// An agent that nobody knows and that is connected nowhere.
    pub(crate) fn new(label: &str) -> Self {
        Self {
            uid: identity::uuid_v7(1_800_000_000_000, ampora::entropy::bytes()),
            label: label.to_owned(),
            sequence: 0,
            link: Link::None,
            offers: Vec::new(),
            full_states: 0,
            told_again: false,
            renamed: 0,
            restarts: 0,
            repeated: 0,
            running: Bytes::new(),
        }
    }

    /// One that polls at an address.
    pub(crate) fn polling(label: &str, address: SocketAddr) -> Self {
        let mut agent = Self::new(label);
        agent.poll_at(address);
        agent
    }

    /// One with a socket to an address.
    pub(crate) fn connected(label: &str, address: SocketAddr) -> Self {
        let mut agent = Self::new(label);
        agent.connect(address);
        agent
    }

    /// From here on it polls there.
    pub(crate) fn poll_at(&mut self, address: SocketAddr) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        self.link = Link::Polls(Box::new(Polls {
            url: format!("http://{address}/v1/opamp"),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(SOON)
                .build()
                .expect("a client"),
            runtime: { runtime }.enable_all().build().expect("a runtime"),
        }));
    }

    /// From here on it speaks over a socket to there; the one of before is closed.
    pub(crate) fn connect(&mut self, address: SocketAddr) {
        let opened = eventually("a socket", SOON, || {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(SOON)).ok()?;
            stream.set_nodelay(true).ok()?;
            let url = format!("ws://{address}/v1/opamp");
            tungstenite::client::client(url, stream).ok()
        });
        self.link = Link::Socket(Box::new(opened.0));
    }

    /// The next message, with nothing but what every message has.
    pub(crate) fn message(&mut self) -> AgentToServer {
        let message = AgentToServer {
            instance_uid: Bytes::copy_from_slice(self.uid.as_bytes()),
            sequence_num: self.sequence,
            capabilities: CAPABILITIES,
            ..AgentToServer::default()
        };
        self.sequence += 1;
        message
    }

    /// Says everything.
    pub(crate) fn hello(&mut self) {
        let message = self.message();
        let full = self.full(message);
        self.ask(&full);
    }

    fn full(&self, message: AgentToServer) -> AgentToServer {
        let status = if self.running.is_empty() {
            RemoteConfigStatuses::Unset
        } else {
            RemoteConfigStatuses::Applied
        };
        AgentToServer {
            agent_description: Some(self.description()),
            health: Some(ComponentHealth {
                healthy: true,
                ..ComponentHealth::default()
            }),
            effective_config: Some(effective(&self.running)),
            remote_config_status: Some(self.status(status)),
            ..message
        }
    }

    fn description(&self) -> AgentDescription {
        AgentDescription {
            identifying_attributes: vec![attribute("service.name", "field")],
            non_identifying_attributes: vec![attribute("conf", &self.label)],
        }
    }

    fn status(&self, status: RemoteConfigStatuses) -> RemoteConfigStatus {
        RemoteConfigStatus {
            last_remote_config_hash: self.running.clone(),
            status: status.into(),
            error_message: String::new(),
        }
    }

    /// Says that it is there.
    pub(crate) fn beat(&mut self) {
        let message = self.message();
        self.ask(&message);
    }

    /// Says that it is another sort of agent.
    pub(crate) fn is_now(&mut self, label: &str) {
        label.clone_into(&mut self.label);
        let message = self.message();
        let description = Some(self.description());
        self.ask(&AgentToServer {
            agent_description: description,
            ..message
        });
    }

    /// Says that it applied the offer that came last, and runs it.
    pub(crate) fn apply(&mut self) {
        let offer = self.offers.last().expect("an offer");
        self.running = offer.config_hash.clone();
        self.told_again = false;
        let message = self.message();
        let full = AgentToServer {
            remote_config_status: Some(self.status(RemoteConfigStatuses::Applied)),
            effective_config: Some(effective(&self.running)),
            ..message
        };
        self.ask(&full);
    }

    /// Waits for so many offers in all, by polls or by listening.
    pub(crate) fn offered(&mut self, times: usize) {
        eventually("an offer", SOON, || {
            if matches!(self.link, Link::Polls(_)) {
                self.beat();
            } else {
                self.listen();
            }
            (self.offers.len() >= times).then_some(())
        });
        let hashes = self.offers.iter();
        let hashes: Vec<_> = hashes
            .map(|offer| hex::encode(&offer.config_hash))
            .collect();
        assert_eq!(hashes.len(), times, "{}: {hashes:?}", self.label);
    }

    /// Waits until this configuration is the one that was offered last.
    pub(crate) fn offered_this(&mut self, hash: &str) {
        eventually("the offer", SOON, || {
            self.listen();
            let last = self.offers.last()?;
            (hex::encode(&last.config_hash) == hash).then_some(())
        });
    }

    /// Says something until it is answered.
    pub(crate) fn ask(&mut self, message: &AgentToServer) {
        let answers = match &mut self.link {
            Link::None => panic!("it is connected nowhere"),
            Link::Polls(polls) => {
                let body = message.encode_to_vec();
                let (answer, repeated) = polls.ask(&body);
                self.repeated += repeated;
                vec![answer]
            }
            Link::Socket(socket) => {
                let framed = [vec![0], message.encode_to_vec()].concat();
                socket.send(Message::binary(framed)).expect("it is sent");
                vec![read(socket).expect("an answer")]
            }
        };
        for answer in answers {
            self.take(answer);
        }
    }

    /// Takes what came unasked.
    pub(crate) fn listen(&mut self) {
        let Link::Socket(socket) = &mut self.link else {
            return;
        };
        let wait = |socket: &WebSocket<TcpStream>, time| {
            let set = socket.get_ref().set_read_timeout(Some(time));
            set.expect("a timeout");
        };
        wait(socket, GLANCE);
        let mut came = Vec::new();
        while let Some(message) = read(socket) {
            came.push(message);
        }
        wait(socket, SOON);
        for message in came {
            self.take(message);
        }
    }

    fn take(&mut self, message: ServerToAgent) {
        let for_it = message.instance_uid == self.uid.as_bytes()[..];
        assert_eq!(message.error_response, None);
        if let Some(given) = &message.agent_identification {
            let given = Uuid::from_slice(&given.new_instance_uid).expect("a uid");
            assert_ne!(given, self.uid);
            self.uid = given;
            self.renamed += 1;
        }
        let for_it = for_it || message.instance_uid == self.uid.as_bytes()[..];
        assert!(for_it, "what is for another one: {message:?}");
        let asked = message.flags & 1 != 0;
        self.full_states += usize::from(asked);
        self.restarts += usize::from(message.command.is_some());
        if let Some(offer) = message.remote_config {
            let last = self.offers.last();
            let is_same = last.is_some_and(|last| last.config_hash == offer.config_hash);
            if !(is_same && std::mem::take(&mut self.told_again)) {
                self.offers.push(offer);
            }
        }
        if asked {
            self.told_again = true;
            self.hello();
        }
    }
}

impl Polls {
    /// Polls until it is answered, as agents do: what was not taken is sent again as it is.
    fn ask(&self, body: &[u8]) -> (ServerToAgent, usize) {
        let mut tries = 0;
        let answer = eventually("an answer to a poll", SOON, || {
            tries += 1;
            let request = self.client.post(&self.url);
            let request = request.header("content-type", "application/x-protobuf");
            let request = request.body(body.to_vec());
            self.runtime.block_on(async {
                let answer = request.send().await.ok()?;
                if answer.status() != 200 {
                    assert_eq!(answer.status(), 503, "what a client keeps its message for");
                    return None;
                }
                answer.bytes().await.ok()
            })
        });
        let answer = ServerToAgent::decode(answer).expect("a message of the server");
        (answer, tries - 1)
    }
}

/// The next message; none when nothing came in time.
fn read(socket: &mut WebSocket<TcpStream>) -> Option<ServerToAgent> {
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => {
                return Some(ServerToAgent::decode(&bytes[1..]).expect("a message of the server"));
            }
            Ok(Message::Close(frame)) => panic!("the node closed: {frame:?}"),
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                return None;
            }
            Err(error) => panic!("the socket ended: {error}"),
        }
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
    }
}

/// What it runs: the hash of the offer stands for its text.
fn effective(running: &Bytes) -> EffectiveConfig {
    let file = AgentConfigFile {
        body: hex::encode(running).into_bytes().into(),
        content_type: "text/plain".to_owned(),
        ..AgentConfigFile::default()
    };
    EffectiveConfig {
        config_map: Some(AgentConfigMap {
            config_map: [(String::new(), file)].into(),
        }),
    }
}
