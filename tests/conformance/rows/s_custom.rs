//! S. Custom messages.

use ampora_proto::wire::{CustomCapabilities, CustomMessage, ServerToAgent};
use base64::Engine;
use serde_json::Value;

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        245,
        "should",
        "The server's custom capabilities are sent when they change; it has none.",
        c_245_no_custom_capabilities
    ),
    row!(
        246,
        "must",
        "Who never sent its capabilities supports none.",
        c_246_silent_agents_have_none
    ),
    row!(
        247,
        "should",
        "A new list replaces the old one, an empty one clears it.",
        c_247_lists_replace
    ),
    row!(
        248,
        "must",
        "Capabilities are compared as whole names.",
        c_248_whole_names
    ),
    row!(
        249,
        "should",
        "A message is sent only for a capability that the agent has.",
        c_249_only_what_is_understood
    ),
    row!(
        250,
        "MUST",
        "A custom message that nobody understands is answered, and the rest of its message counts.",
        c_250_unknown_custom_message
    ),
    row!(
        251,
        "derived",
        "Custom messages are delivered in order, and once.",
        c_251_in_order_and_once
    ),
    row!(
        252,
        "derived",
        "One message carries one of them; the queue is bounded.",
        c_252_bounded_queue
    ),
    row!(
        253,
        "must",
        "Data is opaque and may be empty.",
        c_253_opaque_data
    ),
    row!(
        254,
        "derived",
        "A lost one is not sent again by itself.",
        c_254_lost_is_lost
    ),
];

const CAPABILITY: &str = "org.example.cap";

/// Tells the server which custom messages the agent understands.
fn announce(agent: &mut Agent<'_>, names: &[&str]) {
    agent.tell(|message| {
        message.custom_capabilities = Some(CustomCapabilities {
            capabilities: names.iter().map(|name| (*name).to_owned()).collect(),
        });
    });
    agent.server.agent("its capabilities", agent.uid, |agent| {
        agent["custom_capabilities"] == serde_json::json!(names)
    });
}

/// An agent that has said that it understands [`CAPABILITY`].
fn understanding(server: &Server, via: Via) -> Agent<'_> {
    let mut agent = Agent::introduced(server, via);
    announce(&mut agent, &[CAPABILITY]);
    agent
}

/// The agent says goodbye, and the server shows it.
fn leave(agent: &mut Agent<'_>) {
    agent.tell(say::goodbye);
    agent.server.agent("goodbye", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
}

/// Asks for a custom message; the status and the answer.
fn send(agent: &Agent<'_>, capability: &str, data: &[u8]) -> (u16, Value) {
    let form = serde_json::json!({
        "action": {"custom_message": {
            "capability": capability,
            "type": "t",
            "data_base64": base64::prelude::BASE64_STANDARD.encode(data),
        }},
        "target": {"agent": agent.uid.to_string()},
    });
    agent.server.ask("POST", "/dispatches", &form)
}

fn sent(agent: &Agent<'_>, data: &[u8]) -> String {
    let (status, dispatch) = send(agent, CAPABILITY, data);
    assert_eq!(status, 202, "{dispatch}");
    format!("/dispatches/{}", dispatch["id"].as_str().expect("an id"))
}

fn custom(agent: &mut Agent<'_>) -> CustomMessage {
    let message = agent.next_that("a custom message", |m| m.custom_message.is_some());
    message.custom_message.expect("one")
}

fn delivery(agent: &Agent<'_>, path: &str, state: &str) {
    crate::deadline::until(state, || {
        let dispatch = agent.server.get(path);
        (dispatch["deliveries"][0]["state"] == state).then_some(())
    });
}

fn c_245_no_custom_capabilities() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let mut heard = vec![agent.hello()];
        announce(&mut agent, &[CAPABILITY]);
        heard.extend(agent.beats(3));
        let said = |message: &ServerToAgent| message.custom_capabilities.is_some();
        assert!(!heard.iter().any(said), "{via:?}");
    }
}

fn c_246_silent_agents_have_none() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let (status, problem) = send(&agent, CAPABILITY, b"x");
        assert_eq!(
            (status, &problem["code"]),
            (409, &"lacks_capability".into())
        );
        let heard = agent.beats(3);
        assert!(heard.iter().all(|message| message.custom_message.is_none()));
    }
}

