//! H. Every message has its reply, and what may stand in it.

use ampora_proto::wire::{CustomMessage, ServerErrorResponseType};
use prost::Message;

use crate::agent::{Agent, BOTH, Link, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{self, BINARY, CLOSE, End};

pub(crate) const ROWS: &[Row] = &[
    row!(
        83,
        "MUST",
        "Every message is answered, whatever it carries.",
        c_083_every_message_is_answered
    ),
    row!(
        84,
        "MUST",
        "A message that could not be processed is answered with an error.",
        c_084_failure_is_said
    ),
    row!(
        85,
        "MUST",
        "A message that was processed is answered without one.",
        c_085_success_has_no_error
    ),
    row!(
        86,
        "must",
        "An error stands alone beside the uid.",
        c_086_error_stands_alone
    ),
    row!(
        87,
        "derived",
        "A reply without an error has no empty error either.",
        c_087_no_empty_error
    ),
    row!(
        88,
        "derived",
        "Goodbye and Close in one segment end cleanly.",
        c_088_goodbye_with_close
    ),
    row!(
        89,
        "derived",
        "Nothing new is answered by nothing new: no ping-pong.",
        c_089_no_ping_pong
    ),
    row!(
        90,
        "SHOULD",
        "Error texts are for people, without contents of the message.",
        c_090_texts_without_secrets
    ),
];

fn c_083_every_message_is_answered() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let heartbeat = agent.message();
        let health = {
            let mut message = agent.message();
            message.health = Some(say::health(false, "x"));
            message
        };
        let custom = {
            let mut message = agent.message();
            message.custom_message = Some(CustomMessage {
                capability: "org.example.unknown".to_owned(),
                ..CustomMessage::default()
            });
            message
        };
        for message in [&heartbeat, &health, &custom, &custom, &custom] {
            let reply = agent.ask(message);
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
            assert_eq!(reply.error_response, None, "{via:?}");
        }
        assert!(agent.drain().is_empty(), "one reply each");
    }
}

fn c_084_failure_is_said() {
    let server = Server::start(&["agents.max=2"]);
    for via in BOTH {
        Agent::introduced(&server, via);
    }
    for via in BOTH {
        let before = server.rejected("overload");
        let mut agent = Agent::new(&server, via);
        let reply = agent.hello();
        assert_eq!(
            say::error(&reply),
            Some(ServerErrorResponseType::Unavailable),
            "{reply:?}"
        );
        assert!(!server.knows(agent.uid));
        assert!(server.rejected("overload") > before);
    }
}

fn c_085_success_has_no_error() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        for _ in 0..3 {
            let full = agent.full();
            assert_eq!(agent.ask(&full).error_response, None);
        }
        assert_eq!(agent.tell(say::goodbye).error_response, None);
    }
}

fn c_086_error_stands_alone() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.wanted(&hash);
        agent.offer();
        let mut broken = agent.message().encode_to_vec();
        broken.extend_from_slice(&[0x2A, 0x05, 1]);
        let mut reply = agent.ask_bytes(&broken);
        assert!(say::is_bad_request(&reply));
        reply.error_response = None;
        reply.instance_uid = Default::default();
        assert_eq!(reply, Default::default(), "nothing else");
    }
}

fn c_087_no_empty_error() {
    let server = server::shared();
    let mut agent = Agent::new(&server, Via::WebSocket);
    let body = agent.full().encode_to_vec();
    agent.ws().say(&body);
    let frame = agent.ws().frame().expect("a reply");
    // field 2 would have the key 0x12 right behind the uid
    assert_eq!(frame.opcode, BINARY);
    assert_ne!(frame.payload[19], 0x12);
    assert_eq!(ws::read(&frame).error_response, None);
}

fn c_088_goodbye_with_close() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let mut message = agent.message();
    say::goodbye(&mut message);
    let body = ws::framed(&message.encode_to_vec());
    let close = ws::frame(0x80 | CLOSE, &1000_u16.to_be_bytes(), true);
    let segment = [ws::frame(0x80 | BINARY, &body, true), close].concat();
    agent.ws().http.send(&segment);
    assert_eq!(agent.end(), End::Close(1000));
    server.agent("goodbye", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
    let uid = agent.uid.to_string();
    let loud = server.log().lines().any(|line| {
        line.contains(&uid) && (line.contains("\"ERROR\"") || line.contains("\"WARN\""))
    });
    assert!(!loud, "a goodbye is no error");
}

fn c_089_no_ping_pong() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        for reply in agent.beats(20) {
            assert_eq!((reply.flags, reply.remote_config), (0, None));
            assert_eq!((reply.command, reply.error_response), (None, None));
        }
        // the same full report again is nothing new either
        let full = {
            let mut full = agent.full();
            full.remote_config_status = None;
            full
        };
        let reply = agent.ask(&full);
        assert_eq!((reply.flags, reply.remote_config), (0, None));
        assert!(agent.drain().is_empty(), "nothing comes unasked");
    }
}

fn c_090_texts_without_secrets() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let mut message = agent.message();
        message.health = Some(say::health(false, "password=hunter2"));
        let mut broken = message.encode_to_vec();
        // a text that is not UTF-8, behind one that is
        broken.extend(say::field(5, &say::field(3, b"token=hunter2\xFF")));
        let reply = agent.ask_bytes(&broken);
        let error = reply.error_response.expect("an error");
        assert!(error.error_message.len() > 10, "{}", error.error_message);
        for secret in ["hunter2", ".rs:", "panicked", "/src/"] {
            assert!(
                !error.error_message.contains(secret),
                "{}",
                error.error_message
            );
        }
        assert!(matches!(agent.link, Link::WebSocket(_) | Link::Http(_)));
    }
}
