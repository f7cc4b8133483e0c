//! S. Custom messages.

use ampora_proto::wire::{CustomCapabilities, CustomMessage};

use crate::agent::{Agent, BOTH};
use crate::row::{Row, open, row};
use crate::say;
use crate::server;

const STEP_2: &str = "custom messages are delivered with step 2";

pub(crate) const ROWS: &[Row] = &[
    open!(
        245,
        "should",
        "The server's custom capabilities are sent when they change.",
        STEP_2
    ),
    open!(
        246,
        "must",
        "Who never sent its capabilities supports none.",
        STEP_2
    ),
    open!(
        247,
        "should",
        "A new list replaces the old one, an empty one clears it.",
        STEP_2
    ),
    open!(
        248,
        "must",
        "Capabilities are compared as whole names.",
        STEP_2
    ),
    open!(
        249,
        "should",
        "A message is sent only for a capability that the agent has.",
        STEP_2
    ),
    row!(
        250,
        "MUST",
        "A custom message that nobody understands is answered, and the rest of its message counts.",
        c_250_unknown_custom_message
    ),
    open!(
        251,
        "derived",
        "Custom messages are delivered in order, and once.",
        STEP_2
    ),
    open!(
        252,
        "derived",
        "One message carries one of them; the queue is bounded.",
        STEP_2
    ),
    open!(253, "must", "Data is opaque and may be empty.", STEP_2),
    open!(
        254,
        "derived",
        "A lost one is not sent again by itself.",
        STEP_2
    ),
];

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
