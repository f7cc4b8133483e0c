//! Agents through the real router, and the tables of their states.

use std::sync::Arc;

use ampora_raft::fleet::{Desired, Fleet};
use ampora_raft::ids::{ConfigHash, InstanceUid};
use ampora_raft::records::{
    self, AgentRecord, AgentUpdate, ConfigState, ConfigStatus, PackageAggregate, ReleaseReason,
    Released, Transport, VersionRef,
};
use http::Method;
use serde_json::{Value, json};

use super::state::{AgentState, Owner, Why, Windows, agent_state, standing};
use crate::api::backend::{Health, Now, Part, Presence};
use crate::api::testing::{CAPABLE, Site};

const WINDOWS: Windows = Windows {
    silence_ms: 90_000,
    ttl_ms: 10_000,
};
const NOW: Now = Now {
    boot_ms: 0,
    wall_ms: 1_000_000,
    fleet_ms: 500_000,
};

/// A record as the fleet makes it, with nothing reported.
fn record() -> AgentRecord {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let fleet: Fleet = crate::api::backend::Backend::view(&*site.memory).fleet;
    let mut record = AgentRecord::clone(fleet.agent(uid).unwrap());
    record.session = None;
    record
}

fn here(connected: bool, silent_ms: u64, heartbeats: bool) -> Owner {
    Owner::Here(Some(Presence {
        connected,
        transport: Transport::WebSocket,
        last_seen_ms: 0,
        silent_ms,
        heartbeats,
    }))
}

#[test]
fn a_served_agent_is_judged_by_silence_only_when_it_is_known_to_speak() {
    let record = record();
    for (owner, expected) in [
        (here(true, 0, true), AgentState::Connected),
        (here(true, 90_000, true), AgentState::Connected),
        (here(true, 90_001, true), AgentState::Stale),
        (here(true, 179_999, true), AgentState::Stale),
        (here(true, 180_000, true), AgentState::Disconnected),
        (here(true, u64::MAX, false), AgentState::Connected),
        (here(false, 0, true), AgentState::Disconnected),
        (Owner::Here(None), AgentState::Disconnected),
        (Owner::Elsewhere { silent_ms: None }, AgentState::Connected),
        (
            Owner::Elsewhere {
                silent_ms: Some(90_000),
            },
            AgentState::Connected,
        ),
        (
            Owner::Elsewhere {
                silent_ms: Some(90_001),
            },
            AgentState::Stale,
        ),
        (Owner::Nobody, AgentState::Disconnected),
        (Owner::Dead { gone_ms: 39_999 }, AgentState::Stale),
        (Owner::Dead { gone_ms: 40_000 }, AgentState::Disconnected),
        (Owner::Dead { gone_ms: 0 }, AgentState::Stale),
    ] {
        assert_eq!(
            agent_state(&record, owner, NOW, WINDOWS),
            expected,
            "{owner:?}"
        );
    }
}

#[test]
fn a_released_agent_is_expected_back_only_when_its_node_let_it_go() {
    let mut record = record();
    for (reason, at_ms, expected) in [
        (ReleaseReason::Goodbye, 500_000, AgentState::Disconnected),
        (ReleaseReason::Lost, 500_000, AgentState::Disconnected),
        (ReleaseReason::Drained, 460_001, AgentState::Stale),
        (ReleaseReason::Drained, 460_000, AgentState::Disconnected),
        (ReleaseReason::OwnerDied, 500_000, AgentState::Disconnected),
    ] {
        record.released = Some(Released {
            reason,
            at_ms,
            wall_ms: 0,
            last_sequence: None,
        });
        let state = agent_state(&record, Owner::Nobody, NOW, WINDOWS);
        assert_eq!(state, expected, "{reason:?} {at_ms}");
    }
}