fn c_247_lists_replace() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        announce(&mut agent, &["a", "b"]);
        assert_eq!(send(&agent, "a", b"").0, 202);
        assert_eq!(custom(&mut agent).capability, "a");
        announce(&mut agent, &["b"]);
        assert_eq!(send(&agent, "a", b"").0, 409);
        assert_eq!(send(&agent, "b", b"").0, 202);
        assert_eq!(custom(&mut agent).capability, "b");
        announce(&mut agent, &[]);
        assert_eq!(send(&agent, "b", b"").0, 409);
    }
}

fn c_248_whole_names() {
    let server = server::shared();
    for via in BOTH {
        let agent = understanding(&server, via);
        for other in ["org.example.cap/v2", "org.example", "ORG.EXAMPLE.CAP"] {
            assert_eq!(send(&agent, other, b"").0, 409, "{other}");
        }
        assert_eq!(send(&agent, CAPABILITY, b"").0, 202);
    }
}

/// The agent gives the capability up while a message waits for it.
fn c_249_only_what_is_understood() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = understanding(&server, via);
        leave(&mut agent);
        let path = sent(&agent, b"too late");
        agent.reconnect();
        let mut heard = vec![agent.tell(|message| {
            message.custom_capabilities = Some(CustomCapabilities::default());
        })];
        heard.extend(agent.beats(3));
        assert!(heard.iter().all(|message| message.custom_message.is_none()));
        delivery(&agent, &path, "failed");
    }
}

fn c_251_in_order_and_once() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = understanding(&server, via);
        let paths: Vec<_> = (0..5_u8).map(|n| sent(&agent, &[n])).collect();
        let heard: Vec<u8> = (0..5).map(|_| custom(&mut agent).data[0]).collect();
        assert_eq!(heard, [0, 1, 2, 3, 4], "{via:?}");
        let later = agent.beats(3);
        assert!(later.iter().all(|message| message.custom_message.is_none()));
        for path in paths {
            delivery(&agent, &path, "succeeded");
        }
    }
}

/// More than a mailbox holds, for an agent that is away: all arrive, one at a time.
fn c_252_bounded_queue() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = understanding(&server, via);
        leave(&mut agent);
        let paths: Vec<_> = (0..20_u8).map(|n| sent(&agent, &[n])).collect();
        agent.reconnect();
        // over plain HTTP the first answer has the first of them
        let first = agent.beat().custom_message;
        let mut heard: Vec<u8> = first.iter().map(|message| message.data[0]).collect();
        while heard.len() < 20 {
            heard.push(custom(&mut agent).data[0]);
        }
        assert_eq!(heard, (0..20).collect::<Vec<u8>>(), "{via:?}");
        for path in paths {
            delivery(&agent, &path, "succeeded");
        }
    }
}

fn c_253_opaque_data() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = understanding(&server, via);
        for data in [&b""[..], &[0, 255, 128, 10], &[7; 3000]] {
            sent(&agent, data);
            let message = custom(&mut agent);
            assert_eq!((&message.data[..], &*message.r#type), (data, "t"));
        }
    }
}

fn c_254_lost_is_lost() {
    let server = Server::start(&[]);
    let mut agent = understanding(&server, Via::WebSocket);
    sent(&agent, b"once");
    assert_eq!(custom(&mut agent).data[..], b"once"[..]);
    let (uid, sequence, label) = (agent.uid, agent.sequence, agent.label.clone());
    drop(agent);
    let server = server.killed_and_started();
    let mut agent = Agent::known_as(&server, Via::WebSocket, uid, label);
    agent.sequence = sequence;
    let mut heard = agent.beats(2);
    agent.settled();
    heard.extend(agent.beats(3));
    assert!(heard.iter().all(|message| message.custom_message.is_none()));
}

fn c_250_unknown_custom_message() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let reply = agent.tell(|message| {
            message.health = Some(say::health(false, "beside a custom message"));
            message.custom_capabilities = Some(CustomCapabilities {
                capabilities: vec!["org.example.a".to_owned()],
            });
            message.custom_message = Some(CustomMessage {
                capability: "org.example.unknown/v7".to_owned(),
                r#type: "whatever".to_owned(),
                data: vec![0, 255, 1].into(),
            });
        });
        assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
        assert_eq!(reply.error_response, None);
        server.agent("health", agent.uid, |agent| {
            agent["health"]["status"] == "beside a custom message"
        });
    }
}
