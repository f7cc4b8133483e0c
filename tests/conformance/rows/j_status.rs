//! J. What agents report is kept and shown as they said it.

use std::time::Duration;

use ampora_proto::wire::any_value::Value as Any;
use ampora_proto::wire::{
    AgentDescription, AnyValue, ArrayValue, AvailableComponents, ComponentDetails, ComponentHealth,
    CustomMessage, EffectiveConfig, KeyValueList,
};
use prost::Message;
use serde_json::json;

use crate::agent::{Agent, BOTH, Via};
use crate::deadline::{Held, Since, until_true};
use crate::row::{Row, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        106,
        "derived",
        "Attributes of every kind of value are kept and shown.",
        c_106_attribute_kinds
    ),
    row!(
        107,
        "derived",
        "Of a key that comes twice, the last counts; identifying attributes win.",
        c_107_duplicate_keys
    ),
    row!(
        108,
        "derived",
        "Health is a tree with free texts and any times.",
        c_108_health_tree
    ),
    row!(
        109,
        "derived",
        "Attributes of health are shown.",
        c_109_health_attributes
    ),
    row!(
        110,
        "derived",
        "Unhealthy without an error and healthy with one are both taken.",
        c_110_health_and_errors
    ),
    row!(
        111,
        "derived",
        "Effective configurations have any names and any bytes.",
        c_111_effective_config_bytes
    ),
    row!(
        112,
        "derived",
        "Effective configurations are shown to who may see them, without secrets.",
        c_112_effective_config_secrets
    ),
    row!(
        113,
        "should",
        "An effective configuration is not expected without its bit.",
        c_113_effective_config_not_expected
    ),
    row!(
        114,
        "derived",
        "A disconnected agent keeps its last status.",
        c_114_disconnected_keeps_status
    ),
    row!(
        115,
        "must",
        "Every message is a sign of life.",
        c_115_signs_of_life
    ),
    row!(
        116,
        "derived",
        "Huge legal reports do not hold up others.",
        c_116_huge_reports
    ),
    row!(
        117,
        "derived",
        "Text that is not UTF-8 and nesting beyond the cap are malformed.",
        c_117_malformed_text_and_depth
    ),
];

fn list(values: Vec<Any>) -> Any {
    let values = values
        .into_iter()
        .map(|value| AnyValue { value: Some(value) });
    Any::ArrayValue(ArrayValue {
        values: values.collect(),
    })
}

fn map(pairs: Vec<(&str, Any)>) -> Any {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| say::attribute(key, value));
    Any::KvlistValue(KeyValueList {
        values: pairs.collect(),
    })
}

fn c_106_attribute_kinds() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let nested = map(vec![(
            "a",
            list(vec![
                map(vec![("b", Any::IntValue(-7))]),
                Any::BoolValue(true),
            ]),
        )]);
        let mut null = say::text("null", "");
        null.value = None;
        agent.tell(|message| {
            message.agent_description = Some(AgentDescription {
                identifying_attributes: vec![say::text("service.name", "kinds")],
                non_identifying_attributes: vec![
                    say::text("text", "grün"),
                    say::attribute("bool", Any::BoolValue(true)),
                    say::attribute("int", Any::IntValue(i64::MIN)),
                    say::attribute("double", Any::DoubleValue(0.5)),
                    say::attribute(
                        "list",
                        list(vec![Any::IntValue(1), Any::StringValue("x".to_owned())]),
                    ),
                    say::attribute("nested", nested.clone()),
                    say::attribute("bytes", Any::BytesValue(vec![0, 255].into())),
                    null,
                ],
            });
        });
        let expected = json!({
            "service.name": "kinds",
            "text": "grün",
            "bool": "true",
            "int": i64::MIN.to_string(),
            "double": "0.5",
            "list": "[1,\"x\"]",
            "nested": "{\"a\":[{\"b\":-7},true]}",
            "bytes": "\"AP8=\"",
            "null": "null",
        });
        let agent = server.agent("labels", agent.uid, |agent| {
            agent["labels"]["int"].is_string()
        });
        assert_eq!(agent["labels"], expected, "{via:?}");
        assert_eq!(agent["agent_type"], "kinds");
    }
}

fn c_107_duplicate_keys() {
    let server = server::shared();
    let mut agent = Agent::new(&server, Via::WebSocket);
    agent.tell(|message| {
        message.agent_description = Some(AgentDescription {
            identifying_attributes: vec![say::text("host.name", "a"), say::text("host.name", "b")],
            non_identifying_attributes: vec![
                say::text("env", "first"),
                say::text("env", "last"),
                say::text("host.name", "c"),
            ],
        });
    });
    let expected = json!({"env": "last", "host.name": "b"});
    server.agent("labels", agent.uid, |agent| agent["labels"] == expected);
}