#[test]
fn drift_follows_the_agents_last_word() {
    let wanted = ConfigHash([1; 32]);
    let other = vec![2; 32];
    let same = vec![1; 32];
    let word = |hash: &[u8], status| ConfigState {
        reported_hash: Some(hash.to_vec()),
        status,
        ..ConfigState::default()
    };
    let failed = ConfigState {
        failed_hash: Some(wanted),
        ..word(&other, ConfigStatus::Applied)
    };
    let sent = ConfigState {
        sent_hash: Some(wanted),
        ..ConfigState::default()
    };
    let silent = ConfigState::default;
    let blind = CAPABLE & !0x1000;
    let connected = AgentState::Connected;
    let check = |capabilities, config, state, drifted, why| {
        let mut record = record();
        record.capabilities = capabilities;
        record.config = config;
        let desired = Desired {
            group: None,
            version: Some(VersionRef {
                configuration: Arc::from("edge"),
                version: 1,
                hash: wanted,
            }),
        };
        let (fleet, nothing) = (Fleet::default(), Desired::default());
        let found = standing(&record, &desired, &fleet, state);
        assert_eq!((found.drifted, found.why), (drifted, why), "{record:?}");
        let without = standing(&record, &nothing, &fleet, state);
        assert_eq!(without.why, Why::None);
        assert_eq!(found.why == Why::None, found.why.hint("", "g").is_empty());
    };
    let applied = |hash: &[u8]| word(hash, ConfigStatus::Applied);
    let applying = word(&same, ConfigStatus::Applying);
    check(CAPABLE, applied(&same), connected, false, Why::None);
    check(CAPABLE, applying, connected, true, Why::Applying);
    check(CAPABLE, applied(&other), connected, true, Why::Applying);
    check(CAPABLE, silent(), connected, true, Why::Applying);
    check(CAPABLE, silent(), AgentState::Stale, true, Why::Offline);
    let gone = AgentState::Disconnected;
    check(CAPABLE, silent(), gone, true, Why::Offline);
    check(CAPABLE, failed.clone(), connected, true, Why::Failed);
    check(CAPABLE, failed, gone, true, Why::Failed);
    let incapable = CAPABLE & !0x2;
    check(incapable, silent(), connected, false, Why::NoCapability);
    check(blind, sent.clone(), connected, false, Why::None);
    check(blind, silent(), connected, true, Why::Applying);
    check(CAPABLE, sent, connected, true, Why::Applying);
}

/// What an agent says of itself in the test below.
fn unwell(site: &Site) -> AgentUpdate {
    AgentUpdate {
        health: Some(records::Health {
            healthy: false,
            status: Arc::from("StatusRecoverableError"),
            last_error: Arc::from("GET http://u:hunter2@h failed"),
            since_ms: 0,
            body: None,
        }),
        packages: Some(PackageAggregate {
            offered_hash: vec![0xab],
            installed: 1,
            pending: 2,
            failed: 3,
        }),
        effective: Some(site.keep_files(&[("", "a: 1\n")])),
        ..AgentUpdate::default()
    }
}

#[tokio::test]
async fn an_agent_is_shown_with_every_field_of_the_contract() {
    let site = Site::new();
    let uid = site.agent(1, &[("env", "prod"), ("service.name", "otelcol")]);
    let hash = site.version("edge", "a: 1\n").await["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let body =
        json!({"selector": "env=prod", "configuration": {"name": "edge"}, "pace": "all-at-once"});
    site.write(Method::PUT, "/groups/all")
        .json(&body)
        .send()
        .await
        .ok(201);
    site.report(uid, unwell(&site));
    site.report_config(uid, &hash, ConfigStatus::Failed, "no such receiver");
    let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
    let wall = "2023-11-14T22:13:20.000Z";
    let expected = json!({
        "instance_uid": "00000000-0000-0000-0000-000000000001",
        "name": "host-1",
        "agent_type": "otelcol",
        "agent_version": "0.120.0",
        "state": "connected",
        "transport": "websocket",
        "owner_node": 1,
        "fence": 1,
        "labels": {"env": "prod", "service.name": "otelcol"},
        "labels_truncated": false,
        "server_labels": {},
        "capabilities": [
            "ReportsStatus", "AcceptsRemoteConfig", "ReportsEffectiveConfig", "AcceptsRestartCommand",
            "ReportsHealth", "ReportsRemoteConfig"
        ],
        "custom_capabilities": [],
        "health": {
            "healthy": false,
            "status": "StatusRecoverableError",
            "last_error": "GET http://u:[REDACTED]@h failed",
            "since": wall
        },
        "config": {
            "desired_hash": hash,
            "desired": {"name": "edge", "version": 1},
            "reported_hash": hash,
            "status": "failed",
            "error": "no such receiver",
            "effective_hash": agent["config"]["effective_hash"],
            "drifted": true,
            "why": "failed",
            "hint": agent["config"]["hint"],
        },
        "packages": {"offered_hash": "ab", "installed": 1, "pending": 2, "failed": 3},
        "group": "all",
        "first_seen": wall,
        "last_seen": "2023-11-14T22:13:20.005Z",
        "last_seen_exact": true,
        "last_change": wall,
    });
    assert_eq!(agent, expected);
    let text = |field: &str| agent["config"][field].as_str().unwrap();
    assert_eq!(text("effective_hash").len(), 64);
    assert!(text("hint").contains("corrected"));
}

#[tokio::test]
async fn a_node_that_starts_does_not_take_its_agents_of_before_for_gone() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    site.absent(uid);
    for (started, state) in [(false, "stale"), (true, "disconnected")] {
        site.health(Health {
            started,
            raft: Part::ok(),
            storage: Part::ok(),
            history: Part::ok(),
            opamp: Part::ok(),
        });
        let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
        assert_eq!(agent["state"], state);
    }
}

