//! T. Components: known by a hash, asked for when the hash is news.

use ampora_proto::wire::{AgentToServer, AvailableComponents, ComponentDetails, ServerToAgent};
use prost::Message;

use crate::agent::{Agent, BOTH};
use crate::row::{Row, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        255,
        "may",
        "A hash that is not known is answered by asking for the list.",
        c_255_unknown_hash_is_asked_for
    ),
    row!(
        256,
        "MUST",
        "An agent without the bit is never asked.",
        c_256_only_who_reports
    ),
    row!(
        257,
        "may",
        "A hash that is known is not asked for.",
        c_257_known_hash
    ),
    row!(
        258,
        "must",
        "The hash is the agent's own, of any form.",
        c_258_opaque_hash
    ),
    row!(
        259,
        "derived",
        "A hash alone does not erase the list that it belongs to.",
        c_259_hash_alone
    ),
    row!(
        260,
        "derived",
        "The full state brings the whole list, which is large.",
        c_260_full_state_with_the_list
    ),
    row!(
        261,
        "derived",
        "Components nest, up to the depth that messages may have.",
        c_261_nested_components
    ),
];

fn list(hash: &[u8], names: &[&str]) -> AvailableComponents {
    let leaf = ComponentDetails {
        metadata: vec![say::text("code.namespace", "example.org/collector")],
        ..ComponentDetails::default()
    };
    AvailableComponents {
        hash: hash.to_vec().into(),
        components: names
            .iter()
            .map(|name| ((*name).to_owned(), leaf.clone()))
            .collect(),
    }
}

/// An agent that reports components and has told everything else.
fn reporting(server: &server::Server, via: crate::agent::Via) -> Agent<'_> {
    let mut agent = Agent::introduced(server, via);
    agent.capabilities |= 0x4000;
    agent
}

fn tell(agent: &mut Agent<'_>, components: AvailableComponents) -> ServerToAgent {
    agent.tell(|message: &mut AgentToServer| message.available_components = Some(components))
}

fn c_255_unknown_hash_is_asked_for() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = reporting(&server, via);
        let reply = tell(&mut agent, list(&[1; 32], &[]));
        assert!(say::asks_components(&reply), "{via:?}: {reply:?}");
        let reply = tell(&mut agent, list(&[1; 32], &["receivers", "exporters"]));
        assert!(!say::asks_components(&reply));
        let shown = server.below_agent("the list", agent.uid, "/components", |shown| {
            shown["components"]["receivers"].is_object()
        });
        assert_eq!(shown["hash"], hex::encode([1; 32]));
        assert!(agent.beats(3).iter().all(|reply| reply.flags == 0));
    }
}

fn c_256_only_who_reports() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let reply = tell(&mut agent, list(&[2; 32], &[]));
        assert!(!say::asks_components(&reply), "{via:?}");
        assert!(
            agent
                .beats(3)
                .iter()
                .all(|reply| !say::asks_components(reply))
        );
    }
}

fn c_257_known_hash() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = reporting(&server, via);
        tell(&mut agent, list(&[3; 32], &["receivers"]));
        server.below_agent("the list", agent.uid, "/components", |shown| {
            shown["components"]["receivers"].is_object()
        });
        assert!(
            !say::asks_components(&tell(&mut agent, list(&[3; 32], &[]))),
            "{via:?}"
        );
        agent.reconnect();
        assert!(
            !say::asks_components(&tell(&mut agent, list(&[3; 32], &[]))),
            "{via:?}: reconnected"
        );
        assert!(
            say::asks_components(&tell(&mut agent, list(&[4; 32], &[]))),
            "{via:?}: news"
        );
    }
}

fn c_258_opaque_hash() {
    let server = server::shared();
    for via in BOTH {
        for hash in [&b"0123456789abcdef"[..], &[0xFF], &[7; 64]] {
            let mut agent = reporting(&server, via);
            assert!(say::asks_components(&tell(&mut agent, list(hash, &[]))));
            tell(&mut agent, list(hash, &["extensions"]));
            server.below_agent("the hash", agent.uid, "/components", |shown| {
                shown["hash"] == hex::encode(hash)
            });
        }
    }
}

fn c_259_hash_alone() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = reporting(&server, via);
        tell(&mut agent, list(&[5; 32], &["receivers"]));
        tell(&mut agent, list(&[5; 32], &[]));
        let shown = server.below_agent("the list", agent.uid, "/components", |_| true);
        assert!(
            shown["components"]["receivers"].is_object(),
            "{via:?}: {shown}"
        );
        assert!(say::asks_components(&tell(&mut agent, list(&[6; 32], &[]))));
        tell(&mut agent, list(&[6; 32], &["connectors"]));
        server.below_agent("the other list", agent.uid, "/components", |shown| {
            shown["components"]["connectors"].is_object()
                && shown["components"]["receivers"].is_null()
        });
    }
}

fn c_261_nested_components() {
    let server = server::shared();
    let nested = |levels: usize| {
        let mut details = ComponentDetails::default();
        for _ in 1..levels {
            details = ComponentDetails {
                sub_component_map: [("c".to_owned(), details)].into(),
                ..ComponentDetails::default()
            };
        }
        AvailableComponents {
            hash: vec![8; 32].into(),
            components: [("c".to_owned(), details)].into(),
        }
    };
    for via in BOTH {
        let mut agent = reporting(&server, via);
        assert_eq!(tell(&mut agent, nested(30)).error_response, None);
        server.below_agent("the list", agent.uid, "/components", |shown| {
            shown["components"]["c"]["components"]["c"].is_object()
        });
        let mut message = agent.message();
        message.available_components = Some(nested(200));
        assert!(say::is_bad_request(
            &agent.ask_bytes(&message.encode_to_vec())
        ));
    }
}

fn c_260_full_state_with_the_list() {
    const COMPONENTS: usize = 5_000;
    let server = server::Server::start(&[]);
    let names: Vec<String> = (0..COMPONENTS).map(|n| format!("receiver-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for via in BOTH {
        let mut agent = reporting(&server, via);
        agent.sequence += 1;
        let reply = tell(&mut agent, list(&[6; 32], &[]));
        // the full state brings the list: it is not asked for beside it
        assert!(say::asks_full_state(&reply) && !say::asks_components(&reply));
        let before = server.metric("ampora_opamp_full_state_bytes_total");
        let mut full = agent.full();
        full.available_components = Some(list(&[6; 32], &names));
        let size = full.encoded_len();
        assert!(size > 200_000, "{size} bytes");
        let reply = agent.ask(&full);
        assert_eq!((reply.error_response, reply.flags), (None, 0), "{via:?}");
        let measured = server.metric("ampora_opamp_full_state_bytes_total") - before;
        assert_eq!(measured, size as f64, "what it cost is seen");
        server.below_agent("the list", agent.uid, "/components", |shown| {
            let shown = shown["components"].as_object();
            shown.is_some_and(|components| components.len() == COMPONENTS)
        });
        assert!(agent.beats(3).iter().all(|reply| reply.flags == 0));
    }
}
