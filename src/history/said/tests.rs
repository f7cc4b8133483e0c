//! Whatever an agent says is JSON within the bounds, and what it means is there.

use ampora_proto::wire;
use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::records::Label;
use proptest::prelude::*;

use super::*;
use crate::agents::testing::encoded;

fn shown(said: Said) -> (Value, Option<Value>) {
    let note = Note {
        at_ms: 7,
        agent: InstanceUid::from_u128(1),
        fence: Fence(3),
        said,
    };
    let (event, document) = event(&note);
    assert!(
        event.body.len() <= EVENT_BYTES_MAX,
        "{} bytes",
        event.body.len()
    );
    assert_eq!((event.at_ms, event.fence), (7, Fence(3)));
    assert_eq!(event.kind, note.said.kind());
    let names = document.as_ref().map(|document| document.hash);
    assert_eq!(event.document, names);
    let body: Value = serde_json::from_str(&event.body).expect("JSON");
    assert!(body.is_object());
    let document = document.map(|document| {
        assert!(document.body.len() <= DOCUMENT_BYTES_MAX);
        serde_json::from_str(&document.body).expect("JSON")
    });
    (body, document)
}

fn effective(files: &[(&str, &[u8])]) -> Said {
    let file = |body: &[u8]| wire::AgentConfigFile {
        body: Bytes::copy_from_slice(body),
        content_type: "text/yaml".to_owned(),
        ..Default::default()
    };
    let files = files
        .iter()
        .map(|(name, body)| ((*name).to_owned(), file(body)));
    let body = encoded(&wire::EffectiveConfig {
        config_map: Some(wire::AgentConfigMap {
            config_map: files.collect(),
        }),
    });
    Said::EffectiveConfig {
        hash: BodyHash([0xab; 32]),
        body,
    }
}

#[test]
fn comings_and_goings_name_transport_reason_and_fence() {
    let (body, _) = shown(Said::Connected {
        transport: Transport::WebSocket,
    });
    assert_eq!(body, json!({"transport": "websocket", "fence": 3}));
    let (body, _) = shown(Said::Disconnected(Ended::Lost));
    assert_eq!(body, json!({"reason": "lost", "fence": 3}));
    let (body, _) = shown(Said::Disconnected(Ended::OwnerDied(NodeId(9))));
    assert_eq!(
        body,
        json!({"reason": "owner_died", "owner_node": 9, "fence": 3})
    );
}

#[test]
fn a_health_tree_has_times_and_components_and_no_secret() {
    let below = wire::ComponentHealth {
        status: "StatusOK".to_owned(),
        healthy: true,
        ..Default::default()
    };
    let tree = wire::ComponentHealth {
        last_error: "cannot reach https://me:hunter2@example.com/".to_owned(),
        start_time_unix_nano: 1_700_000_000_123_000_000,
        component_health_map: [("pipeline:traces".to_owned(), below)].into(),
        ..Default::default()
    };
    let (body, _) = shown(Said::Health(encoded(&tree)));
    assert_eq!(body["start_time"], "2023-11-14T22:13:20.123Z");
    assert_eq!(body["components"]["pipeline:traces"]["status"], "StatusOK");
    assert!(!body.to_string().contains("hunter2"), "{body}");
    assert!(body.get("truncated").is_none());
}

#[test]
fn a_large_tree_goes_without_its_components_and_says_so() {
    let below = wire::ComponentHealth {
        status: "x".repeat(1_000),
        ..Default::default()
    };
    let tree = wire::ComponentHealth {
        healthy: true,
        status: "StatusOK".to_owned(),
        component_health_map: (0..100).map(|n| (n.to_string(), below.clone())).collect(),
        ..Default::default()
    };
    let (body, _) = shown(Said::Health(encoded(&tree)));
    assert_eq!(body["truncated"], true);
    assert_eq!(
        (&body["healthy"], &body["status"]),
        (&true.into(), &"StatusOK".into())
    );
    assert!(body.get("components").is_none());
}