#[tokio::test]
async fn an_agent_that_left_shows_when_and_has_no_owner() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    site.release(uid, ReleaseReason::Goodbye);
    let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
    assert_eq!(agent["state"], "disconnected");
    for field in [
        "owner_node",
        "fence",
        "transport",
        "health",
        "packages",
        "group",
    ] {
        assert_eq!(agent[field], Value::Null, "{field}");
    }
    assert_eq!(agent["config"]["why"], "none");
    assert_eq!(agent["config"]["status"], "unset");
}

/// Uids of a list in order.
fn uids(list: &Value) -> Vec<u128> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            InstanceUid::parse_str(item["instance_uid"].as_str().unwrap())
                .unwrap()
                .as_u128()
        })
        .collect()
}

#[tokio::test]
async fn lists_are_filtered_by_selector_text_state_and_group() {
    let site = Site::new();
    site.agent(3, &[("env", "prod")]);
    site.agent(1, &[("env", "prod"), ("team", "core")]);
    let gone = site.agent(2, &[("env", "dev")]);
    site.release(gone, ReleaseReason::Lost);
    let body = json!({"selector": "team=core"});
    site.write(Method::PUT, "/groups/core")
        .json(&body)
        .send()
        .await
        .ok(201);
    for (query, expected) in [
        ("", vec![1, 2, 3]),
        ("?selector=env%3Dprod", vec![1, 3]),
        ("?selector=*", vec![1, 2, 3]),
        ("?q=HOST-2", vec![2]),
        ("?q=0.120", vec![1, 2, 3]),
        ("?q=000000000003", vec![3]),
        ("?q=nothing", vec![]),
        ("?state=disconnected", vec![2]),
        ("?state=connected&selector=!team", vec![3]),
        ("?group=core", vec![1]),
        ("?group=none", vec![]),
    ] {
        let list = site.get(&format!("/agents{query}")).await.ok(200);
        assert_eq!(uids(&list), expected, "{query}");
        assert_eq!(list["continue"], Value::Null);
        assert!(list["applied_index"].as_u64().unwrap() > 0);
        assert_eq!(list.get("total").is_some(), query.is_empty());
    }
    assert_eq!(site.get("/agents").await.ok(200)["total"], 3);
}

#[tokio::test]
async fn pages_cover_everything_once_and_refuse_another_question() {
    let site = Site::new();
    for number in 1..=7 {
        site.agent(
            number,
            &[("env", if number % 2 == 0 { "even" } else { "odd" })],
        );
    }
    let mut seen = Vec::new();
    let mut token = None::<String>;
    loop {
        let next = token
            .as_ref()
            .map_or(String::new(), |token| format!("&continue={token}"));
        let list = site
            .get(&format!("/agents?limit=2&selector=env=odd{next}"))
            .await
            .ok(200);
        seen.extend(uids(&list));
        match list["continue"].as_str() {
            None => break,
            Some(next) => token = Some(next.to_owned()),
        }
    }
    assert_eq!(seen, [1, 3, 5, 7]);
    let token = token.unwrap();
    let other = site.get(&format!("/agents?limit=2&continue={token}")).await;
    other.problem(400, "continue_invalid");
}

