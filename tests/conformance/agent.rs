//! An agent that behaves: it numbers its messages and reads every reply, over either transport. Rows that need
//! an agent to misbehave write their own bytes.

use std::collections::VecDeque;

use ampora_proto::wire::{AgentRemoteConfig, AgentToServer, RemoteConfigStatuses, ServerToAgent};
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use crate::deadline::until;
use crate::http::Http;
use crate::say;
use crate::server::Server;
use crate::watch;
use crate::ws::{End, Ws};

/// The transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    WebSocket,
    Http,
}

/// Both of them.
pub(crate) const BOTH: [Via; 2] = [Via::WebSocket, Via::Http];

/// What plain-HTTP clients say of their body.
pub(crate) const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

pub(crate) enum Link {
    WebSocket(Box<Ws>),
    Http(Http),
}

/// One agent.
pub(crate) struct Agent<'a> {
    pub(crate) server: &'a Server,
    pub(crate) via: Via,
    pub(crate) uid: Uuid,
    /// Number of the next message.
    pub(crate) sequence: u64,
    pub(crate) capabilities: u64,
    /// Value of its label `conf`, by which groups find it.
    pub(crate) label: String,
    pub(crate) link: Link,
    /// Offers that came and were not asked for yet.
    pub(crate) offers: VecDeque<AgentRemoteConfig>,
    /// All offers that ever came.
    pub(crate) offers_seen: usize,
    /// The enrollment token that it sends with every request, if any.
    pub(crate) token: Option<String>,
}

