//! Dispatches through the real router.

use ampora_raft::ids::InstanceUid;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::AgentUpdate;
use http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Answer, Site};

async fn post(site: &Site, body: Value) -> Answer {
    site.write(Method::POST, "/dispatches")
        .json(&body)
        .send()
        .await
}

#[tokio::test]
async fn a_restart_of_one_agent_is_accepted_with_its_place() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let answer = post(
        &site,
        json!({"action": {"restart": {}}, "target": {"agent": uid}}),
    )
    .await;
    let body = answer.ok(202);
    let id = body["id"].as_str().unwrap();
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/dispatches/{id}")
    );
    let expected = json!({
        "id": id,
        "state": "active",
        "action": {"restart": {}},
        "target": {"agent": uid},
        "expanding": false,
        "counts": {"queued": 1, "sent": 0, "succeeded": 0, "failed": 0, "expired": 0, "cancelled": 0},
        "created_at": "2023-11-14T22:13:20.000Z",
        "created_by": "operator",
        "expires_at": "2023-11-14T23:13:20.000Z",
        "finished_at": null,
        "deliveries": [{
            "agent": uid,
            "state": "queued",
            "owner_node": 1,
            "queued_at": "2023-11-14T22:13:20.000Z",
            "sent_at": null,
            "finished_at": null,
            "error": null,
        }],
        "continue": null,
        "applied_index": body["applied_index"],
    });
    assert_eq!(body, expected);
    assert_eq!(
        site.get(&format!("/dispatches/{id}")).await.ok(200),
        expected
    );
    let list = site.get("/dispatches").await.ok(200);
    assert_eq!(list["items"][0]["id"], id);
    assert!(list["items"][0].get("deliveries").is_none());
}

#[tokio::test]
async fn who_cannot_be_asked_is_refused() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    let restart = |target: Value| json!({"action": {"restart": {}}, "target": target});
    let nobody = InstanceUid::from_u128(9);
    post(&site, restart(json!({"agent": nobody})))
        .await
        .problem(404, "agent_not_found");
    post(&site, restart(json!({"agent": "x"})))
        .await
        .problem(422, "validation_failed");
    post(&site, restart(json!({"selector": "a=("})))
        .await
        .problem(422, "invalid_selector");
    post(&site, restart(json!({})))
        .await
        .problem(422, "validation_failed");
    site.report(
        uid,
        AgentUpdate {
            capabilities: Some(0x1),
            ..AgentUpdate::default()
        },
    );
    post(&site, restart(json!({"agent": uid})))
        .await
        .problem(409, "lacks_capability");
    let push = json!({"action": {"push_config": {}}, "target": {"agent": uid}});
    post(&site, push).await.problem(409, "lacks_capability");
    let message = |capability: &str, data: &str| {
        json!({
            "action": {"custom_message": {"capability": capability, "type": "t", "data_base64": data}},
            "target": {"agent": uid},
        })
    };
    post(&site, message("c", ""))
        .await
        .problem(409, "lacks_capability");
    for (capability, data) in [("", ""), ("c", "%%")] {
        post(&site, message(capability, data))
            .await
            .problem(422, "validation_failed");
    }
    for seconds in [0, 604_801] {
        let mut body = restart(json!({"agent": uid}));
        body["expires_in_seconds"] = json!(seconds);
        post(&site, body).await.problem(422, "validation_failed");
    }
    site.get("/dispatches/77")
        .await
        .problem(404, "dispatch_not_found");
    site.get("/dispatches/x")
        .await
        .problem(400, "invalid_parameter");
    site.write(Method::DELETE, "/dispatches/77")
        .send()
        .await
        .problem(404, "dispatch_not_found");
}

/// Makes the deliveries of a dispatch by selector, as the delivery task does.
fn expand(site: &Site, body: &Value) {
    let dispatch = ampora_raft::ids::DispatchId(body["id"].as_str().unwrap().parse().unwrap());
    site.apply(Proposal::ExpandDispatch {
        dispatch,
        cursor: None,
    });
}

#[tokio::test]
async fn a_selector_that_matches_nobody_is_done_and_failures_have_words() {
    let site = Site::new();
    let poor = site.agent(1, &[]);
    site.report(
        poor,
        AgentUpdate {
            capabilities: Some(0x1),
            ..AgentUpdate::default()
        },
    );
    let body = post(
        &site,
        json!({"action": {"restart": {}}, "target": {"selector": "x=y"}}),
    )
    .await
    .ok(202);
    assert_eq!(
        (&body["state"], &body["expanding"]),
        (&json!("done"), &json!(false))
    );
    assert_eq!(body["deliveries"], json!([]));
    let id = body["id"].as_str().unwrap();
    assert_eq!(
        site.get(&format!("/dispatches/{id}")).await.ok(200)["state"],
        "done"
    );
    let body = post(
        &site,
        json!({"action": {"restart": {}}, "target": {"selector": "*"}}),
    )
    .await
    .ok(202);
    assert_eq!(body["expanding"], true);
    expand(&site, &body);
    let id = body["id"].as_str().unwrap();
    let done = site.get(&format!("/dispatches/{id}")).await.ok(200);
    assert_eq!(done["deliveries"][0]["error"], "lacks_capability");
    assert_eq!(
        (&done["state"], &done["counts"]["failed"]),
        (&json!("done"), &json!(1))
    );
}

#[tokio::test]
async fn deliveries_are_paged_and_cancelled() {
    let site = Site::new();
    for number in 1..=300 {
        site.agent(number, &[]);
    }
    let body = post(
        &site,
        json!({"action": {"restart": {}}, "target": {"selector": "*"}}),
    )
    .await
    .ok(202);
    expand(&site, &body);
    let id = body["id"].as_str().unwrap().to_owned();
    let first = site
        .get(&format!("/dispatches/{id}?limit=150"))
        .await
        .ok(200);
    assert_eq!(first["deliveries"].as_array().unwrap().len(), 150);
    let token = first["continue"].as_str().unwrap();
    let second = site
        .get(&format!("/dispatches/{id}?limit=150&continue={token}"))
        .await
        .ok(200);
    assert!(second["deliveries"].as_array().unwrap().len() >= 100);
    assert_ne!(first["deliveries"][149], second["deliveries"][0]);
    let cancelled = site
        .write(Method::DELETE, &format!("/dispatches/{id}"))
        .send()
        .await
        .ok(200);
    assert_eq!(cancelled["counts"]["queued"], 0);
    assert!(cancelled["counts"]["cancelled"].as_u64().unwrap() >= 256);
    assert_eq!(cancelled["state"], "done");
}

#[tokio::test]
async fn dispatches_are_listed_newest_first() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    for _ in 0..3 {
        post(
            &site,
            json!({"action": {"push_config": {}}, "target": {"agent": uid}}),
        )
        .await
        .ok(202);
    }
    let first = site.get("/dispatches?limit=2").await.ok(200);
    let ids = |list: &Value| -> Vec<u64> {
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().parse().unwrap())
            .collect()
    };
    assert_eq!(ids(&first), [3, 2]);
    let token = first["continue"].as_str().unwrap();
    let second = site
        .get(&format!("/dispatches?limit=2&continue={token}"))
        .await
        .ok(200);
    assert_eq!(ids(&second), [1]);
}
