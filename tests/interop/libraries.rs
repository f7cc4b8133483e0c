//! Each client library alone: known, configured, and still the same agent after the server was away.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;

use crate::clients::Transport;
use crate::configurations::failed;
use crate::library::{Agent, Library};
use crate::server::{Server, Stopped};
use crate::stage::{Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

/// Polls after which an agent would have been offered again what it refused.
const POLLS: f64 = 3.0;

/// Looks without a word between them, after which a client has nothing more to say.
const QUIET_LOOKS: u32 = 100;

/// In which agents come back that were told to stay away for up to a minute.
const COMES_IN: Duration = Duration::from_secs(150);

/// How long a server may wait for its clients when it stops: shorter than it takes Java's pings to end the connection.
const STOPS_WITHIN: Duration = Duration::from_secs(6);

/// How often a busy machine may try to stop in that time.
const STOPS: usize = 3;

async fn start(stage: &Stage, library: Library, transport: Transport) -> (Agent, String) {
    let dir = stage.client("agent");
    let agent = Agent::start(&dir, &stage.server.opamp, library, transport);
    let uid = agent.uid().await;
    (agent, uid)
}

async fn assign(stage: &Stage, yaml: &str) {
    stage.rest().version("edge", yaml).await;
    stage.rest().assign("edge").await;
}

async fn frames(stage: &Stage) -> f64 {
    let counts = stage.rest().metric("ampora_opamp_frames_received_total");
    counts.await.into_iter().map(|(_, count)| count).sum()
}

fn assert_described(record: &Value, uid: &str, library: Library, transport: Transport) {
    assert_eq!(record["instance_uid"], uid, "{record:#}");
    assert_eq!(record["transport"], transport.name(), "{record:#}");
    assert_eq!(record["agent_type"], library.name(), "{record:#}");
    assert_eq!(record["labels"]["env"], "interop", "{record:#}");
    let known = record["capabilities"].as_array().unwrap();
    let known: Vec<_> = known.iter().filter_map(Value::as_str).collect();
    assert_eq!(known, library.capabilities());
}

async fn is_configured(library: Library, transport: Transport) {
    let stage = Stage::new(&[]).await;
    let (mut agent, uid) = start(&stage, library, transport).await;
    let record = agent.known(&stage).await;
    assert_described(&record, &uid, library, transport);
    assert_eq!(record["config"]["status"], "unset", "{record:#}");
    for marker in ["first", "second"] {
        assign(&stage, &pipeline(marker)).await;
        agent.applied(&stage, &uid, marker).await;
        if library.capabilities().contains(&"ReportsEffectiveConfig") {
            stage.effective(&uid, marker).await;
        }
    }
    assert_eq!(agent.offers(), 2);

    assign(&stage, "refuse-me: true").await;
    failed(&stage, &uid, "this agent refuses it").await;
    if transport == Transport::Http {
        let heard = frames(&stage).await;
        until("the agent polls", SOON, async || {
            let more = frames(&stage).await - heard;
            (more >= POLLS).then_some(()).ok_or(more.to_string())
        })
        .await;
    }
    assert_eq!(agent.offers(), 3, "what failed was offered again");
    assign(&stage, &pipeline("healed")).await;
    agent.applied(&stage, &uid, "healed").await;
    assert_eq!(agent.offers(), 4);

    agent.assert_well();
    assert_eq!(agent.failures(), 0);
    assert_eq!(stage.rest().rejected().await, (0.0, 0.0));
}

async fn outlives(library: Library, transport: Transport, leave: impl AsyncFn(Server) -> Stopped) {
    let mut stage = Stage::new(&[]).await;
    assign(&stage, &pipeline("first")).await;
    let (mut agent, uid) = start(&stage, library, transport).await;
    agent.known(&stage).await;
    let before = agent.applied(&stage, &uid, "first").await;
    let (offers, connects) = (agent.offers(), agent.connects());
    if agent.is_silent() {
        is_quiet(&stage).await;
    }

    let stopped = leave(stage.server).await;
    until("the agent has missed the server", SOON, async || {
        let failures = agent.failures();
        (failures > 0).then_some(()).ok_or_else(String::new)
    })
    .await;
    stage.server = Server::again(stopped).await;
    if agent.is_silent() {
        is_idle(&stage, &agent, connects).await;
    }
    let after = stage
        .agent(&uid, "the agent is back", POLLED, |after| {
            after["fence"].as_u64() > before["fence"].as_u64() && after["state"] == "connected"
        })
        .await;
    for field in ["first_seen", "group", "agent_type", "capabilities"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    agent.applied(&stage, &uid, "first").await;
    assert_eq!(agent.offers(), offers, "what it runs was offered again");

    assign(&stage, &pipeline("second")).await;
    agent.applied(&stage, &uid, "second").await;
    assert_eq!(stage.rest().agents().await.len(), 1);
    assert_eq!(stage.rest().rejected().await, (0.0, 0.0));
    agent.assert_well();
}

/// Waits until nobody has said anything for a while: what is not sent when a server goes is the first thing that the
/// next one hears.
async fn is_quiet(stage: &Stage) {
    let heard = Cell::new((frames(stage).await, 0));
    until("nobody speaks", SOON, async || {
        let (count, looks) = heard.get();
        let now = frames(stage).await;
        let looks = if now == count { looks + 1 } else { 0 };
        heard.set((now, looks));
        (looks >= QUIET_LOOKS).then_some(()).ok_or(now.to_string())
    })
    .await;
}

/// A socket on which nobody has said anything is kept, until its agent speaks.
async fn is_idle(stage: &Stage, agent: &Agent, connects: usize) {
    until("the agent has connected again", POLLED, async || {
        let more = agent.connects() - connects;
        (more > 0).then_some(()).ok_or_else(String::new)
    })
    .await;
    let agents = stage.rest().agents().await;
    assert_ne!(agents[0]["state"], "connected", "{:#}", agents[0]);
    agent.touch();
}

/// The tests that every client passes.
macro_rules! clients {
    ($($name:ident: $library:ident over $transport:ident;)*) => {$(
        mod $name {
            use super::{Library, Server, Transport};

            #[tokio::test]
            async fn is_configured() {
                super::is_configured(Library::$library, Transport::$transport).await;
            }

            #[tokio::test]
            async fn outlives_a_stopped_server() {
                super::outlives(Library::$library, Transport::$transport, Server::stop).await;
            }

            #[tokio::test]
            async fn outlives_a_killed_server() {
                super::outlives(Library::$library, Transport::$transport, Server::kill).await;
            }
        }
    )*};
}

clients! {
    go_022_websocket: Go022 over WebSocket;
    go_022_http: Go022 over Http;
    go_023_websocket: Go023 over WebSocket;
    go_023_http: Go023 over Http;
    node_http: Node over Http;
    python_http: Python over Http;
    java_websocket: Java over WebSocket;
    java_http: Java over Http;
}

/// Python says it twice, Go says it once over WebSocket, Java on both transports.
async fn says_goodbye(library: Library, transport: Transport) {
    let stage = Stage::new(&[]).await;
    let (agent, uid) = start(&stage, library, transport).await;
    agent.known(&stage).await;
    agent.stop().await;
    stage.released(&uid).await;
    assert_eq!(stage.rest().rejected().await, (0.0, 0.0));
    assert_eq!(stage.rest().agents().await.len(), 1);
}

#[tokio::test]
async fn goodbye_of_go_is_heard() {
    says_goodbye(Library::Go023, Transport::WebSocket).await;
}

#[tokio::test]
async fn goodbye_of_python_is_heard_twice() {
    says_goodbye(Library::Python, Transport::Http).await;
}

#[tokio::test]
async fn goodbye_of_java_is_heard() {
    says_goodbye(Library::Java, Transport::WebSocket).await;
}

#[tokio::test]
async fn goodbye_of_java_is_heard_over_plain_http() {
    says_goodbye(Library::Java, Transport::Http).await;
}

/// Java's first words over WebSocket are lost on its way, and what it says then has no description: it is connected
/// all the same, is offered what is for everyone, and says who it is with its next message.
#[tokio::test]
async fn java_is_served_before_it_says_who_it_is() {
    let stage = Stage::new(&[]).await;
    let (agent, uid) = start(&stage, Library::Java, Transport::WebSocket).await;
    let record = until("the agent is connected", SOON, async || {
        let agents = stage.rest().agents().await;
        let agent = agents
            .into_iter()
            .find(|agent| agent["state"] == "connected");
        agent.ok_or_else(String::new)
    })
    .await;
    assert_eq!(record["instance_uid"], uid, "{record:#}");
    assert_eq!(record["agent_type"], "", "{record:#}");
    assign(&stage, &pipeline("first")).await;
    let record = agent.applied(&stage, &uid, "first").await;
    assert_described(&record, &uid, Library::Java, Transport::WebSocket);
}

/// Java never answers a Close frame; a server that stops does not wait for that.
#[tokio::test]
async fn server_that_stops_does_not_wait_for_an_answer_to_its_close() {
    for _ in 0..STOPS {
        let stage = Stage::new(&[]).await;
        let (agent, _) = start(&stage, Library::Java, Transport::WebSocket).await;
        agent.known(&stage).await;
        let stopped = tokio::time::timeout(STOPS_WITHIN, stage.server.stop());
        if stopped.await.is_ok() {
            return;
        }
    }
    panic!("it waited {STOPS} times");
}

/// Those who are one too many (UNAVAILABLE, inside a message) wait as they are told or as they like, and are served when
/// there is room.
#[tokio::test]
async fn agents_that_were_too_many_come_in_when_there_is_room() {
    let mut stage = Stage::new(&["agents.max=1"]).await;
    assign(&stage, &pipeline("first")).await;
    let (_first, first) = start(&stage, Library::Go023, Transport::WebSocket).await;
    stage.connected(SOON).await;
    let mut waiting = Vec::new();
    for (library, transport) in [
        (Library::Go022, Transport::Http),
        (Library::Node, Transport::Http),
        (Library::Python, Transport::Http),
        (Library::Java, Transport::WebSocket),
        (Library::Java, Transport::Http),
    ] {
        let dir = stage.client(&format!("{}-{}", library.name(), transport.name()));
        let agent = Agent::restless(&dir, &stage.server.opamp, library, transport);
        until("the agent is refused", SOON, async || {
            let refusals = agent.refusals();
            (refusals > 0).then_some(()).ok_or_else(String::new)
        })
        .await;
        let uid = agent.uid().await;
        waiting.push((agent, uid));
    }
    let known = stage.rest().agents().await;
    assert_eq!(known.len(), 1, "{known:#?}");
    assert_eq!(known[0]["instance_uid"], first);
    let (others, _) = stage.rest().rejected().await;
    assert_eq!(others, 0.0);

    stage.server = Server::again(stage.server.stop().await.with(&[])).await;
    for (agent, uid) in &waiting {
        until("the agent is known", COMES_IN, async || {
            let agents = stage.rest().agents().await;
            let known = agents
                .iter()
                .any(|known| known["instance_uid"] == uid.as_str());
            known.then_some(()).ok_or(format!("{agents:#?}"))
        })
        .await;
        agent.applied(&stage, uid, "first").await;
    }
}
