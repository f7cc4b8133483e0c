//! First contact, and what an operator then knows of an agent.

use std::path::Path;

use serde_json::Value;

use crate::clients::{Supervisor, Transport};
use crate::stage::{PIPELINE_SECRET, Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

/// A supervisor that overtakes itself is rare; one that always does is broken.
const RACES_MAX: usize = 4;

/// What every agent is known by after its first messages.
pub(crate) fn assert_described(agent: &Value, transport: Transport) {
    assert_eq!(agent["transport"], transport.name(), "{agent:#}");
    assert_eq!(agent["agent_type"], "otelcol", "{agent:#}");
    assert_eq!(agent["agent_version"], "0.149.0", "{agent:#}");
    let labels = &agent["labels"];
    assert_eq!(labels["service.name"], "otelcol", "{agent:#}");
    assert_eq!(labels["service.instance.id"], agent["instance_uid"]);
    assert_eq!(labels["os.type"], "linux", "{agent:#}");
    assert_eq!(labels["host.name"], agent["name"], "{agent:#}");
}

/// The components that the collector is built of, by kind.
pub(crate) async fn assert_components(stage: &Stage, uid: &str) {
    let path = format!("/agents/{uid}/components");
    let answer = until("components are known", SOON, async || {
        let answer = stage.rest().get(&path).await.has(200)?;
        // at first an agent tells their hash alone
        let text = answer.to_string();
        (!answer["components"].is_null())
            .then_some(answer)
            .ok_or(text)
    })
    .await;
    assert!(answer["hash"].is_string(), "{answer:#}");
    let components = answer["components"].to_string();
    for name in ["otlp", "nop", "batch", "debug", "opamp"] {
        assert!(components.contains(name), "no {name} in {answer:#}");
    }
    for kind in ["receivers", "processors", "exporters", "extensions"] {
        let parts = &answer["components"][kind];
        assert!(parts.is_object(), "no {kind} in {answer:#}");
    }
}

/// The health of an agent with one trace pipeline.
pub(crate) async fn assert_health_tree(stage: &Stage, uid: &str) {
    let path = format!("/agents/{uid}/health");
    until("the pipeline is in the health tree", SOON, async || {
        let health = stage.rest().get(&path).await.has(200)?;
        let text = format!("{health:#}");
        (health["healthy"] == true
            && health["start_time"].is_string()
            && health["components"]["pipeline:traces"]["healthy"] == true)
            .then_some(())
            .ok_or(text)
    })
    .await;
}

async fn first_contact(transport: Transport) {
    let stage = Stage::new(&[]).await;
    let supervisor = Supervisor::start(&stage.client("agent"), &stage.server.opamp, transport);
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap();
    assert_described(&agent, transport);
    let labels = &agent["labels"];
    assert_eq!(
        (labels["env"].as_str(), labels["team"].as_str()),
        (Some("interop"), Some("core"))
    );
    let capabilities = agent["capabilities"].as_array().unwrap();
    for name in [
        "ReportsStatus",
        "AcceptsRemoteConfig",
        "ReportsRemoteConfig",
        "ReportsEffectiveConfig",
        "AcceptsRestartCommand",
        "ReportsHealth",
        "ReportsAvailableComponents",
        "ReportsHeartbeat",
    ] {
        assert!(capabilities.iter().any(|known| known == name), "{agent:#}");
    }
    assert_eq!(agent["config"]["status"], "unset", "{agent:#}");
    assert_eq!(agent["config"]["desired_hash"], Value::Null, "{agent:#}");
    assert_components(&stage, uid).await;

    for (query, count) in [
        ("selector=env=interop,team in (core)", 1),
        ("selector=env=other", 0),
        ("state=connected", 1),
        ("state=stale", 0),
    ] {
        let list = stage.rest().get(&format!("/agents?{query}")).await.ok(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{query}");
    }
    // nobody told it what to run: its collector has nothing but the extension
    stage.effective(uid, "opamp").await;
    stage
        .agent(uid, "the agent is healthy", SOON, |agent| {
            agent["health"]["healthy"] == true
        })
        .await;
    assert_eq!(supervisor.offers(), 0);
}

#[tokio::test]
async fn supervisor_makes_itself_known() {
    first_contact(Transport::WebSocket).await;
}

#[tokio::test]
async fn supervisor_makes_itself_known_over_plain_http() {
    first_contact(Transport::Http).await;
}

/// What the supervisor gave its collector to run.
fn ran(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("supervisor-store/effective.yaml")).unwrap_or_default()
}

/// A configuration that waits for its agent. Supervisors put their first configuration together twice at once: one
/// that is offered another one between the two may write the older last, and says APPLIED all the same. Nobody could
/// see that from outside; such a run says nothing of the server, and is begun anew.
async fn configured_at_once(transport: Transport) {
    for _ in 0..RACES_MAX {
        if is_configured_at_once(transport).await {
            return;
        }
    }
    panic!("the supervisor overtook itself {RACES_MAX} times in a row");
}

/// False when the supervisor has overtaken itself.
async fn is_configured_at_once(transport: Transport) -> bool {
    let stage = Stage::new(&[]).await;
    stage.rest().version("edge", &pipeline("first")).await;
    let group = stage.rest().assign("edge").await;
    assert_eq!(group["matched"], 0, "{group:#}");
    let dir = stage.client("agent");
    let supervisor = Supervisor::start(&dir, &stage.server.opamp, transport);
    let agent = stage.connected(SOON).await;
    let uid = agent["instance_uid"].as_str().unwrap();
    let agent = stage.applied(uid, POLLED).await;
    if !ran(&dir).contains("interop.marker") {
        return false;
    }
    assert_eq!(agent["group"], "everyone");
    assert_eq!(agent["config"]["desired"]["name"], "edge");
    let shown = stage.effective(uid, "interop.marker: first").await;
    assert!(!shown.contains(PIPELINE_SECRET), "{shown}");
    assert!(shown.contains("interop.api_key: [REDACTED]"), "{shown}");
    assert_health_tree(&stage, uid).await;
    assert_components(&stage, uid).await;
    assert_eq!(supervisor.offers(), 1);
    let group = stage.rest().get("/groups/everyone").await.ok(200);
    assert_eq!(
        (&group["matched"], &group["confirmed"], &group["failed"]),
        (&1.into(), &1.into(), &0.into()),
        "{group:#}"
    );
    true
}

#[tokio::test]
async fn configuration_waits_for_its_agent() {
    configured_at_once(Transport::WebSocket).await;
}

#[tokio::test]
async fn configuration_waits_for_its_agent_over_plain_http() {
    configured_at_once(Transport::Http).await;
}