#[test]
fn descriptions_statuses_and_packages_have_the_names_of_rest() {
    let label = |key: &str, value: &str| Label {
        key: key.into(),
        value: value.into(),
        scalar: true,
    };
    let (body, _) = shown(Said::Description {
        description: Arc::new(Description {
            name: "web-1".into(),
            agent_type: "otelcol".into(),
            agent_version: "1.2".into(),
            labels: vec![label("env", "prod"), label("dsn", "pg://me:hunter2@db/x")],
            truncated: false,
        }),
        capabilities: 0x3,
    });
    assert_eq!(
        (&body["name"], &body["agent_type"]),
        (&"web-1".into(), &"otelcol".into())
    );
    assert_eq!(body["labels"]["env"], "prod");
    assert_eq!(
        body["capabilities"],
        json!(["ReportsStatus", "AcceptsRemoteConfig"])
    );
    assert!(!body.to_string().contains("hunter2"), "{body}");

    let (body, _) = shown(Said::ConfigStatus {
        hash: [0xfe, 0x01].into(),
        status: ConfigStatus::Failed,
        error: "password=hunter2 was refused".into(),
    });
    assert_eq!(
        (&body["hash"], &body["status"]),
        (&"fe01".into(), &"failed".into())
    );
    assert!(!body["error"].to_string().contains("hunter2"), "{body}");

    let package = wire::PackageStatus {
        agent_has_version: "2".to_owned(),
        status: wire::PackageStatusEnum::InstallFailed.into(),
        error_message: "Authorization: Bearer abcdef0123456789".to_owned(),
        ..Default::default()
    };
    let (body, _) = shown(Said::Packages(encoded(&wire::PackageStatuses {
        packages: [("collector".to_owned(), package)].into(),
        ..Default::default()
    })));
    let shown = &body["packages"][0];
    assert_eq!(
        (&shown["name"], &shown["version"]),
        (&"collector".into(), &"2".into())
    );
    assert_eq!(shown["status"], "install_failed");
    assert!(!body.to_string().contains("abcdef"), "{body}");
}

#[test]
fn an_effective_configuration_is_a_redacted_document_that_its_event_names() {
    let (body, document) = shown(effective(&[
        (
            "collector.yaml",
            b"exporters:\n  otlp:\n    api_key: hunter2\n",
        ),
        ("other", b"\xff\xfe"),
    ]));
    let hash = "ab".repeat(32);
    assert_eq!(
        body,
        json!({"hash": hash, "files": [
            {"name": "collector.yaml", "content_type": "text/yaml", "bytes": 40},
            {"name": "other", "content_type": "text/yaml", "bytes": 2},
        ]})
    );
    let document = document.expect("a document");
    assert_eq!(
        (&document["hash"], &document["redacted"]),
        (&hash.into(), &true.into())
    );
    let text = document["files"][0]["body"].as_str().expect("a text");
    assert!(text.contains("otlp") && !text.contains("hunter2"), "{text}");

    // as it came, and what it becomes: two bytes that are no text are six as replacement characters
    for large in [
        vec![b'x'; DOCUMENT_BYTES_MAX + 1],
        vec![0xff; DOCUMENT_BYTES_MAX / 2],
    ] {
        let (body, document) = shown(effective(&[("a", &large)]));
        assert_eq!(body["document"], "too_large");
        assert_eq!(body["files"][0]["bytes"], large.len());
        assert!(document.is_none());
    }
}

/// Bytes as agents might send them: well-formed messages and noise, with texts from none to very long.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        Just("password=\u{0}\"\\".to_owned()),
        (1_usize..200_000).prop_map(|length| "é\u{1}".repeat(length)),
    ]
}

fn any_tree() -> impl Strategy<Value = wire::ComponentHealth> {
    let leaf = (any::<bool>(), any::<u64>(), any_text(), any_text()).prop_map(
        |(healthy, start_time_unix_nano, status, last_error)| wire::ComponentHealth {
            healthy,
            start_time_unix_nano,
            status,
            last_error,
            ..Default::default()
        },
    );
    leaf.prop_recursive(4, 16, 4, |inner| {
        let map = proptest::collection::btree_map(any_text(), inner, 0..4);
        (map, any_text()).prop_map(|(component_health_map, status)| wire::ComponentHealth {
            component_health_map,
            status,
            ..Default::default()
        })
    })
}

fn any_said() -> impl Strategy<Value = Said> {
    let noise = || proptest::collection::vec(any::<u8>(), 0..400).prop_map(Bytes::from);
    let files = proptest::collection::vec((any_text(), noise()), 0..6);
    let package = (any_text(), any::<i32>(), any_text()).prop_map(|(version, status, error)| {
        wire::PackageStatus {
            agent_has_version: version,
            status,
            error_message: error,
            ..Default::default()
        }
    });
    let packages = proptest::collection::btree_map(any_text(), package, 0..6);
    prop_oneof![
        any_tree().prop_map(|tree| Said::Health(encoded(&tree))),
        noise().prop_map(Said::Health),
        noise().prop_map(Said::Packages),
        noise().prop_map(|body| Said::EffectiveConfig {
            hash: BodyHash([1; 32]),
            body
        }),
        files.prop_map(|files| {
            let files: Vec<_> = files
                .iter()
                .map(|(name, body)| (&**name, &**body))
                .collect();
            effective(&files)
        }),
        packages.prop_map(|packages| Said::Packages(encoded(&wire::PackageStatuses {
            packages,
            ..Default::default()
        }))),
        (noise(), any_text()).prop_map(|(hash, error)| Said::ConfigStatus {
            hash: hash.to_vec().into(),
            status: ConfigStatus::Failed,
            error: error.into(),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_said_is_json_within_the_bounds(said in any_said()) {
        shown(said);
    }
}
