//! A collector that speaks for itself: it is seen, and takes no orders.

use serde_json::{Value, json};

use crate::clients::{Collector, EXTENSION_SECRET, Transport};
use crate::contact::{assert_components, assert_described, assert_health_tree};
use crate::server::{Server, Stopped};
use crate::stage::{Stage, pipeline};
use crate::wait::{SOON, until};

async fn start(stage: &Stage, transport: Transport) -> (Collector, String) {
    let dir = stage.client("agent");
    let collector = Collector::start(&dir, &stage.server.opamp, transport);
    let agent = stage.connected(SOON).await;
    (
        collector,
        agent["instance_uid"].as_str().unwrap().to_owned(),
    )
}

async fn seen(transport: Transport) {
    let stage = Stage::new(&[]).await;
    let (_collector, uid) = start(&stage, transport).await;
    let agent = stage.rest().agent(&uid).await;
    assert_described(&agent, transport);
    assert_eq!(agent["labels"]["env"], "alone", "{agent:#}");
    assert_components(&stage, &uid).await;
    assert_health_tree(&stage, &uid).await;
    let shown = stage.effective(&uid, "receivers").await;
    assert!(shown.contains("interop.api_key: [REDACTED]"), "{shown}");
    assert!(!shown.contains(EXTENSION_SECRET), "{shown}");

    let rest = stage.rest();
    rest.version("edge", &pipeline("first")).await;
    rest.assign("edge").await;
    let agent = rest.agent(&uid).await;
    assert_eq!(agent["group"], "everyone", "{agent:#}");
    assert_eq!(agent["config"]["why"], "no_capability", "{agent:#}");
    assert_eq!(agent["config"]["drifted"], false, "{agent:#}");
    for action in ["restart", "push_config"] {
        let body = json!({"action": {action: {}}, "target": {"agent": uid}});
        rest.post("/dispatches", &body)
            .await
            .problem(409, "lacks_capability");
    }
}

#[tokio::test]
async fn extension_is_seen_and_takes_no_orders() {
    seen(Transport::WebSocket).await;
}

#[tokio::test]
async fn extension_is_seen_and_takes_no_orders_over_plain_http() {
    seen(Transport::Http).await;
}

async fn server_comes_back(transport: Transport, leave: impl AsyncFn(Server) -> Stopped) {
    let mut stage = Stage::new(&[]).await;
    let (_collector, uid) = start(&stage, transport).await;
    assert_health_tree(&stage, &uid).await;
    stage.effective(&uid, "receivers").await;
    let before = stage.rest().agent(&uid).await;
    let stopped = leave(stage.server).await;
    stage.server = Server::again(stopped).await;
    let after = stage.connected(SOON).await;
    for field in ["instance_uid", "labels", "capabilities", "first_seen"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_health_tree(&stage, &uid).await;
    stage.effective(&uid, "receivers").await;
}

#[tokio::test]
async fn extension_outlives_a_stopped_server() {
    server_comes_back(Transport::WebSocket, Server::stop).await;
}

#[tokio::test]
async fn extension_outlives_a_killed_server() {
    server_comes_back(Transport::WebSocket, Server::kill).await;
}

#[tokio::test]
async fn extension_outlives_a_stopped_server_over_plain_http() {
    server_comes_back(Transport::Http, Server::stop).await;
}

#[tokio::test]
async fn extension_outlives_a_killed_server_over_plain_http() {
    server_comes_back(Transport::Http, Server::kill).await;
}

async fn state_becomes(stage: &Stage, uid: &str, state: &str) -> Value {
    let what = format!("the agent is {state}");
    stage
        .agent(uid, &what, SOON, |agent| agent["state"] == state)
        .await
}

#[tokio::test]
async fn extension_says_goodbye() {
    let stage = Stage::new(&[]).await;
    let (collector, uid) = start(&stage, Transport::WebSocket).await;
    collector.stop().await;
    stage.released(&uid).await;

    // nobody told it who it is, so it comes back as somebody else
    let dir = stage.client("again");
    let _collector = Collector::start(&dir, &stage.server.opamp, Transport::WebSocket);
    let connected = until("another agent is connected", SOON, async || {
        let mut agents = stage.rest().agents().await;
        agents.retain(|agent| agent["state"] == "connected");
        (agents.len() == 1)
            .then_some(agents)
            .ok_or_else(String::new)
    })
    .await;
    assert_ne!(connected[0]["instance_uid"], uid);
    assert_eq!(stage.rest().agent(&uid).await["state"], "disconnected");
}

/// A socket that breaks is known at once, without a goodbye.
#[tokio::test]
async fn extension_that_is_killed_is_disconnected() {
    let stage = Stage::new(&[]).await;
    let (collector, uid) = start(&stage, Transport::WebSocket).await;
    collector.kill();
    state_becomes(&stage, &uid, "disconnected").await;
}

/// A client that polls leaves without a word and is judged by its silence.
#[tokio::test]
async fn extension_that_stops_polling_is_stale_and_then_disconnected() {
    let stage = Stage::new(&["opamp.heartbeat_window_seconds=3"]).await;
    let (collector, uid) = start(&stage, Transport::Http).await;
    collector.stop().await;
    let seen = state_becomes(&stage, &uid, "stale").await["last_seen"].take();
    let gone = state_becomes(&stage, &uid, "disconnected").await;
    assert_eq!(gone["last_seen"], seen, "{gone:#}");
}
