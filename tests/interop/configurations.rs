//! Configurations that change, that are refused, and that heal.

use std::time::Duration;

use serde_json::json;

use crate::clients::{Supervisor, Transport};
use crate::contact::assert_health_tree;
use crate::server::Server;
use crate::stage::{PIPELINE_SECRET, REFUSED, Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

/// A supervisor that runs the first version of `edge`.
pub(crate) async fn running(stage: &Stage, transport: Transport) -> (Supervisor, String) {
    stage.rest().version("edge", &pipeline("first")).await;
    stage.rest().assign("edge").await;
    let supervisor = Supervisor::start(&stage.client("agent"), &stage.server.opamp, transport);
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap().to_owned();
    stage.applied(&uid, POLLED).await;
    (supervisor, uid)
}

#[tokio::test]
async fn configuration_reaches_a_connected_agent_and_changes() {
    let stage = Stage::new(&[]).await;
    let dir = stage.client("agent");
    let supervisor = Supervisor::start(&dir, &stage.server.opamp, Transport::WebSocket);
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap();
    for (offers, marker) in [(1, "first"), (2, "second")] {
        let number = stage.rest().version("edge", &pipeline(marker)).await;
        stage.rest().assign("edge").await;
        let agent = stage
            .agent(uid, "the version is desired", SOON, |agent| {
                agent["config"]["desired"]["version"] == number
            })
            .await;
        assert_eq!(agent["group"], "everyone");
        stage.applied(uid, SOON).await;
        let shown = stage
            .effective(uid, &format!("interop.marker: {marker}"))
            .await;
        assert!(!shown.contains(PIPELINE_SECRET), "{shown}");
        assert_health_tree(&stage, uid).await;
        assert_eq!(supervisor.offers(), offers);
    }
}

/// Waits until the agent says that it failed what it should run, with its words.
pub(crate) async fn failed(stage: &Stage, uid: &str, words: &str) {
    let agent = stage
        .agent(uid, "the configuration is failed", POLLED, |agent| {
            let config = &agent["config"];
            config["status"] == "failed" && config["reported_hash"] == config["desired_hash"]
        })
        .await;
    let config = &agent["config"];
    let error = config["error"].as_str().unwrap();
    assert!(error.contains(words), "{agent:#}");
    assert_eq!(config["drifted"], true, "{agent:#}");
    assert_eq!(config["why"], "failed", "{agent:#}");
    assert_ne!(config["hint"], "", "{agent:#}");
}

/// Waits until the collector has failed to start twice more. The supervisor starts it every 5 s again and says so:
/// each report is a chance to offer again.
async fn failed_starts(supervisor: &Supervisor) {
    let starts = supervisor.failed_starts();
    until("more failed starts", Duration::from_secs(60), async || {
        let more = supervisor.failed_starts() - starts;
        (more >= 2).then_some(()).ok_or(format!("{more} more"))
    })
    .await;
}

async fn refused_then_healed(transport: Transport) {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, transport).await;
    stage.rest().version("edge", REFUSED).await;
    stage.rest().assign("edge").await;
    failed(&stage, &uid, "exited unexpectedly").await;
    failed_starts(&supervisor).await;
    assert_eq!(supervisor.offers(), 2, "what failed was offered again");
    let agent = stage.rest().agent(&uid).await;
    assert_eq!(agent["health"]["healthy"], false, "{agent:#}");
    assert_eq!(agent["config"]["status"], "failed", "{agent:#}");

    stage.rest().version("edge", &pipeline("healed")).await;
    stage.rest().assign("edge").await;
    stage.applied(&uid, POLLED).await;
    stage.effective(&uid, "interop.marker: healed").await;
    assert_eq!(supervisor.offers(), 3);
}

