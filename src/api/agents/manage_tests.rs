//! Labels that operators give and agents that they forget, through the real router.

use ampora_raft::ids::InstanceUid;
use ampora_raft::records::ReleaseReason;
use http::Method;
use serde_json::{Value, json};

use crate::api::backend::{Now, Presence};
use crate::api::testing::{Answer, Site, WALL_MS};

async fn put(site: &Site, uid: InstanceUid, query: &str, labels: &Value) -> Answer {
    let path = format!("/agents/{uid}/labels{query}");
    site.write(Method::PUT, &path).json(labels).send().await
}

async fn forget(site: &Site, uid: InstanceUid, key: &str) -> Answer {
    site.write(Method::DELETE, &format!("/agents/{uid}"))
        .header("idempotency-key", key)
        .send()
        .await
}

/// A group for `env=prod` that runs a configuration.
async fn group(site: &Site) {
    site.version("edge", "a: 1\n").await;
    let body =
        json!({"selector": "env=prod", "configuration": {"name": "edge"}, "pace": "all-at-once"});
    let put = site.write(Method::PUT, "/groups/prod").json(&body);
    put.send().await.ok(201);
}

#[tokio::test]
async fn labels_are_replaced_and_hide_what_is_reported() {
    let site = Site::new();
    let uid = site.agent(1, &[("env", "dev"), ("zone", "a")]);
    group(&site).await;
    let labels = json!({"env": "prod", "team": "core"});
    let agent = put(&site, uid, "", &labels).await.ok(200);
    assert_eq!(agent["server_labels"], labels);
    assert_eq!(
        agent["labels"]["env"], "dev",
        "what is reported stays apart"
    );
    assert_eq!(
        (&agent["group"], &agent["config"]["desired"]["name"]),
        (&json!("prod"), &json!("edge"))
    );
    let found = |selector: &'static str| {
        let site = &site;
        async move {
            let list = site
                .get(&format!("/agents?selector={selector}"))
                .await
                .ok(200);
            list["items"].as_array().unwrap().len()
        }
    };
    assert_eq!(found("env=prod").await, 1);
    assert_eq!(found("env=dev").await, 0);
    assert_eq!(found("reported.env=dev").await, 1);
    assert_eq!(found("server.team=core").await, 1);
    let agent = put(&site, uid, "", &json!({"team": "edge"})).await.ok(200);
    assert_eq!(
        agent["server_labels"],
        json!({"team": "edge"}),
        "all are replaced"
    );
    assert_eq!(agent["group"], Value::Null);
    let path = format!("/agents/{uid}/labels");
    let agent = site.write(Method::DELETE, &path).send().await.ok(200);
    assert_eq!(agent["server_labels"], json!({}));
    let nobody = InstanceUid::from_u128(9);
    put(&site, nobody, "", &labels)
        .await
        .problem(404, "agent_not_found");
    site.ask(Method::PUT, &format!("/api/v1{path}"))
        .role("viewer")
        .json(&labels)
        .send()
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn labels_that_no_selector_could_name_are_refused_with_their_place() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let (long_key, long) = ("k".repeat(65), "v".repeat(129));
    let bad = [
        ("", "v"),
        ("-a", "v"),
        ("a b", "v"),
        ("ä", "v"),
        ("a=b", "v"),
        (&long_key, "v"),
        ("name", "v"),
        ("agent_type", "v"),
        ("server.a", "v"),
        ("reported.a", "v"),
        ("a", "x\ny"),
        ("a", &long),
    ];
    for (key, value) in bad {
        let problem = put(&site, uid, "", &json!({key: value})).await;
        let problem = problem.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{key}"));
    }
    let problem = put(&site, uid, "", &json!({"a/b": "\u{7}"})).await;
    assert_eq!(
        problem.problem(422, "validation_failed")["errors"][0]["pointer"],
        "/a~1b"
    );
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("k{n}"), json!(""))).collect();
    put(&site, uid, "", &Value::Object(many))
        .await
        .problem(422, "validation_failed");
    let wide: serde_json::Map<_, _> = (0..5)
        .map(|n| (format!("k{n}"), json!("v".repeat(101))))
        .collect();
    put(&site, uid, "", &Value::Object(wide))
        .await
        .problem(422, "validation_failed");
    for shape in [
        json!({"a": 1}),
        json!({"a": null}),
        json!([["a", "b"]]),
        json!("a"),
    ] {
        put(&site, uid, "", &shape)
            .await
            .problem(422, "validation_failed");
    }
    let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
    assert_eq!(agent["server_labels"], json!({}), "nothing is half done");
    let fine = json!({"a.b/c_d-e": "", "0": "grün"});
    assert_eq!(
        put(&site, uid, "", &fine).await.ok(200)["server_labels"],
        fine
    );
}