fn c_108_health_tree() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let leaf = ComponentHealth {
            status_time_unix_nano: u64::MAX,
            start_time_unix_nano: 1 << 63,
            last_error: "connection refused".to_owned(),
            ..say::health(false, "any words it likes")
        };
        let branch = ComponentHealth {
            component_health_map: [("receiver:otlp".to_owned(), leaf)].into(),
            ..say::health(true, "StatusOK")
        };
        agent.tell(|message| {
            message.health = Some(ComponentHealth {
                component_health_map: [("pipeline:traces".to_owned(), branch)].into(),
                start_time_unix_nano: 0,
                status_time_unix_nano: 1_700_000_000_123_000_000,
                ..say::health(false, "StatusRecoverableError")
            });
        });
        let tree = server.below_agent("the tree", agent.uid, "/health", |tree| {
            tree["status"] == "StatusRecoverableError"
        });
        assert_eq!(tree["start_time"], json!(null), "not running");
        assert_eq!(tree["status_time"], "2023-11-14T22:13:20.123Z");
        let leaf = &tree["components"]["pipeline:traces"]["components"]["receiver:otlp"];
        assert_eq!(leaf["status"], "any words it likes");
        assert_eq!(leaf["last_error"], "connection refused");
        assert!(leaf["status_time"].is_string(), "{leaf}");
    }
}

fn c_109_health_attributes() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    agent.tell(|message| {
        let mut health = say::health(false, "with attributes");
        health.attributes = vec![
            say::text("error.kind", "none"),
            say::attribute("n", Any::IntValue(3)),
        ];
        message.health = Some(health);
    });
    let expected = json!({"error.kind": "none", "n": 3});
    server.below_agent("attributes", agent.uid, "/health", |tree| {
        tree["attributes"] == expected
    });
}

fn c_110_health_and_errors() {
    let server = server::shared();
    for via in BOTH {
        for (healthy, error) in [(false, ""), (true, "a warning, perhaps")] {
            let mut agent = Agent::new(&server, via);
            let mut message = agent.full();
            message.health.get_or_insert_default().healthy = healthy;
            message.health.get_or_insert_default().last_error = error.to_owned();
            assert_eq!(agent.ask(&message).error_response, None);
            server.agent("health", agent.uid, |agent| {
                agent["health"]["healthy"] == healthy && agent["health"]["last_error"] == error
            });
        }
    }
}

fn c_111_effective_config_bytes() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let long = "k".repeat(10_000);
        let mut files = vec![
            ("", &b"a: 1\n"[..]),
            ("binary", &[0, 159, 146, 150, 255]),
            ("empty", b""),
            ("conf.d/with/slashes.yaml", b"b: 2\n"),
            ("ünïcödé ☂", b"c: 3\n"),
            (long.as_str(), b"d: 4\n"),
        ];
        let names: Vec<String> = (0..200).map(|number| format!("n{number:03}")).collect();
        files.extend(
            names
                .iter()
                .map(|name| (name.as_str(), b"# one of many\n".as_slice())),
        );
        let reply = agent.tell(|message| message.effective_config = Some(say::effective(&files)));
        assert_eq!(reply.error_response, None);
        let shown = server.below_agent("the files", agent.uid, "/effective-config", |config| {
            config["files"]
                .as_array()
                .is_some_and(|shown| shown.len() == files.len())
        });
        let shown = shown["files"].as_array().expect("files");
        for (name, _) in &files {
            assert!(shown.iter().any(|file| file["name"] == *name), "{name:.40}");
        }
        let of = |name: &str| {
            shown
                .iter()
                .find(|file| file["name"] == name)
                .expect("the file")
        };
        assert_eq!(of("")["body"], "a: 1\n");
        assert_eq!(of("ünïcödé ☂")["body"], "c: 3\n");
        assert_eq!(of("empty")["body"], "");
    }
}

fn c_112_effective_config_secrets() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let yaml = b"exporters:\n  otlp:\n    endpoint: example.org:4317\n    headers:\n      authorization: Bearer hunter2\n    password: hunter2\n";
    agent.tell(|message| message.effective_config = Some(say::effective(&[("", yaml)])));
    let shown = server.below_agent("the file", agent.uid, "/effective-config", |config| {
        config["files"][0]["body"]
            .as_str()
            .is_some_and(|body| body.contains("example.org"))
    });
    assert_eq!(shown["redacted"], true);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    let path = format!("/api/v1/agents/{}/effective-config", agent.uid);
    let refused = server.ask_as_nobody("GET", &path);
    assert_eq!(refused.status, 401);
    assert!(!String::from_utf8_lossy(&refused.body).contains("example.org"));
    assert!(!server.log().contains("hunter2"));
    use std::os::unix::fs::PermissionsExt;
    let bodies = std::fs::metadata(server.data_dir().join("bodies")).expect("a directory");
    assert_eq!(
        bodies.permissions().mode() & 0o077,
        0,
        "nobody else reads it"
    );
}

