//! Who may ask what, and what every answer has, through the real router.

use std::collections::BTreeSet;

use ampora_raft::records::Role;
use http::Method;

use super::{Access, routes};
use crate::api::backend::{Health, Part, PartState, ProposeError};
use crate::api::settings::{Limits, Settings};
use crate::api::testing::Site;

/// A path with its parameters filled in.
fn filled(path: &str) -> String {
    path.replace("{uid}", "00000000-0000-0000-0000-000000000001")
        .replace("{name}", "edge")
        .replace("{version}", "1")
        .replace("{id}", "1")
}

#[tokio::test]
async fn every_route_needs_a_role_or_is_one_of_the_open_ones() {
    let site = Site::new();
    let mut open = BTreeSet::new();
    for route in routes() {
        let path = filled(route.path);
        let anonymous = site.ask(route.method.clone(), &path).send().await;
        match route.access {
            Access::Open => {
                assert_eq!(anonymous.status, 200, "{path}");
                open.insert(route.path);
            }
            Access::Needs(role) => {
                anonymous.problem(401, "unauthenticated");
                let roles = [
                    ("viewer", Role::Viewer),
                    ("operator", Role::Operator),
                    ("admin", Role::Admin),
                ];
                for (name, has) in roles {
                    let asked = site
                        .ask(route.method.clone(), &path)
                        .role(name)
                        .send()
                        .await;
                    if has < role {
                        asked.problem(403, "forbidden");
                    } else {
                        let status = asked.status.as_u16();
                        assert!(![401, 403].contains(&status), "{name} {path}: {status}");
                    }
                }
            }
        }
    }
    assert_eq!(
        open.into_iter().collect::<Vec<_>>(),
        [
            "/api/docs",
            "/api/v1/openapi.json",
            "/health/live",
            "/health/ready",
            "/health/startup",
            "/metrics"
        ]
    );
}

#[tokio::test]
async fn a_route_that_changes_something_needs_an_operator_and_access_an_admin() {
    for route in routes() {
        let guarded = [
            "/api/v1/audit",
            "/api/v1/cluster/snapshots",
            "/api/v1/tokens",
            "/api/v1/enrollment-tokens",
        ];
        let changes_cluster =
            route.path.starts_with("/api/v1/cluster") && route.method != Method::GET;
        let is_guarded = guarded.iter().any(|path| route.path.starts_with(path));
        let needs = if is_guarded || changes_cluster {
            Role::Admin
        } else if route.method == Method::GET {
            Role::Viewer
        } else {
            Role::Operator
        };
        if route.access != Access::Open {
            assert_eq!(
                route.access,
                Access::Needs(needs),
                "{} {}",
                route.method,
                route.path
            );
        }
    }
}