impl<'a> Agent<'a> {
    /// Connects an agent that nobody knows; it says nothing yet.
    pub(crate) fn new(server: &'a Server, via: Via) -> Agent<'a> {
        Agent::known_as(server, via, say::uid(), say::name())
    }

    /// Connects an agent under a uid.
    pub(crate) fn known_as(server: &'a Server, via: Via, uid: Uuid, label: String) -> Agent<'a> {
        Agent {
            server,
            via,
            uid,
            sequence: 0,
            capabilities: say::CAPABILITIES,
            label,
            link: connect(server, via, None),
            offers: VecDeque::new(),
            offers_seen: 0,
            token: None,
        }
    }

    /// Connects an agent under a uid with an enrollment token.
    pub(crate) fn with_token(server: &'a Server, via: Via, uid: Uuid, token: &str) -> Agent<'a> {
        Agent {
            server,
            via,
            uid,
            sequence: 0,
            capabilities: say::CAPABILITIES,
            label: say::name(),
            link: connect(server, via, Some(token)),
            offers: VecDeque::new(),
            offers_seen: 0,
            token: Some(token.to_owned()),
        }
    }

    /// Connects an agent that nobody knows and lets it introduce itself.
    pub(crate) fn introduced(server: &'a Server, via: Via) -> Agent<'a> {
        let mut agent = Agent::new(server, via);
        let reply = agent.hello();
        assert_eq!(say::error(&reply), None, "{reply:?}");
        agent.settled();
        agent
    }

    /// Waits until the server has its record and owns its session.
    pub(crate) fn settled(&self) {
        self.server.agent("the session", self.uid, |agent| {
            agent["state"] == "connected" && agent["labels"]["conf"] == self.label.as_str()
        });
    }

    /// The next message, with nothing but what every message has.
    pub(crate) fn message(&mut self) -> AgentToServer {
        let mut message = say::bare(self.uid, self.sequence);
        message.capabilities = self.capabilities;
        self.sequence = self.sequence.wrapping_add(1);
        message
    }

    /// Everything that the agent can report.
    pub(crate) fn full(&mut self) -> AgentToServer {
        let description = say::description(&[("conf", &self.label)]);
        AgentToServer {
            agent_description: Some(description),
            health: Some(say::health(true, "StatusOK")),
            effective_config: Some(say::effective(&[("", b"receivers: {}\n")])),
            remote_config_status: Some(say::status(b"", RemoteConfigStatuses::Unset, "")),
            ..self.message()
        }
    }

    /// Introduces itself.
    pub(crate) fn hello(&mut self) -> ServerToAgent {
        self.hello_with(|_| {})
    }

    /// Introduces itself with something more. One that enrolls does so again when it is asked to: the log of a
    /// busy machine may not have had the time to give it its place.
    pub(crate) fn hello_with(&mut self, more: impl Fn(&mut AgentToServer)) -> ServerToAgent {
        until("an answer to who it is", || {
            let mut message = self.full();
            more(&mut message);
            let reply = self.ask(&message);
            let again = self.token.is_some() && say::asks_full_state(&reply);
            (!again).then_some(reply)
        })
    }

    /// Says that it is there.
    pub(crate) fn beat(&mut self) -> ServerToAgent {
        let message = self.message();
        self.ask(&message)
    }

    /// Says something with one part.
    pub(crate) fn tell(&mut self, part: impl FnOnce(&mut AgentToServer)) -> ServerToAgent {
        let mut message = self.message();
        part(&mut message);
        self.ask(&message)
    }

    /// Says what became of a configuration.
    pub(crate) fn report(&mut self, hash: &[u8], status: RemoteConfigStatuses) -> ServerToAgent {
        let error = if status == RemoteConfigStatuses::Failed {
            "does not parse"
        } else {
            ""
        };
        self.tell(|message| {
            message.remote_config_status = Some(say::status(hash, status, error));
        })
    }

    /// Says something and reads the next message of the server.
    pub(crate) fn ask(&mut self, message: &AgentToServer) -> ServerToAgent {
        self.ask_bytes(&message.encode_to_vec())
    }

    /// Sends a body and reads the next message of the server.
    pub(crate) fn ask_bytes(&mut self, body: &[u8]) -> ServerToAgent {
        let reply = match &mut self.link {
            Link::WebSocket(ws) => {
                ws.say(body);
                ws.message()
            }
            Link::Http(http) => exchange_with(http, body, self.token.as_deref()),
        };
        self.seen(reply)
    }

    fn seen(&mut self, message: ServerToAgent) -> ServerToAgent {
        if let Some(offer) = &message.remote_config {
            self.offers.push_back(offer.clone());
            self.offers_seen += 1;
        }
        message
    }

    /// Says that it is there that many times; everything that came.
    pub(crate) fn beats(&mut self, count: usize) -> Vec<ServerToAgent> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.beat());
            messages.extend(self.drain());
        }
        messages
    }

    /// What came unasked, up to now.
    pub(crate) fn drain(&mut self) -> Vec<ServerToAgent> {
        let messages = match &mut self.link {
            Link::WebSocket(ws) => ws.drain(),
            Link::Http(_) => Vec::new(),
        };
        messages
            .into_iter()
            .map(|message| self.seen(message))
            .collect()
    }

    /// The next message that is not asked for: a push, or over plain HTTP a reply to a poll.
    pub(crate) fn next(&mut self) -> ServerToAgent {
        match &mut self.link {
            Link::WebSocket(ws) => {
                let message = ws.message();
                self.seen(message)
            }
            Link::Http(_) => self.beat(),
        }
    }

    /// The next message that is so: pushed, or the answer to polls.
    pub(crate) fn next_that(
        &mut self,
        what: &str,
        so: impl Fn(&ServerToAgent) -> bool,
    ) -> ServerToAgent {
        until(what, || Some(self.next()).filter(&so))
    }

    /// The next offer: one that has come already, or the next one pushed or polled.
    pub(crate) fn offer(&mut self) -> AgentRemoteConfig {
        until("an offer", || {
            if self.offers.is_empty() {
                self.next();
            }
            self.offers.pop_front()
        })
    }

    /// Takes an offer, says that it is applied, and waits until the server knows.
    pub(crate) fn apply_offer(&mut self) -> Bytes {
        let hash = self.offer().config_hash;
        self.report(&hash, RemoteConfigStatuses::Applied);
        let wanted = hex::encode(&hash);
        self.server.agent("the status", self.uid, |agent| {
            agent["config"]["reported_hash"] == wanted && agent["config"]["status"] == "applied"
        });
        hash
    }

    /// Waits until the server wants the agent to run something.
    pub(crate) fn wanted(&self, hash: &[u8]) {
        let hash = hex::encode(hash);
        self.server.agent("the assignment", self.uid, |agent| {
            agent["config"]["desired_hash"] == hash
        });
    }

    /// The connection is cut, and a new one is made.
    pub(crate) fn reconnect(&mut self) {
        self.link = connect(self.server, self.via, self.token.as_deref());
    }

    /// The WebSocket.
    pub(crate) fn ws(&mut self) -> &mut Ws {
        match &mut self.link {
            Link::WebSocket(ws) => ws,
            Link::Http(_) => panic!("no WebSocket"),
        }
    }

    /// How the WebSocket ended.
    pub(crate) fn end(&mut self) -> End {
        self.ws().end()
    }
}

fn connect(server: &Server, via: Via, token: Option<&str>) -> Link {
    match via {
        Via::WebSocket => {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = bearer
                .iter()
                .map(|bearer| ("Authorization", bearer.as_str()))
                .collect();
            let opened = Ws::try_open(server.opamp, Server::PATH, &headers);
            match opened {
                Ok(ws) => Link::WebSocket(Box::new(ws)),
                Err(status) => panic!("the upgrade was answered {status}"),
            }
        }
        Via::Http => Link::Http(Http::connect(server.opamp)),
    }
}

/// One plain-HTTP exchange.
pub(crate) fn exchange(http: &mut Http, body: &[u8]) -> ServerToAgent {
    exchange_with(http, body, None)
}

fn exchange_with(http: &mut Http, body: &[u8], token: Option<&str>) -> ServerToAgent {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![PROTOBUF];
    headers.extend(
        bearer
            .iter()
            .map(|bearer| ("Authorization", bearer.as_str())),
    );
    http.request("POST", Server::PATH, &headers, body);
    read(&http.response())
}

/// The message of a plain-HTTP reply that is not compressed.
pub(crate) fn read(response: &crate::http::Response) -> ServerToAgent {
    assert_eq!(response.status, 200, "{response:?}");
    read_body(&response.body)
}

/// The message in a body.
pub(crate) fn read_body(body: &[u8]) -> ServerToAgent {
    let message = ServerToAgent::decode(body).expect("a ServerToAgent");
    watch::message(&message, body);
    message
}