#[tokio::test]
async fn a_bad_selector_says_where() {
    let site = Site::new();
    for (text, column) in [("", 1), ("env%20in%20(", 9)] {
        let answer = site.get(&format!("/agents?selector={text}")).await;
        let problem = answer.problem(422, "invalid_selector");
        let place = &problem["errors"][0];
        assert_eq!(place["pointer"], "/query/selector");
        assert!(place["column"].as_u64().unwrap() >= column, "{problem}");
    }
    site.get("/agents?state=asleep")
        .await
        .problem(400, "invalid_parameter");
    site.get("/agents/nobody")
        .await
        .problem(400, "invalid_parameter");
    let unknown = InstanceUid::from_u128(9);
    site.get(&format!("/agents/{unknown}"))
        .await
        .problem(404, "agent_not_found");
}

#[tokio::test]
async fn the_effective_configuration_is_redacted_or_says_why_not() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let path = format!("/agents/{uid}/effective-config");
    site.get(&path).await.problem(404, "not_reported");
    let hash = site.keep_files(&[("", "a: 1\npassword: hunter2\n")]);
    site.report(
        uid,
        AgentUpdate {
            effective: Some(hash),
            ..AgentUpdate::default()
        },
    );
    let body = site.get(&path).await.ok(200);
    let expected = json!({
        "hash": hash.to_string(),
        "files": [{"name": "", "content_type": "text/yaml", "body": "a: 1\npassword: [REDACTED]\n"}],
        "redacted": true,
    });
    assert_eq!(body, expected);
    let raw = site.get(&format!("{path}?raw=true")).await;
    raw.problem(403, "forbidden");
    site.report(
        uid,
        AgentUpdate {
            effective: Some(ampora_raft::ids::BodyHash([9; 32])),
            ..AgentUpdate::default()
        },
    );
    site.get(&path).await.problem(503, "body_unavailable");
}

#[tokio::test]
async fn health_and_components_come_from_their_bodies() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    site.get(&format!("/agents/{uid}/health"))
        .await
        .problem(404, "not_reported");
    site.get(&format!("/agents/{uid}/components"))
        .await
        .problem(404, "not_reported");
    let below = json!({
        "healthy": true, "status": "", "last_error": "token=abc123", "start_time": null, "status_time": null,
        "components": {},
    });
    let tree = json!({
        "healthy": true, "status": "", "last_error": "", "start_time": null, "status_time": null,
        "components": {"p": below},
    });
    let components = json!({"receivers": {"components": {"otlp": {}}}});
    let health = |body| records::Health {
        healthy: true,
        status: Arc::from("ok"),
        last_error: Arc::from(""),
        since_ms: 0,
        body,
    };
    site.report(
        uid,
        AgentUpdate {
            health: Some(health(None)),
            components_hash: Some(vec![1, 2]),
            ..AgentUpdate::default()
        },
    );
    let bare = site.get(&format!("/agents/{uid}/health")).await.ok(200);
    assert_eq!(
        bare,
        json!({"healthy": true, "status": "ok", "last_error": "", "start_time": null, "status_time": null, "components": {}})
    );
    let bare = site.get(&format!("/agents/{uid}/components")).await.ok(200);
    assert_eq!(bare, json!({"hash": "0102", "components": null}));
    site.report(
        uid,
        AgentUpdate {
            health: Some(health(Some(site.keep_json(tree)))),
            components_hash: Some(vec![1, 2]),
            components: Some(site.keep_json(components.clone())),
            ..AgentUpdate::default()
        },
    );
    let whole = site.get(&format!("/agents/{uid}/health")).await.ok(200);
    assert_eq!(whole["components"]["p"]["last_error"], "token=[REDACTED]");
    let whole = site.get(&format!("/agents/{uid}/components")).await.ok(200);
    assert_eq!(whole["components"], components);
}
