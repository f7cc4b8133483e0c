//! All clients at once on one server that is stopped, killed and refusing meanwhile.

use std::time::Duration;

use crate::clients::{Supervisor, Transport};
use crate::library::{Agent, Library};
use crate::server::Server;
use crate::stage::{Stage, pipeline};
use crate::wait::until;

/// How long it goes on at least. Every fault happens at least once.
const LASTS: Duration = Duration::from_secs(120);

/// In which everybody is back and configured after a fault: Node waits for half a minute after a failure, and for
/// somewhat longer after the next.
const BACK: Duration = Duration::from_secs(150);

/// While the server refuses it admits one connection: everybody but one has to wait.
const REFUSING: &str = "opamp.max_connections=1";

/// Agents that do not tell that they were refused: the one that was not, and Java over HTTP, which waits without a word.
const UNTOLD: usize = 2;

const LIBRARIES: [(Library, Transport); 8] = [
    (Library::Go022, Transport::WebSocket),
    (Library::Go022, Transport::Http),
    (Library::Go023, Transport::WebSocket),
    (Library::Go023, Transport::Http),
    (Library::Node, Transport::Http),
    (Library::Python, Transport::Http),
    (Library::Java, Transport::WebSocket),
    (Library::Java, Transport::Http),
];

/// What happens to the server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Stopped,
    Killed,
    Refusing,
}

/// Everybody.
struct Clients {
    agents: Vec<(Agent, String)>,
    supervisor: Supervisor,
}

impl Clients {
    async fn start(stage: &Stage) -> Self {
        let opamp = &stage.server.opamp;
        let dir = stage.client("supervisor");
        let supervisor = Supervisor::start(&dir, opamp, Transport::WebSocket);
        let mut agents = Vec::new();
        for (library, transport) in LIBRARIES {
            let dir = stage.client(&format!("{}-{}", library.name(), transport.name()));
            let agent = Agent::restless(&dir, opamp, library, transport);
            let uid = agent.uid().await;
            agents.push((agent, uid));
        }
        Self { agents, supervisor }
    }

    /// How often each agent has seen the server fail.
    fn failures(&self) -> Vec<usize> {
        let agents = self.agents.iter();
        agents.map(|(agent, _)| agent.failures()).collect()
    }

    /// Waits until so many agents have seen it fail again.
    async fn miss(&self, before: &[usize], enough: usize) {
        until("agents have missed the server", BACK, async || {
            let failures = self.failures();
            let missed = failures.iter().zip(before).filter(|(now, then)| now > then);
            let text = format!("{before:?}, {failures:?}");
            (missed.count() >= enough).then_some(()).ok_or(text)
        })
        .await;
    }

    /// Waits until everybody runs what has `marker` in it, and the server knows it. Nobody has become somebody else.
    async fn run(&mut self, stage: &Stage, marker: &str) {
        let expected = LIBRARIES.len() + 1;
        until("everybody is configured", BACK, async || {
            let records = stage.rest().agents().await;
            let late = records.iter().filter(|record| {
                let config = &record["config"];
                record["state"] != "connected"
                    || record["agent_type"] == ""
                    || !config["desired_hash"].is_string()
                    || config["reported_hash"] != config["desired_hash"]
                    || config["status"] != "applied"
            });
            let late: Vec<_> = late
                .map(|record| format!("{} {:#}", record["agent_type"], record["config"]))
                .collect();
            let others = self.agents.iter().map(|(agent, _)| agent);
            let others = others.filter(|agent| !agent.runs().contains(marker));
            let others: Vec<_> = others.map(|agent| agent.library).collect();
            (records.len() == expected && late.is_empty() && others.is_empty())
                .then_some(())
                .ok_or_else(|| format!("{} known, late: {late:#?}, {others:?}", records.len()))
        })
        .await;
        let records = stage.rest().agents().await;
        for (agent, uid) in &mut self.agents {
            agent.assert_well();
            let same = |record: &&serde_json::Value| record["instance_uid"] == uid.as_str();
            assert!(records.iter().any(|record| same(&record)), "{agent:?}");
        }
        let supervisor = records
            .iter()
            .find(|record| record["agent_type"] == "otelcol");
        let uid = supervisor.unwrap()["instance_uid"].as_str().unwrap();
        stage.effective(uid, marker).await;
        assert!(self.supervisor.collector().is_some());
    }
}

/// Nothing of what anybody sent was wrong.
async fn assert_nothing_malformed(stage: &Stage) {
    let (others, _) = stage.rest().rejected().await;
    assert_eq!(others, 0.0, "frames were rejected that were not too many");
}

/// The server goes away, and comes back while everybody is still looking for it.
async fn happens(fault: Fault, stage: Stage, clients: &Clients) -> Stage {
    let Stage { server, dir } = stage;
    let before = clients.failures();
    let stopped = match fault {
        Fault::Stopped | Fault::Refusing => server.stop().await,
        Fault::Killed => server.kill().await,
    };
    clients.miss(&before, LIBRARIES.len()).await;
    let server = match fault {
        Fault::Stopped | Fault::Killed => Server::again(stopped).await,
        Fault::Refusing => {
            let before = clients.failures();
            let refusing = Server::again(stopped.with(&[REFUSING])).await;
            clients.miss(&before, LIBRARIES.len() - UNTOLD).await;
            let (others, refused) = refusing.rest.rejected().await;
            assert_eq!(others, 0.0);
            assert!(refused > 0.0, "nobody was refused");
            Server::again(refusing.stop().await.with(&[])).await
        }
    };
    Stage { server, dir }
}

#[tokio::test]
async fn clients_outlive_everything() {
    let mut enough = Box::pin(tokio::time::sleep(LASTS));
    let mut stage = Stage::new(&[]).await;
    stage.rest().version("edge", &pipeline("round-0")).await;
    stage.rest().assign("edge").await;
    let mut clients = Clients::start(&stage).await;
    clients.run(&stage, "round-0").await;
    let faults = [Fault::Refusing, Fault::Stopped, Fault::Killed];
    for (round, fault) in (1..).zip(faults.into_iter().cycle()) {
        let is_enough = tokio::time::timeout(Duration::ZERO, enough.as_mut());
        if round > faults.len() && is_enough.await.is_ok() {
            break;
        }
        assert_nothing_malformed(&stage).await;
        stage = happens(fault, stage, &clients).await;
        let marker = format!("round-{round}");
        stage.rest().version("edge", &pipeline(&marker)).await;
        stage.rest().assign("edge").await;
        clients.run(&stage, &marker).await;
    }
    assert_nothing_malformed(&stage).await;
}
