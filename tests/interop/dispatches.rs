//! Instructions, and how their deliveries end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::{Supervisor, Transport};
use crate::configurations::{failed, running};
use crate::stage::{Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

/// A push of an unchanged configuration is answered by silence, which counts as success after 60 s.
const SILENCE: Duration = Duration::from_secs(100);

/// Gives an instruction and waits for its end.
pub(crate) async fn dispatch(stage: &Stage, body: &Value, within: Duration) -> Value {
    let accepted = stage.rest().post("/dispatches", body).await.ok(202);
    let path = format!("/dispatches/{}", accepted["id"].as_str().unwrap());
    let done = until("the dispatch is done", within, async || {
        let shown = stage.rest().get(&path).await.ok(200);
        let text = format!("{shown:#}");
        (shown["state"] == "done").then_some(shown).ok_or(text)
    });
    done.await
}

/// Asserts the one delivery that has succeeded.
fn assert_succeeded(done: &Value, uid: &str) {
    assert_eq!(done["counts"]["succeeded"], 1, "{done:#}");
    let deliveries = done["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 1, "{done:#}");
    let delivery = &deliveries[0];
    assert_eq!(delivery["agent"], uid, "{done:#}");
    assert_eq!(delivery["state"], "succeeded", "{done:#}");
    assert_eq!(delivery["error"], Value::Null, "{done:#}");
    for moment in ["queued_at", "sent_at", "finished_at"] {
        assert!(delivery[moment].is_string(), "{done:#}");
    }
}

async fn restarted(transport: Transport, target: impl Fn(&str) -> Value) {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, transport).await;
    let before = supervisor.collector().unwrap();
    let body = json!({"action": {"restart": {}}, "target": target(&uid)});
    let done = dispatch(&stage, &body, POLLED).await;
    assert_succeeded(&done, &uid);
    let after = supervisor.collector().unwrap();
    assert_ne!(before, after, "the collector is the same process");
    stage.applied(&uid, POLLED).await;
    // an instruction is carried out once
    assert_eq!(supervisor.restarts(), 1);
}

#[tokio::test]
async fn agent_is_restarted_by_its_uid() {
    restarted(Transport::WebSocket, |uid| json!({"agent": uid})).await;
}

#[tokio::test]
async fn agents_are_restarted_by_selector_over_plain_http() {
    restarted(
        Transport::Http,
        |_| json!({"selector": "env=interop && !gone"}),
    )
    .await;
}

/// A time alone reaches the log once a minute at most, so that this takes longer than the restart.
#[tokio::test]
async fn restart_is_seen_in_the_start_time() {
    let stage = Stage::new(&[]).await;
    let (_supervisor, uid) = running(&stage, Transport::WebSocket).await;
    let path = format!("/agents/{uid}/health");
    let started = stage.rest().get(&path).await.ok(200)["start_time"].take();
    assert!(started.is_string());
    let body = json!({"action": {"restart": {}}, "target": {"agent": uid}});
    assert_succeeded(&dispatch(&stage, &body, SOON).await, &uid);
    until("the new start is shown", POLLED, async || {
        let health = stage.rest().get(&path).await.ok(200);
        let text = format!("{started} before, now {health:#}");
        (health["healthy"] == true && health["start_time"] != started)
            .then_some(())
            .ok_or(text)
    })
    .await;
}

#[tokio::test]
async fn configuration_is_pushed_again() {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, Transport::WebSocket).await;
    let collector = supervisor.collector();
    let body = json!({"action": {"push_config": {}}, "target": {"agent": uid}});
    let done = dispatch(&stage, &body, SILENCE).await;
    assert_succeeded(&done, &uid);
    // offered twice, and equal to what runs: nothing happens
    assert_eq!(supervisor.offers(), 2);
    assert_eq!(supervisor.collector(), collector);
}

/// A collector that was not healthy in time has failed, says its supervisor, and may be well by now.
#[tokio::test]
async fn configuration_that_failed_is_pushed_again_and_applied() {
    let stage = Stage::new(&[]).await;
    let dir = stage.client("agent");
    let opamp = &stage.server.opamp;
    let supervisor = Supervisor::patient(&dir, opamp, Transport::WebSocket, "1ms");
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap();
    stage.rest().version("edge", &pipeline("first")).await;
    stage.rest().assign("edge").await;
    failed(&stage, uid, "timeout").await;
    stage.effective(uid, "interop.marker: first").await;
    assert_eq!(supervisor.offers(), 1);

    let body = json!({"action": {"push_config": {}}, "target": {"agent": uid}});
    let done = dispatch(&stage, &body, SILENCE).await;
    assert_succeeded(&done, uid);
    stage.applied(uid, SOON).await;
    assert_eq!(supervisor.offers(), 2);
}