fn c_113_effective_config_not_expected() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities &= !0x4;
        let mut message = agent.full();
        message.effective_config = None;
        let mut replies = vec![agent.ask(&message)];
        replies.extend(agent.beats(5));
        assert!(
            replies.iter().all(|reply| reply.flags == 0),
            "{via:?}: {replies:?}"
        );
    }
}

fn c_114_disconnected_keeps_status() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.tell(say::goodbye);
        let shown = server.agent("goodbye", agent.uid, |agent| {
            agent["state"] == "disconnected"
        });
        assert_eq!(shown["health"]["healthy"], true, "{via:?}: its last word");
        assert_eq!(shown["labels"]["conf"], agent.label.as_str());
        server.below_agent("the tree", agent.uid, "/health", |tree| {
            tree["status"] == "StatusOK"
        });
    }
}

fn c_115_signs_of_life() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let kinds: [fn(&mut ampora_proto::wire::AgentToServer); 5] = [
            |_| {},
            |message| message.health = Some(say::health(true, "again")),
            |message| message.effective_config = Some(say::effective(&[])),
            |message| message.custom_message = Some(CustomMessage::default()),
            |message| message.connection_settings_request = Some(Default::default()),
        ];
        for part in kinds {
            let before = server.agent("the agent", agent.uid, |_| true)["last_seen"].clone();
            agent.tell(part);
            let shown = server.agent("a sign of life", agent.uid, |agent| {
                agent["last_seen"].as_str() > before.as_str()
            });
            assert_eq!(shown["last_seen_exact"], true, "{via:?}");
        }
    }
}

fn c_116_huge_reports() {
    let server = server::shared();
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let details = ComponentDetails {
        metadata: vec![say::text("code.namespace", "go.opentelemetry.io/collector")],
        ..ComponentDetails::default()
    };
    let components: std::collections::BTreeMap<_, _> = (0..10_000)
        .map(|number| (format!("component{number}"), details.clone()))
        .collect();
    std::thread::scope(|scope| {
        let huge = BOTH.map(|via| {
            let (server, components) = (&server, &components);
            scope.spawn(move || {
                let mut agent = Agent::introduced(server, via);
                agent.capabilities |= 0x4000;
                for number in 0..3_u8 {
                    let body = vec![b'a' + number; 5_000_000];
                    let reply = agent.tell(|message| {
                        message.effective_config = Some(say::effective(&[("", &body)]));
                        message.available_components = Some(AvailableComponents {
                            hash: vec![number; 32].into(),
                            components: components.clone(),
                        });
                    });
                    assert_eq!(reply.error_response, None);
                }
            })
        });
        let mut held = Held::default();
        while !huge.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let since = Since::now();
            assert_eq!(bystander.beat().error_response, None);
            held.took(since.elapsed());
            // unoptimised and beside the rest of the suite
            held.up_for_less_than(Duration::from_secs(5));
        }
        held.went_on();
    });
}

/// A health tree of that many levels.
fn deep(levels: usize) -> Vec<u8> {
    let mut tree = vec![0x08, 1];
    for _ in 1..levels {
        let entry = [say::field(1, b"c"), say::field(2, &tree)].concat();
        tree = say::field(6, &entry);
    }
    say::field(5, &tree)
}

fn c_117_malformed_text_and_depth() {
    let server = server::shared();
    for via in BOTH {
        let before = server.rejected("malformed");
        let mut agent = Agent::introduced(&server, via);
        let bad_text = say::field(5, &say::field(3, b"\xF0\x28\x8C\x28"));
        let bad_key = say::field(5, &say::field(6, &say::field(1, b"\xFF")));
        for part in [bad_text, bad_key, deep(200), deep(20_000)] {
            let body = [agent.message().encode_to_vec(), part].concat();
            let reply = agent.ask_bytes(&body);
            assert!(say::is_bad_request(&reply), "{via:?}: {reply:?}");
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
        }
        assert!(
            server.rejected("malformed") >= before + 4.0,
            "each is counted"
        );
        let shown = server.agent("the agent", agent.uid, |_| true);
        assert_eq!(
            shown["health"]["status"], "StatusOK",
            "nothing of the others counts: {shown}"
        );
        let body = [agent.message().encode_to_vec(), deep(20)].concat();
        assert_eq!(
            agent.ask_bytes(&body).error_response,
            None,
            "a deep tree is fine"
        );
        until_true("the deep tree", || {
            let tree = server.below_agent("a tree", agent.uid, "/health", |_| true);
            tree["components"]["c"]["components"]["c"].is_object()
        });
    }
    let empty = EffectiveConfig::default();
    assert_eq!(empty.encoded_len(), 0);
}