#[tokio::test]
async fn a_trial_says_whether_the_agent_would_change() {
    let site = Site::new();
    let uid = site.agent(1, &[("env", "dev")]);
    group(&site).await;
    let prod = json!({"env": "prod"});
    let trial = put(&site, uid, "?dry_run=true", &prod).await.ok(200);
    assert_eq!(
        (&trial["dry_run"], &trial["group"]),
        (&json!(true), &json!("prod"))
    );
    assert_eq!(trial["would_change"], json!({"count": 1, "agents": [uid]}));
    put(&site, uid, "?max_affected=0", &prod)
        .await
        .problem(409, "too_many_affected");
    let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
    assert_eq!(
        agent["server_labels"],
        json!({}),
        "the log did not hear of it"
    );
    let trial = put(
        &site,
        uid,
        "?dry_run=true&max_affected=0",
        &json!({"team": "core"}),
    )
    .await;
    assert_eq!(trial.ok(200)["would_change"]["count"], 0);
    put(&site, uid, "?max_affected=1", &prod).await.ok(200);
    put(&site, uid, "?max_affected=0", &prod).await.ok(200);
    put(&site, uid, "?max_affected=-1", &prod)
        .await
        .problem(400, "invalid_parameter");
    put(&site, uid, "?dryrun=true", &prod)
        .await
        .problem(400, "invalid_parameter");
}

#[tokio::test]
async fn an_agent_is_forgotten_only_when_it_is_disconnected() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    forget(&site, uid, "a")
        .await
        .problem(409, "agent_connected");
    let order = json!({"action": {"restart": {}}, "target": {"agent": uid}});
    let order = site
        .write(Method::POST, "/dispatches")
        .json(&order)
        .send()
        .await
        .ok(202);
    site.release(uid, ReleaseReason::Drained);
    let stale = forget(&site, uid, "b").await;
    let stale = stale.problem(409, "agent_connected");
    assert!(stale["detail"].as_str().unwrap().contains("stale"));
    site.set_now(Now {
        boot_ms: 1_000,
        wall_ms: WALL_MS,
        fleet_ms: 100_000,
    });
    let gone = forget(&site, uid, "c").await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    site.get(&format!("/agents/{uid}"))
        .await
        .problem(404, "agent_not_found");
    let path = format!("/dispatches/{}", order["id"].as_str().unwrap());
    let dispatch = site.get(&path).await.ok(200);
    assert_eq!(dispatch["state"], "done");
    assert_eq!(dispatch["deliveries"][0]["error"], "agent_forgotten");
    forget(&site, uid, "d")
        .await
        .problem(404, "agent_not_found");
    site.agent(1, &[]);
    let again = forget(&site, uid, "c").await;
    assert_eq!(again.status, 204, "a repeated key answers what it answered");
    site.get(&format!("/agents/{uid}")).await.ok(200);
}

#[tokio::test]
async fn an_agent_that_is_silent_for_too_long_is_forgotten_over_its_open_socket() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let silent = |silent_ms| Presence {
        connected: true,
        transport: ampora_raft::records::Transport::WebSocket,
        last_seen_ms: WALL_MS,
        silent_ms,
        heartbeats: true,
    };
    site.present(uid, silent(100_000));
    forget(&site, uid, "a")
        .await
        .problem(409, "agent_connected");
    site.present(uid, silent(180_000));
    assert_eq!(forget(&site, uid, "b").await.status, 204);
}

#[tokio::test]
async fn an_agent_with_very_many_deliveries_is_forgotten_in_one_call() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    for part in 0..600 {
        let order = json!({"action": {"restart": {}}, "target": {"agent": uid}});
        let made = site
            .write(Method::POST, "/dispatches")
            .json(&order)
            .send()
            .await;
        assert_eq!(made.status, 202, "{part}");
    }
    site.release(uid, ReleaseReason::Lost);
    assert_eq!(forget(&site, uid, "a").await.status, 204);
    assert_eq!(
        forget(&site, uid, "a").await.status,
        204,
        "its first step is what is repeated"
    );
    let list = site.get("/dispatches?limit=1000").await.ok(200);
    let items = list["items"].as_array().unwrap();
    assert!(
        items.iter().all(|item| item["counts"]["failed"] == 1),
        "all have an end"
    );
}

#[tokio::test]
async fn operators_leave_records_of_what_they_did_to_agents() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    put(&site, uid, "", &json!({"team": "core"})).await.ok(200);
    put(&site, uid, "?dry_run=true", &json!({})).await.ok(200);
    site.release(uid, ReleaseReason::Lost);
    assert_eq!(forget(&site, uid, "a").await.status, 204);
    let path = "/api/v1/audit";
    let audit = site
        .ask(Method::GET, path)
        .role("admin")
        .send()
        .await
        .ok(200);
    let records = audit["items"].as_array().unwrap();
    let done: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record["action"].as_str().unwrap(),
                record["actor"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        done,
        [("agent.forget", "operator"), ("agent.label", "operator")]
    );
    assert!(
        records
            .iter()
            .all(|record| record["target"] == uid.to_string())
    );
}
