//! Stock supervisors that come with an enrollment token in the header that their file can give them.

use serde_json::json;

use crate::clients::{Supervisor, Transport};
use crate::stage::{Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

async fn enrolled(transport: Transport) {
    let stage = Stage::new(&["opamp.auth=token"]).await;
    let form = json!({"name": "edge", "uses": 1, "labels": {"env": "prod"}});
    let made = stage.rest().post("/enrollment-tokens", &form).await.ok(201);
    let token = made["token"].as_str().unwrap();
    let stranger = Supervisor::start(&stage.client("stranger"), &stage.server.opamp, transport);
    until("the stranger is refused", SOON, async || {
        let (refused, _) = stage.rest().rejected().await;
        (refused >= 1.0).then_some(()).ok_or_else(String::new)
    })
    .await;
    stranger.stop().await;
    assert!(stage.rest().agents().await.is_empty());

    stage.rest().version("edge", &pipeline("enrolled")).await;
    stage.rest().assign("edge").await;
    let supervisor = Supervisor::enrolled(
        &stage.client("agent"),
        &stage.server.opamp,
        transport,
        token,
    );
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap();
    // what the token gives hides what the agent claims
    assert_eq!(agent["labels"]["env"], "interop");
    assert_eq!(agent["server_labels"], json!({"env": "prod"}));
    for (selector, count) in [("env=prod", 1), ("env=interop", 0)] {
        let list = stage
            .rest()
            .get(&format!("/agents?selector={selector}"))
            .await;
        let list = list.ok(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{selector}");
    }
    stage.applied(uid, POLLED).await;

    // it comes back with the same header although the token takes nobody else
    let dir = supervisor.stop().await;
    stage
        .agent(uid, "the agent is away", SOON, |agent| {
            agent["state"] != "connected" || transport == Transport::Http
        })
        .await;
    let supervisor = Supervisor::again(&dir);
    stage.applied(uid, POLLED).await;

    let (before, _) = stage.rest().rejected().await;
    let id = made["id"].as_str().unwrap();
    stage
        .rest()
        .delete(&format!("/enrollment-tokens/{id}"))
        .await
        .ok(204);
    until("it is turned away", POLLED, async || {
        let (refused, _) = stage.rest().rejected().await;
        (refused > before).then_some(()).ok_or_else(String::new)
    })
    .await;
    if transport == Transport::WebSocket {
        stage.released(uid).await;
    }
    supervisor.stop().await;
}

#[tokio::test]
async fn supervisor_enrolls_by_token() {
    enrolled(Transport::WebSocket).await;
}

#[tokio::test]
async fn supervisor_enrolls_by_token_over_plain_http() {
    enrolled(Transport::Http).await;
}
