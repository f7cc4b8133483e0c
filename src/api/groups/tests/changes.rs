//! Changes that start slowly, what they look like from outside, and the ways back.

use ampora_raft::ids::InstanceUid;
use ampora_raft::proposal::{MoveRollout, Proposal, RolloutMove};
use ampora_raft::records::ConfigStatus;
use http::Method;
use serde_json::{Value, json};

use super::put;
use crate::api::testing::Site;

/// Six agents of `prod` that run version 1, and version 2 on its way; the hashes of both.
async fn changing() -> (Site, Vec<InstanceUid>, [String; 2]) {
    let site = Site::new();
    let agents: Vec<_> = (1..=6)
        .map(|number| site.agent(number, &[("env", "prod")]))
        .collect();
    let mut hashes = [String::new(), String::new()];
    for (hash, body) in hashes.iter_mut().zip(["a: 1\n", "a: 2\n"]) {
        let version = site.version("edge", body).await;
        *hash = version["hash"].as_str().unwrap().to_owned();
    }
    let body = json!({"selector": "env=prod", "pace": "all-at-once", "configuration": {"name": "edge", "version": 1}});
    put(&site, "prod", body).await.ok(201);
    for uid in &agents {
        site.report_config(*uid, &hashes[0], ConfigStatus::Applied, "");
    }
    let body = json!({"pace": "slow-start", "configuration": {"name": "edge", "version": 2}});
    put(&site, "prod", body).await.ok(200);
    (site, agents, hashes)
}

fn step(site: &Site, to: RolloutMove) {
    let group = "prod".into();
    let seen = {
        use crate::api::backend::Backend;
        site.memory.view().fleet.rollout("prod").unwrap().revision
    };
    site.apply(Proposal::MoveRollout(MoveRollout { group, seen, to }));
}

const ALL: RolloutMove = RolloutMove::Window {
    threshold: u64::MAX,
    size: 6,
};

async fn why(site: &Site, uid: InstanceUid) -> (Value, Value) {
    let agent = site.get(&format!("/agents/{uid}")).await.ok(200);
    (agent["config"]["why"].clone(), agent["config"].clone())
}

async fn way(site: &Site, path: &str) -> Value {
    let answer = site
        .write(Method::POST, &format!("/groups/prod/{path}"))
        .send()
        .await;
    answer.ok(200)
}

#[tokio::test]
async fn a_new_group_starts_slowly_unless_told_otherwise() {
    let site = Site::new();
    for number in 1..=3 {
        site.agent(number, &[]);
    }
    site.version("edge", "a: 1\n").await;
    let body = json!({"selector": "*", "configuration": {"name": "edge"}});
    let group = put(&site, "g", body).await.ok(201);
    assert_eq!(group["pace"], "slow-start");
    assert_eq!(group["settled"], Value::Null);
    assert_eq!(group["next"]["version"], 1);
    assert_eq!(
        (&group["matched"], &group["affected"]),
        (&json!(3), &json!(3))
    );
    let (why, config) = why(&site, InstanceUid::from_u128(1)).await;
    assert_eq!(
        (why, &config["desired_hash"]),
        (json!("outside_window"), &Value::Null)
    );
    put(&site, "g", json!({"selector": "*", "pace": "brisk"}))
        .await
        .problem(422, "validation_failed");
    let kept = put(&site, "g", json!({"priority": 1})).await.ok(200);
    assert_eq!(kept["pace"], "slow-start");
    let body = json!({"selector": "a=b", "pace": "all-at-once"});
    let group = put(&site, "h", body).await.ok(201);
    assert_eq!(group["pace"], "all-at-once");
}

