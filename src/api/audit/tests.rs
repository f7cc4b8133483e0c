//! The audit as auditors meet it: what is there, found by filters and pages, and what a tampered chain says.

use ampora_raft::proposal::Proposal;
use ampora_raft::records::{AgentUpdate, Health, Role};
use http::Method;
use serde_json::{Value, json};

use crate::api::backend::ProposeError;
use crate::api::testing::{Answer, Site, WALL_MS};

async fn ask(site: &Site, path: &str) -> Answer {
    let path = format!("/api/v1{path}");
    site.ask(Method::GET, &path).role("admin").send().await
}

async fn items(site: &Site, path: &str) -> Vec<Value> {
    let answer = ask(site, path).await.ok(200);
    answer["items"].as_array().expect("a list").clone()
}

async fn put(site: &Site, name: &str, priority: i32) {
    let put = site.write(Method::PUT, &format!("/groups/{name}"));
    let body = json!({"selector": "env=prod", "priority": priority});
    let key = format!("{name}-{priority}");
    let put = put
        .header("x-request-id", "r-1")
        .header("idempotency-key", &key);
    let answer = put.json(&body).send().await;
    assert!(answer.status.is_success(), "{answer:?}");
}

#[tokio::test]
async fn a_change_is_shown_with_all_that_its_hash_is_made_of() {
    let site = Site::new();
    put(&site, "edge", 5).await;
    put(&site, "edge", 6).await;
    let items = items(&site, "/audit").await;
    let [newest, oldest] = &items[..] else {
        panic!("{items:?}");
    };
    let group = |priority, revision: &Value| {
        json!({"assignment": null, "pace": "slow-start", "priority": priority, "revision": revision,
            "selector": "env=prod"})
    };
    let expected = json!({
        "seq": 2, "index": newest["index"], "at": "2023-11-14T22:13:20.000Z", "at_ms": WALL_MS,
        "deadline_ms": 5_000, "actor": "operator", "from": "127.0.0.1", "request_id": "r-1",
        "action": "group.put", "target": "edge", "before": group(5, &oldest["index"]),
        "after": group(6, &newest["index"]), "previous": oldest["hash"], "hash": newest["hash"],
    });
    assert_eq!(*newest, expected);
    assert_eq!(oldest["before"], Value::Null);
    assert_eq!(oldest["previous"], "00".repeat(32));
}

