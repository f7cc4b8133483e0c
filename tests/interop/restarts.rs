//! Servers and agents that go away and come back.

use serde_json::Value;

use crate::clients::{Supervisor, Transport};
use crate::configurations::running;
use crate::server::{Server, Stopped};
use crate::stage::{Stage, pipeline};
use crate::wait::{POLLED, SOON};

/// What must be the same before and after.
fn kept(agent: &Value) -> Value {
    let mut kept = agent.clone();
    let fields = kept.as_object_mut().unwrap();
    for passing in ["fence", "last_seen", "last_seen_exact", "last_change"] {
        fields.remove(passing);
    }
    kept["health"].as_object_mut().unwrap().remove("since");
    kept
}

/// The same of an agent that was started again: its supervisor has then chosen another port for its collector.
fn kept_by_agent(agent: &Value) -> Value {
    let mut kept = kept(agent);
    let config = kept["config"].as_object_mut().unwrap();
    config.remove("effective_hash");
    kept
}

/// A server that goes away in some way and comes back on the same port.
async fn server_comes_back(transport: Transport, leave: impl AsyncFn(Server) -> Stopped) {
    let mut stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, transport).await;
    let before = stage.rest().agent(&uid).await;
    let (collector, offers) = (supervisor.collector(), supervisor.offers());

    let stopped = leave(stage.server).await;
    stage.server = Server::again(stopped).await;
    let kept_at_once = stage.rest().agent(&uid).await;
    for field in ["labels", "config", "group", "first_seen"] {
        assert_eq!(kept_at_once[field], before[field], "{field}");
    }

    let after = stage.connected(POLLED).await;
    assert_eq!(after["instance_uid"], uid);
    assert!(after["fence"].as_u64() > before["fence"].as_u64());
    let after = stage.applied(&uid, SOON).await;
    assert_eq!(kept(&after), kept(&before));
    assert_eq!(
        (supervisor.collector(), supervisor.offers()),
        (collector, offers)
    );

    stage.rest().version("edge", &pipeline("second")).await;
    stage.rest().assign("edge").await;
    stage.effective(&uid, "interop.marker: second").await;
    stage.applied(&uid, POLLED).await;
}

#[tokio::test]
async fn server_is_stopped_and_started() {
    server_comes_back(Transport::WebSocket, Server::stop).await;
}

#[tokio::test]
async fn server_is_stopped_and_started_over_plain_http() {
    server_comes_back(Transport::Http, Server::stop).await;
}

#[tokio::test]
async fn server_is_killed_and_started() {
    server_comes_back(Transport::WebSocket, Server::kill).await;
}

#[tokio::test]
async fn server_is_killed_and_started_over_plain_http() {
    server_comes_back(Transport::Http, Server::kill).await;
}

/// What an operator wants while nobody is there happens when the agent is back.
#[tokio::test]
async fn supervisor_says_goodbye_and_comes_back() {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, Transport::WebSocket).await;
    let before = stage.rest().agent(&uid).await;
    let dir = supervisor.stop().await;
    let gone = stage.released(&uid).await;
    assert_eq!(gone["group"], "everyone", "{gone:#}");

    stage.rest().version("edge", &pipeline("second")).await;
    stage.rest().assign("edge").await;
    let waiting = stage.rest().agent(&uid).await;
    assert_eq!(waiting["config"]["why"], "offline", "{waiting:#}");
    assert_eq!(waiting["config"]["drifted"], true, "{waiting:#}");

    let supervisor = Supervisor::again(&dir);
    let after = stage.connected(SOON).await;
    assert_eq!(after["instance_uid"], uid);
    assert_eq!(after["first_seen"], before["first_seen"]);
    stage.effective(&uid, "interop.marker: second").await;
    stage.applied(&uid, SOON).await;
    assert_eq!(supervisor.offers(), 2);
}

/// An agent that comes back as it was is left alone.
#[tokio::test]
async fn supervisor_that_kept_its_configuration_is_offered_nothing() {
    let stage = Stage::new(&[]).await;
    let (supervisor, uid) = running(&stage, Transport::WebSocket).await;
    let before = stage.rest().agent(&uid).await;
    let dir = supervisor.stop().await;
    stage
        .agent(&uid, "the agent is disconnected", SOON, |agent| {
            agent["state"] == "disconnected"
        })
        .await;
    let supervisor = Supervisor::again(&dir);
    stage.connected(SOON).await;
    let after = stage.applied(&uid, SOON).await;
    assert_eq!(kept_by_agent(&after), kept_by_agent(&before));
    assert_eq!(supervisor.offers(), 1);
}