#[tokio::test]
async fn tokens_that_are_unknown_expired_or_malformed_are_refused_with_a_challenge() {
    let site = Site::new();
    site.token("old", Role::Admin, Some(4_999));
    site.token("young", Role::Viewer, Some(5_001));
    let path = "/api/v1/agents";
    for credentials in [
        "Bearer amp_nobody",
        "Bearer amp_old",
        "Bearer viewer",
        "Basic amp_viewer",
        "amp_viewer",
        "",
    ] {
        let answer = site
            .ask(Method::GET, path)
            .header("authorization", credentials)
            .send()
            .await;
        answer.problem(401, "unauthenticated");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer "),
            "{credentials}"
        );
    }
    for credentials in [
        "Bearer amp_young",
        "bearer amp_viewer",
        "Bearer  amp_viewer",
    ] {
        let answer = site
            .ask(Method::GET, path)
            .header("authorization", credentials)
            .send()
            .await;
        answer.ok(200);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_for_those_who_may_know() {
    let site = Site::new();
    site.get("/nothing").await.problem(404, "not_found");
    site.get("/agents/").await.problem(404, "not_found");
    site.ask(Method::GET, "/nothing")
        .send()
        .await
        .problem(401, "unauthenticated");
    let answer = site.write(Method::POST, "/groups/edge").send().await;
    answer.problem(405, "method_not_allowed");
    let allow = answer.header("allow");
    for method in ["GET", "PUT", "DELETE"] {
        assert!(allow.contains(method), "{allow}");
    }
    site.ask(Method::POST, "/metrics")
        .send()
        .await
        .problem(405, "method_not_allowed");
    site.ask(Method::POST, "/api/v1/agents")
        .send()
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_sane_request_id_is_echoed_and_another_is_replaced() {
    let site = Site::new();
    let ask = |id: String| {
        site.ask(Method::GET, "/health/live")
            .header("x-request-id", &id)
            .send()
    };
    assert_eq!(
        ask("abc-1.2:3".to_owned()).await.header("x-request-id"),
        "abc-1.2:3"
    );
    for odd in ["a b".to_owned(), "x".repeat(65), "\"".to_owned()] {
        let answer = ask(odd.clone()).await;
        let made = answer.header("x-request-id");
        assert_ne!(made, odd);
        assert_eq!(made.len(), 32);
    }
}

#[tokio::test]
async fn long_addresses_large_bodies_and_crowds_are_refused() {
    let site = Site::with(Settings {
        limits: Limits {
            uri_bytes: 100,
            body_bytes: 50,
            ..Limits::default()
        },
        ..Settings::default()
    });
    site.get(&format!("/agents?q={}", "x".repeat(100)))
        .await
        .problem(414, "uri_too_long");
    let answer = site
        .write(Method::POST, "/dispatches")
        .raw("application/json", "x".repeat(51))
        .send()
        .await;
    answer.problem(413, "payload_too_large");
    let chunks =
        futures_util::stream::iter([Ok::<_, std::io::Error>("x".repeat(40)), Ok("x".repeat(40))]);
    let body = axum::body::Body::from_stream(chunks);
    let answer = site
        .write(Method::POST, "/dispatches")
        .raw("application/json", body)
        .send()
        .await;
    answer.problem(413, "payload_too_large");

    let full = Site::with(Settings {
        limits: Limits {
            concurrent_calls: 0,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let answer = full.get("/agents").await;
    assert_eq!(answer.problem(503, "overloaded")["retryable"], true);
    assert_eq!(answer.header("retry-after"), "1");
    full.ask(Method::GET, "/health/ready").send().await.ok(200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let site = Site::with(Settings {
        limits: Limits {
            body_timeout: std::time::Duration::from_millis(1),
            ..Limits::default()
        },
        ..Settings::default()
    });
    let body = axum::body::Body::from_stream(futures_util::stream::pending::<
        Result<String, std::io::Error>,
    >());
    let answer = site
        .write(Method::POST, "/dispatches")
        .raw("application/json", body)
        .send()
        .await;
    answer.problem(408, "request_timeout");
}

#[tokio::test]
async fn each_failure_of_the_log_has_its_code() {
    let site = Site::new();
    let body = serde_json::json!({"selector": "*"});
    for (error, status, code, effect) in [
        (
            ProposeError::NotLeader { hint: None },
            503,
            "not_leader",
            "no",
        ),
        (ProposeError::Overloaded, 503, "overloaded", "no"),
        (
            ProposeError::OutcomeUnknown,
            504,
            "outcome_unknown",
            "unknown",
        ),
        (ProposeError::Stopped, 503, "node_stopping", "no"),
        (
            ProposeError::Unavailable("no quorum".to_owned()),
            503,
            "unavailable",
            "no",
        ),
    ] {
        site.fail(Some(error));
        let answer = site
            .write(Method::PUT, "/groups/edge")
            .json(&body)
            .send()
            .await;
        let problem = answer.problem(status, code);
        assert_eq!(problem["may_have_taken_effect"], effect);
        assert_eq!(problem["retryable"], true);
    }
}

#[tokio::test]
async fn a_body_that_is_encoded_is_not_taken_for_another() {
    let site = Site::new();
    for method in [Method::PUT, Method::DELETE] {
        let answer = site
            .write(method, "/groups/edge")
            .header("content-encoding", "gzip")
            .raw("application/json", "{}")
            .send()
            .await;
        answer.problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), "identity");
    }
}

#[tokio::test]
async fn bad_keys_bodies_and_parameters_point_at_their_place() {
    let site = Site::new();
    let answer = site
        .write(Method::PUT, "/groups/edge")
        .raw("application/json", "{\n  \"selector\": }")
        .send()
        .await;
    let problem = answer.problem(400, "invalid_json");
    assert_eq!(
        (
            &problem["errors"][0]["line"],
            &problem["errors"][0]["column"]
        ),
        (&2.into(), &15.into())
    );
    let answer = site
        .write(Method::PUT, "/groups/edge")
        .raw("application/json", "{\n  \"selectr\": 1}")
        .send()
        .await;
    let problem = answer.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["line"], 2);
    let answer = site
        .write(Method::PUT, "/groups/edge")
        .raw("text/plain", "{}")
        .send()
        .await;
    answer.problem(415, "unsupported_media_type");
    let deep = format!(
        "{{\"action\": {{\"custom_message\": {}{}}}}}",
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let answer = site
        .write(Method::POST, "/dispatches")
        .raw("application/json", deep)
        .send()
        .await;
    answer.problem(422, "validation_failed");
    let answer = site
        .write(Method::PUT, "/groups/edge")
        .raw("application/json", "[\"*\"]")
        .send()
        .await;
    answer.problem(422, "validation_failed");
    let long = "k".repeat(129);
    let answer = site
        .write(Method::PUT, "/groups/edge")
        .header("idempotency-key", &long)
        .raw("application/json", "{}")
        .send()
        .await;
    answer.problem(400, "idempotency_key_invalid");
    let problem = site
        .get("/agents?limt=5")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(problem["errors"][0]["pointer"], "/query");
    let problem = site
        .get("/agents?limit=0")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(problem["errors"][0]["pointer"], "/query/limit");
    let problem = site
        .get("/agents?continue=AAAA")
        .await
        .problem(400, "continue_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/query/continue");
}

#[tokio::test]
async fn health_names_each_part_and_fails_only_when_one_failed() {
    let site = Site::new();
    let ask = |path: &'static str| site.ask(Method::GET, path).send();
    assert_eq!(ask("/health/live").await.ok(200)["status"], "ok");
    let mut health = Health {
        started: true,
        raft: Part::ok(),
        storage: Part::ok(),
        history: Part {
            state: PartState::Degraded,
            reason: "postgres is away".to_owned(),
        },
        opamp: Part::ok(),
    };
    site.health(health.clone());
    let ready = ask("/health/ready").await.ok(200);
    assert_eq!(ready["status"], "degraded");
    assert_eq!(ready["parts"]["history"]["reason"], "postgres is away");
    for part in ["raft", "storage", "opamp"] {
        assert_eq!(ready["parts"][part]["status"], "ok");
    }
    health.raft = Part {
        state: PartState::Failed,
        reason: "the log is broken".to_owned(),
    };
    site.health(health.clone());
    let answer = ask("/health/ready").await;
    assert_eq!(answer.ok(503)["parts"]["raft"]["status"], "failed");
    assert_eq!(answer.header("content-type"), "application/json");
    ask("/health/startup").await.ok(200);
    health.started = false;
    site.health(health);
    assert_eq!(ask("/health/startup").await.ok(503)["status"], "starting");
    let metrics = ask("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4");
    assert!(metrics.body.starts_with(b"# HELP"));
}

#[tokio::test]
async fn the_cluster_shows_its_nodes() {
    let site = Site::new();
    site.agent(1, &[]);
    let body = site.get("/cluster").await.ok(200);
    assert_eq!(body["cluster_id"], format!("{:032x}", 0xa1));
    assert_eq!(
        (&body["node_id"], &body["leader_id"], &body["term"]),
        (&1.into(), &1.into(), &3.into())
    );
    assert_eq!(body["quorum"], true);
    assert!(body["applied_index"].as_u64().unwrap() > 0);
    let node = &body["nodes"][0];
    assert_eq!(node["id"], 1);
    assert_eq!(node["name"], "node-one");
    assert_eq!(node["role"], "voter");
    assert_eq!(node["live"], true);
    assert_eq!(node["version"], "0.1.0");
    assert_eq!(node["sessions"], 1);
    assert_eq!(node["opamp_address"], "127.0.0.1:4320");
    assert_eq!(node["admin_address"], "127.0.0.1:4321");
    assert_eq!(node["lag"], 0);
}

#[tokio::test]
async fn reads_say_how_fresh_they_are_and_wait_when_asked() {
    let site = Site::new();
    let local = site.get("/agents").await;
    assert_eq!(local.status, 200);
    assert_eq!(local.header("ampora-leader-contact-ms"), "0");
    assert_ne!(local.header("ampora-applied-index"), "");
    let waited = site.get("/agents?consistent=true&limit=5").await;
    assert_eq!(waited.status, 200);
    let wrong = site.get("/agents?consistent=perhaps").await;
    assert_eq!(
        wrong.problem(400, "invalid_parameter")["errors"][0]["pointer"],
        "/query/consistent"
    );
    site.fail(Some(ProposeError::NotLeader { hint: None }));
    let refused = site.get("/agents?consistent=true").await;
    assert_eq!(
        refused.problem(503, "not_leader")["may_have_taken_effect"],
        "no"
    );
    assert_eq!(site.get("/agents?consistent=false").await.status, 200);
}