/// What failed is remembered by the server, whatever the agent says when it comes back.
#[tokio::test]
async fn configuration_that_failed_is_not_offered_by_a_server_that_was_killed() {
    let mut stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, Transport::WebSocket).await;
    stage.rest().version("edge", REFUSED).await;
    stage.rest().assign("edge").await;
    failed(&stage, &uid, "exited unexpectedly").await;
    let stopped = stage.server.kill().await;
    stage.server = Server::again(stopped).await;
    stage.connected(SOON).await;
    failed_starts(&supervisor).await;
    failed(&stage, &uid, "exited unexpectedly").await;
    assert_eq!(supervisor.offers(), 2, "what failed was offered again");
}

#[tokio::test]
async fn configuration_that_a_collector_refuses_is_not_offered_again() {
    refused_then_healed(Transport::WebSocket).await;
}

#[tokio::test]
async fn configuration_that_a_collector_refuses_is_not_offered_again_over_plain_http() {
    refused_then_healed(Transport::Http).await;
}

/// The stock supervisor stays with what failed: the server brings it back, however the version fails.
async fn taken_back(version: &serde_json::Value, transport: Transport) {
    let stage = Stage::new(&["rollout.quarantine_failures=1"]).await;
    let (supervisor, uid) = running(&stage, transport).await;
    let rest = stage.rest();
    rest.post("/configurations/edge/versions", version)
        .await
        .ok(201);
    let slowly = json!({"configuration": {"name": "edge"}, "pace": "slow-start"});
    rest.put("/groups/everyone", &slowly).await.ok(200);
    let agent = stage
        .agent(&uid, "it is back on the settled version", POLLED, |agent| {
            let config = &agent["config"];
            config["why"] == "quarantined"
                && config["status"] == "applied"
                && config["reported_hash"] == config["desired_hash"]
                && agent["health"]["healthy"] == true
        })
        .await;
    assert_eq!(agent["config"]["desired"]["version"], 1, "{agent:#}");
    assert_eq!(agent["config"]["drifted"], false, "{agent:#}");
    stage.effective(&uid, "interop.marker: first").await;
    let group = rest.get("/groups/everyone").await.ok(200);
    assert_eq!(group["quarantined"]["version"], 2, "{group:#}");
    assert_eq!(group["quarantined"]["failures"], 1, "{group:#}");
    assert_eq!(
        supervisor.offers(),
        3,
        "the first, the broken one, the first"
    );
}

#[tokio::test]
async fn configuration_that_a_collector_refuses_is_taken_back() {
    let file = json!({"name": "", "content_type": "text/yaml", "body": REFUSED});
    for transport in [Transport::WebSocket, Transport::Http] {
        taken_back(&json!({"files": [file.clone()]}), transport).await;
    }
}

#[tokio::test]
async fn configuration_that_is_no_yaml_is_taken_back() {
    let broken = "receivers: [unclosed\n\tand: {worse";
    let file = json!({"name": "", "content_type": "text/plain", "body": broken});
    taken_back(&json!({"files": [file]}), Transport::WebSocket).await;
}

#[tokio::test]
async fn configuration_that_is_no_yaml_fails_and_leaves_the_collector_alone() {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, Transport::WebSocket).await;
    let collector = supervisor.collector();
    let broken = "receivers: [unclosed\n\tand: {worse";
    let rest = stage.rest();
    let path = "/configurations/edge/versions";
    let file = |content_type: &str| {
        let file = json!({"name": "", "content_type": content_type, "body": broken});
        json!({"files": [file]})
    };
    rest.post(path, &file("text/yaml"))
        .await
        .problem(422, "invalid_yaml");
    // what is not called YAML is not judged here, and the agent judges it
    rest.post(path, &file("text/plain")).await.ok(201);
    rest.assign("edge").await;
    failed(&stage, &uid, "yaml").await;
    assert_eq!(supervisor.collector(), collector);
    stage.effective(&uid, "interop.marker: first").await;
    assert_eq!(supervisor.offers(), 2);

    rest.version("edge", &pipeline("healed")).await;
    rest.assign("edge").await;
    stage.applied(&uid, SOON).await;
    stage.effective(&uid, "interop.marker: healed").await;
    assert_eq!(supervisor.offers(), 3);
}