#[tokio::test]
async fn a_change_is_seen_failing_and_lifted() {
    let (site, agents, hashes) = changing().await;
    let group = site.get("/groups/prod").await.ok(200);
    assert_eq!(
        (&group["settled"]["version"], &group["next"]["version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&group["affected"], &group["window"]),
        (&json!(6), &Value::Null)
    );
    let (before, config) = why(&site, agents[0]).await;
    assert_eq!(before, "outside_window");
    assert_eq!(
        (&config["desired_hash"], &config["drifted"]),
        (&json!(hashes[0]), &json!(false))
    );
    step(&site, ALL);
    assert_eq!(why(&site, agents[0]).await.0, "applying");
    site.report_config(
        agents[0],
        &hashes[1],
        ConfigStatus::Failed,
        "password=hunter2 refused",
    );
    let (failed, config) = why(&site, agents[0]).await;
    assert_eq!(failed, "failed");
    let hint = config["hint"].as_str().unwrap();
    assert!(
        hint.contains("refused") && !hint.contains("hunter2"),
        "{hint}"
    );
    let group = site.get("/groups/prod").await.ok(200);
    assert_eq!(
        (&group["window"]["agents"], &group["window"]["failed"]),
        (&json!(6), &json!(1))
    );
    for uid in &agents[1..3] {
        site.report_config(*uid, &hashes[1], ConfigStatus::Failed, "no");
    }
    let group = site.get("/groups/prod").await.ok(200);
    assert_eq!(group["quarantined"]["hash"], json!(hashes[1]));
    assert_eq!(
        (&group["quarantined"]["failures"], &group["failed"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(group["affected"], 3, "those that have to go back");
    let (held, config) = why(&site, agents[5]).await;
    assert_eq!(held, "quarantined");
    assert!(
        config["hint"]
            .as_str()
            .unwrap()
            .contains("ampora groups lift prod")
    );
    let lifted = way(&site, "quarantine/lift").await;
    assert_eq!(
        (&lifted["quarantined"], &lifted["next"]["version"]),
        (&Value::Null, &json!(2))
    );
    assert_eq!(why(&site, agents[5]).await.0, "outside_window");
    site.write(Method::POST, "/groups/prod/quarantine/lift")
        .send()
        .await
        .problem(409, "nothing_quarantined");
}

#[tokio::test]
async fn a_revert_goes_back_once_and_can_be_tried() {
    let (site, agents, hashes) = changing().await;
    step(&site, ALL);
    for uid in &agents {
        site.report_config(*uid, &hashes[1], ConfigStatus::Applied, "");
    }
    step(&site, RolloutMove::Settle);
    let group = site.get("/groups/prod").await.ok(200);
    assert_eq!(
        (&group["settled"]["version"], &group["previous"]["version"]),
        (&json!(2), &json!(1))
    );
    let dry = way(&site, "revert?dry_run=true").await;
    assert_eq!(
        (&dry["dry_run"], &dry["would_change"]["count"]),
        (&json!(true), &json!(6))
    );
    site.write(Method::POST, "/groups/prod/revert?max_affected=5")
        .send()
        .await
        .problem(409, "too_many_affected");
    assert_eq!(
        site.get("/groups/prod").await.ok(200)["settled"]["version"],
        2
    );
    assert_eq!(way(&site, "revert").await["settled"]["version"], 1);
    site.write(Method::POST, "/groups/prod/revert")
        .send()
        .await
        .problem(409, "nothing_to_revert");
    site.write(Method::POST, "/groups/none/revert")
        .send()
        .await
        .problem(404, "group_not_found");
}

#[tokio::test]
async fn a_revert_counts_agents_that_the_change_has_reached() {
    let (site, agents, hashes) = changing().await;
    step(&site, ALL);
    site.report_config(agents[0], &hashes[1], ConfigStatus::Applied, "");
    let dry = way(&site, "revert?dry_run=true").await;
    assert_eq!(
        dry["would_change"],
        json!({"count": 1, "agents": [agents[0]]})
    );
}

#[tokio::test]
async fn deleting_a_group_counts_those_who_get_another_configuration() {
    let (site, _, _) = changing().await;
    let body = json!({"selector": "*", "priority": -1, "pace": "all-at-once", "configuration": {"name": "edge", "version": 2}});
    put(&site, "rest", body).await.ok(201);
    step(&site, ALL);
    let delete = |query: &str| {
        site.write(Method::DELETE, &format!("/groups/prod?{query}"))
            .send()
    };
    let dry = delete("dry_run=true").await.ok(200);
    assert_eq!(
        dry["would_change"]["count"], 0,
        "they are on their way to it"
    );
    way(&site, "revert").await;
    assert_eq!(
        delete("dry_run=true").await.ok(200)["would_change"]["count"],
        6
    );
    delete("max_affected=5")
        .await
        .problem(409, "too_many_affected");
    assert_eq!(delete("max_affected=6").await.status.as_u16(), 204);
}

#[tokio::test]
async fn a_preview_tells_who_matches_and_who_changes_page_by_page() {
    let (site, agents, _) = changing().await;
    site.agent(9, &[("env", "dev")]);
    let as_it_is = site.get("/groups/prod/preview?limit=4").await.ok(200);
    assert_eq!(
        (&as_it_is["matched"], &as_it_is["would_change"]),
        (&json!(6), &json!(6))
    );
    assert_eq!(as_it_is["items"].as_array().unwrap().len(), 4);
    let item = &as_it_is["items"][0];
    assert_eq!(item["instance_uid"], json!(agents[0]));
    assert_eq!(
        (&item["matches"], &item["changes"], &item["group"]),
        (&json!(true), &json!(true), &json!("prod"))
    );
    assert_eq!(
        (&item["from"]["version"], &item["to"]["version"]),
        (&json!(2), &json!(2))
    );
    let token = as_it_is["continue"].as_str().unwrap();
    let rest = site
        .get(&format!("/groups/prod/preview?limit=4&continue={token}"))
        .await
        .ok(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["continue"], Value::Null);
    site.get(&format!("/groups/prod/preview?selector=*&continue={token}"))
        .await
        .problem(400, "continue_invalid");
    let back = site
        .get("/groups/prod/preview?configuration=edge@1")
        .await
        .ok(200);
    assert_eq!(
        (&back["matched"], &back["would_change"]),
        (&json!(6), &json!(0))
    );
    let wider = site.get("/groups/prod/preview?selector=*").await.ok(200);
    assert_eq!(
        (&wider["matched"], &wider["would_change"]),
        (&json!(7), &json!(1))
    );
    let new = site
        .get("/groups/new/preview?selector=env%3Ddev&configuration=edge&priority=3")
        .await
        .ok(200);
    assert_eq!(
        (&new["matched"], &new["would_change"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(new["items"][0]["from"], Value::Null);
    site.get("/groups/new/preview")
        .await
        .problem(404, "group_not_found");
    site.get("/groups/new")
        .await
        .problem(404, "group_not_found");
    site.get("/groups/prod/preview?configuration=edge@x")
        .await
        .problem(400, "invalid_parameter");
    site.get("/groups/prod/preview?configuration=edge@77")
        .await
        .problem(404, "version_not_found");
}
