//! Groups through the real router.

use ampora_raft::records::ConfigStatus;
use http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Answer, Site};

mod changes;

async fn put(site: &Site, name: &str, body: Value) -> Answer {
    site.write(Method::PUT, &format!("/groups/{name}"))
        .json(&body)
        .send()
        .await
}

#[tokio::test]
async fn a_group_is_shown_with_every_field_and_live_numbers() {
    let site = Site::new();
    let agents: Vec<_> = (1..=4)
        .map(|number| site.agent(number, &[("env", "prod")]))
        .collect();
    site.agent(9, &[("env", "dev")]);
    let version = site.version("edge", "a: 1\n").await;
    let hash = version["hash"].as_str().unwrap();
    let answer = put(&site, "prod", json!({"selector": "env=prod", "priority": 10, "pace": "all-at-once", "configuration": {"name": "edge", "version": 1}})).await;
    assert_eq!(answer.ok(201)["affected"], 4);
    site.report_config(agents[0], hash, ConfigStatus::Applied, "");
    site.report_config(agents[1], hash, ConfigStatus::Failed, "bad");
    site.report_config(agents[2], hash, ConfigStatus::Applying, "");
    let answer = site.get("/groups/prod").await;
    let group = answer.ok(200);
    let reference = json!({"name": "edge", "version": 1, "hash": hash});
    let expected = json!({
        "name": "prod",
        "selector": "env=prod",
        "priority": 10,
        "configuration": reference,
        "pace": "all-at-once",
        "revision": group["revision"],
        "settled": reference,
        "next": null,
        "previous": null,
        "window": null,
        "matched": 4,
        "affected": 3,
        "confirmed": 1,
        "failed": 1,
        "quarantined": null,
        "quarantined_hashes": [],
        "changed_at": "2023-11-14T22:13:20.000Z",
        "changed_by": "operator",
        "applied_index": group["applied_index"],
    });
    assert_eq!(group, expected);
    assert_eq!(answer.header("etag"), format!("\"{}\"", group["revision"]));
    let list = site.get("/groups").await.ok(200);
    assert_eq!(list["items"][0]["matched"], 4);
    assert_eq!(list["continue"], Value::Null);
}

#[tokio::test]
async fn what_a_put_does_not_name_stays_and_null_unassigns() {
    let site = Site::new();
    site.version("edge", "a: 1\n").await;
    site.version("edge", "a: 2\n").await;
    put(
        &site,
        "g",
        json!({"selector": "a=b", "configuration": {"name": "edge"}}),
    )
    .await
    .ok(201);
    let kept = put(&site, "g", json!({"priority": -5})).await.ok(200);
    assert_eq!(
        (&kept["priority"], &kept["selector"]),
        (&json!(-5), &json!("a=b"))
    );
    assert_eq!(kept["configuration"]["version"], 2);
    let nothing = put(&site, "g", json!({"configuration": null}))
        .await
        .ok(200);
    assert_eq!(nothing["configuration"], Value::Null);
    put(&site, "new", json!({"priority": 1}))
        .await
        .problem(422, "validation_failed");
    put(&site, "g", json!({"configuration": {"name": "none"}}))
        .await
        .problem(404, "configuration_not_found");
    put(
        &site,
        "g",
        json!({"configuration": {"name": "edge", "version": 9}}),
    )
    .await
    .problem(404, "version_not_found");
    let problem = put(&site, "g", json!({"selector": ""}))
        .await
        .problem(422, "invalid_selector");
    assert_eq!(problem["errors"][0]["pointer"], "/selector");
    put(&site, "Upper", json!({"selector": "*"}))
        .await
        .problem(422, "validation_failed");
}

#[tokio::test]
async fn preconditions_hold_changes_back() {
    let site = Site::new();
    let with = |method: Method, header: &'static str, value: String| {
        site.write(method, "/groups/g")
            .header(header, &value)
            .json(&json!({"selector": "*"}))
            .send()
    };
    with(Method::PUT, "if-match", "*".to_owned())
        .await
        .problem(412, "precondition_failed");
    let first = with(Method::PUT, "if-none-match", "*".to_owned()).await;
    first.ok(201);
    let tag = first.header("etag").to_owned();
    with(Method::PUT, "if-none-match", "*".to_owned())
        .await
        .problem(412, "precondition_failed");
    let second = site
        .write(Method::PUT, "/groups/g")
        .header("if-match", &tag)
        .json(&json!({"priority": 3}))
        .send()
        .await;
    second.ok(200);
    assert_ne!(second.header("etag"), tag);
    with(Method::PUT, "if-match", tag.clone())
        .await
        .problem(412, "precondition_failed");
    with(Method::DELETE, "if-match", tag)
        .await
        .problem(412, "precondition_failed");
    for odd in ["7", "W/\"7\"", "\"a\"", "\"1\", \"2\"", "\"0\""] {
        with(Method::PUT, "if-match", odd.to_owned())
            .await
            .problem(400, "invalid_parameter");
    }
    with(Method::DELETE, "if-match", second.header("etag").to_owned()).await;
    site.get("/groups/g").await.problem(404, "group_not_found");
    site.write(Method::DELETE, "/groups/g")
        .send()
        .await
        .problem(404, "group_not_found");
}

#[tokio::test]
async fn a_dry_run_says_who_would_change_and_changes_nothing() {
    let site = Site::new();
    let done = site.agent(1, &[("env", "prod")]);
    site.agent(2, &[("env", "prod")]);
    site.agent(3, &[("env", "dev")]);
    let version = site.version("edge", "a: 1\n").await;
    site.report_config(
        done,
        version["hash"].as_str().unwrap(),
        ConfigStatus::Applied,
        "",
    );
    let body = json!({"selector": "env=prod", "configuration": {"name": "edge"}});
    let dry = site
        .write(Method::PUT, "/groups/g?dry_run=true")
        .json(&body)
        .send()
        .await
        .ok(200);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["matched"], 2);
    assert_eq!(
        dry["would_change"],
        json!({"count": 1, "agents": ["00000000-0000-0000-0000-000000000002"]})
    );
    site.get("/groups/g").await.problem(404, "group_not_found");
    let mut bounded = body.clone();
    bounded["max_affected"] = json!(0);
    put(&site, "g", bounded.clone())
        .await
        .problem(409, "too_many_affected");
    site.get("/groups/g").await.problem(404, "group_not_found");
    bounded["max_affected"] = json!(1);
    put(&site, "g", bounded).await.ok(201);
}

#[tokio::test]
async fn a_replayed_put_answers_the_group_and_changes_nothing() {
    let site = Site::new();
    let ask = || {
        site.write(Method::PUT, "/groups/g")
            .header("idempotency-key", "k")
            .json(&json!({"selector": "*"}))
            .send()
    };
    let first = ask().await.ok(201);
    put(&site, "g", json!({"priority": 5})).await.ok(200);
    let second = ask().await.ok(201);
    assert_eq!(first["revision"], second["revision"]);
    assert_eq!(site.get("/groups/g").await.ok(200)["priority"], 5);
}