#[tokio::test]
async fn filters_and_pages_find_what_they_say_while_more_is_written() {
    let site = Site::new();
    for name in ["a", "b", "a", "b", "a"] {
        let priority = items(&site, "/audit").await.len();
        put(&site, name, i32::try_from(priority).expect("small")).await;
    }
    let found = |path: &'static str| async {
        let items = items(&site, path).await;
        let numbers = items
            .iter()
            .map(|item| item["seq"].as_u64().expect("a number"));
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(found("/audit?target=a").await, [5, 3, 1]);
    assert_eq!(
        found("/audit?action=group.put&actor=operator").await,
        [5, 4, 3, 2, 1]
    );
    assert!(found("/audit?actor=viewer").await.is_empty());
    assert!(found("/audit?action=group").await.is_empty());
    assert_eq!(found("/audit?since=2023-11-14T22:13:20Z").await.len(), 5);
    assert!(found("/audit?until=2023-11-14T22:13:20Z").await.is_empty());
    assert!(found("/audit?since=2023-11-14T22:13:21Z").await.is_empty());
    let first = ask(&site, "/audit?target=a&limit=2").await.ok(200);
    put(&site, "a", 77).await;
    let token = first["continue"].as_str().expect("more");
    let rest = ask(&site, &format!("/audit?target=a&limit=2&continue={token}")).await;
    let rest = rest.ok(200);
    assert_eq!(
        (&rest["items"][0]["seq"], &rest["continue"]),
        (&json!(1), &Value::Null)
    );
    let foreign = ask(&site, &format!("/audit?target=b&continue={token}")).await;
    foreign.problem(400, "continue_invalid");
    for bad in ["since=yesterday", "until=2023-11-14", "limit=0", "who=me"] {
        let answer = ask(&site, &format!("/audit?{bad}")).await;
        answer.problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_whole_chain_verifies_also_after_its_oldest_records_left() {
    let site = Site::new();
    let none = ask(&site, "/audit/verify").await.ok(200);
    assert_eq!((&none["ok"], &none["records"]), (&json!(true), &json!(0)));
    for priority in 0..600 {
        put(&site, "edge", priority).await;
    }
    let whole = ask(&site, "/audit/verify").await.ok(200);
    assert_eq!(whole["ok"], true, "{whole}");
    assert_eq!(
        (&whole["first"], &whole["last"], &whole["records"]),
        (&json!(1), &json!(600), &json!(600))
    );
    site.apply(Proposal::TrimAudit {
        first: 1,
        count: 100,
    });
    let rest = ask(&site, "/audit/verify").await.ok(200);
    assert_eq!(rest["ok"], true, "{rest}");
    assert_eq!(
        (&rest["first"], &rest["records"]),
        (&json!(101), &json!(500))
    );
    let all = items(&site, "/audit?limit=1000").await;
    assert_eq!(all.len(), 500);
}

#[tokio::test]
async fn a_tampered_chain_says_where() {
    let broken = |change: fn(&Site)| async move {
        let site = Site::new();
        for priority in 0..5 {
            put(&site, "edge", priority).await;
        }
        change(&site);
        let verified = ask(&site, "/audit/verify").await.ok(200);
        assert_eq!(verified["ok"], false, "{verified}");
        (
            verified["broken_at"].clone(),
            verified["why"].as_str().expect("why").to_owned(),
        )
    };
    // a record says something else
    let (at, why) = broken(|site| {
        site.tamper(3, |mut record| {
            record.actor = "somebody else".into();
            Some(record)
        });
    })
    .await;
    assert_eq!(
        (at, &*why),
        (json!(3), "what it says is not what its hash was made of")
    );
    // and its hash was made again: the next one does not follow
    let (at, why) = broken(|site| {
        site.tamper(3, |mut record| {
            record.actor = "somebody else".into();
            record.hash = record.digest();
            Some(record)
        });
    })
    .await;
    assert_eq!(
        (at, &*why),
        (json!(4), "it does not follow the record before it")
    );
    // the newest one, of which only the fleet knows the hash
    let (at, _) = broken(|site| {
        site.tamper(5, |mut record| {
            record.after = "null".into();
            record.hash = record.digest();
            Some(record)
        });
    })
    .await;
    assert_eq!(at, json!(5));
    let (at, why) = broken(|site| site.tamper(2, |_| None)).await;
    assert_eq!((at, &*why), (json!(2), "it is missing"));
    // the first one ever follows nothing
    let (at, _) = broken(|site| {
        site.tamper(1, |mut record| {
            record.previous = [1; 32];
            record.hash = record.digest();
            Some(record)
        });
    })
    .await;
    assert_eq!(at, json!(1));
}

#[tokio::test]
async fn a_record_that_is_missing_is_shown_as_damaged() {
    let site = Site::new();
    put(&site, "a", 1).await;
    put(&site, "b", 1).await;
    site.tamper(1, |_| None);
    let items = items(&site, "/audit?target=b").await;
    assert_eq!(items[1], json!({"seq": 1, "damaged": "it is missing"}));
}

#[tokio::test]
async fn raw_bodies_are_for_admins_and_noted_before_they_are_shown() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let secret = "a: 1\npassword: hunter2\n";
    let effective = site.keep_files(&[("", secret)]);
    let below = json!({
        "healthy": true, "status": "", "last_error": "token=abc123", "start_time": null, "status_time": null,
        "components": {},
    });
    let tree = json!({
        "healthy": true, "status": "", "last_error": "", "start_time": null, "status_time": null,
        "components": {"p": below},
    });
    let health = Health {
        healthy: true,
        status: "".into(),
        last_error: "".into(),
        since_ms: 0,
        body: Some(site.keep_json(tree.clone())),
    };
    site.report(
        uid,
        AgentUpdate {
            effective: Some(effective),
            health: Some(health),
            ..AgentUpdate::default()
        },
    );
    let path = format!("/agents/{uid}/effective-config");
    for role in ["viewer", "operator"] {
        let asked = site.ask(Method::GET, &format!("/api/v1{path}?raw=true"));
        asked.role(role).send().await.problem(403, "forbidden");
    }
    assert!(ask(&site, &path).await.ok(200)["redacted"] == true);
    site.fail(Some(ProposeError::Unavailable("no quorum".to_owned())));
    let refused = ask(&site, &format!("{path}?raw=true")).await;
    refused.problem(503, "unavailable");
    site.fail(None);
    assert!(items(&site, "/audit").await.is_empty());
    let raw = ask(&site, &format!("{path}?raw=true")).await.ok(200);
    assert_eq!(
        (&raw["files"][0]["body"], &raw["redacted"]),
        (&json!(secret), &json!(false))
    );
    let raw = ask(&site, &format!("/agents/{uid}/health?raw=true"))
        .await
        .ok(200);
    assert_eq!(raw, tree);
    let records = items(&site, "/audit?action=agent.read_raw&actor=admin").await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["after"]["body"], "health");
    let shown = json!({"body": "effective-config", "hash": effective.to_string()});
    assert_eq!(
        (&records[1]["target"], &records[1]["after"]),
        (&json!(uid), &shown)
    );
}

#[tokio::test]
async fn a_token_expires_while_the_node_is_off() {
    const HOUR_MS: u64 = 3_600_000;
    let site = Site::new();
    let begins = || Proposal::NoteWallTime { begins: true };
    site.apply(begins());
    site.token("short", Role::Viewer, Some(5_000 + HOUR_MS));
    let asked = || site.ask(Method::GET, "/api/v1/groups").role("short").send();
    assert_eq!(asked().await.status, 200);
    site.wall_passes(HOUR_MS);
    assert_eq!(
        asked().await.status,
        200,
        "a wall clock alone decides nothing"
    );
    site.apply(begins());
    asked().await.problem(401, "unauthenticated");
}
