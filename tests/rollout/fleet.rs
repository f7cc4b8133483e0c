//! A node with simulated agents, and one group `all` of them.

use std::time::{Duration, Instant};

use ampora::simulate::{Crowd, Plan, Profile, Summary};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::{Node, start_in};

/// A configuration that every profile stands.
pub(crate) const GOOD: &str = "good: 1\n";
/// One that they do not.
pub(crate) const BAD: &str = "bad: simulate-bad\n";

/// How long a change may take in the debug profile on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A node and its agents.
pub(crate) struct Fleet {
    node: Option<Node>,
    crowd: Crowd,
    client: Client,
    home: tempfile::TempDir,
}

impl Fleet {
    /// With so many agents connected; `args` follow `ampora serve`.
    pub(crate) async fn start(agents: usize, profile: Profile, args: &[&str]) -> Fleet {
        let home = tempfile::tempdir().expect("a directory");
        let node = start_in(home.path(), args);
        let url = format!("ws://{}/v1/opamp", node.opamp_addr);
        let plan = Plan {
            urls: vec![url.parse().expect("a URL")],
            agents,
            per_socket: 20,
            profile,
            connects_per_second: 200,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: 100,
            labels: Vec::new(),
            seed: 1,
            resume: false,
        };
        let mut crowd = Crowd::start(plan).await.expect("an address");
        let silent: ampora::simulate::Progress = Box::new(|_| {});
        crowd.run(None, &silent).await;
        let fleet = Fleet {
            node: Some(node),
            crowd,
            client: Client::new(),
            home,
        };
        let deadline = Instant::now() + WITHIN;
        while fleet.agents().await < agents {
            assert!(Instant::now() < deadline, "the agents are not all there");
            tokio::time::sleep(LOOK).await;
        }
        fleet
    }

    /// Where all run a good version already.
    pub(crate) async fn settled(agents: usize, profile: Profile, args: &[&str]) -> Fleet {
        let fleet = Fleet::start(agents, profile, args).await;
        fleet.version(GOOD).await;
        let body =
            json!({"selector": "*", "configuration": {"name": "edge"}, "pace": "all-at-once"});
        fleet.put(&body).await;
        fleet
            .until("everybody runs the good version", |group| {
                group["confirmed"] == agents
            })
            .await;
        fleet
    }

    /// Kills the node and starts it again at the same address.
    pub(crate) async fn restart(&mut self, args: &[&str]) {
        let node = self.node.take().expect("a node");
        let listen = format!("opamp.listen={}", node.opamp_addr);
        node.kill();
        let args = [args, &["--set", &listen]].concat();
        self.node = Some(start_in(self.home.path(), &args));
        let deadline = Instant::now() + WITHIN;
        while self.metric("ampora_agents{state=\"connected\"}").await < 400.0 {
            assert!(Instant::now() < deadline, "the agents do not return");
            tokio::time::sleep(LOOK).await;
        }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("a node")
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let node = self.node();
        let url = format!("{}/api/v1{path}", node.admin_url);
        let mut request = self.client.request(method, url).bearer_auth(&node.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        whole(request.send().await.expect("an answer")).await
    }

    async fn agents(&self) -> usize {
        let list = self.ask(Method::GET, "/agents?limit=1000", None).await;
        let items = list["items"].as_array().expect("a list").iter();
        items.filter(|agent| agent["health"].is_object()).count()
    }

    /// Posts the next version of `edge`, and returns how groups name it.
    pub(crate) async fn version(&self, body: &str) -> Value {
        let node = self.node();
        let url = format!("{}/api/v1/configurations/edge/versions", node.admin_url);
        let request = self.client.post(url).bearer_auth(&node.token);
        let request = request
            .header("content-type", "text/yaml")
            .body(body.to_owned());
        let made = whole(request.send().await.expect("an answer")).await;
        json!({"name": "edge", "version": made["version"], "hash": made["hash"]})
    }

    /// Changes the group.
    pub(crate) async fn put(&self, body: &Value) -> Value {
        self.ask(Method::PUT, "/groups/all", Some(body)).await
    }

    /// Lifts or reverts.
    pub(crate) async fn way(&self, way: &str) -> Value {
        self.ask(Method::POST, &format!("/groups/all/{way}"), None)
            .await
    }

    /// The group.
    pub(crate) async fn group(&self) -> Value {
        self.ask(Method::GET, "/groups/all", None).await
    }

    /// The first agent.
    pub(crate) async fn agent(&self) -> Value {
        let list = self.ask(Method::GET, "/agents?limit=1", None).await;
        list["items"][0].clone()
    }

    /// Looks at the group until it is as it should be.
    pub(crate) async fn until(&self, what: &str, mut look: impl FnMut(&Value) -> bool) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let group = self.group().await;
            if look(&group) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {group:#} {:?}",
                self.seen()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    fn seen(&self) -> Summary {
        self.crowd.summary()
    }

    /// How often agents were offered a bad configuration.
    pub(crate) fn bad_offers(&self) -> u64 {
        self.seen().bad_offers
    }

    /// How often agents were offered any.
    pub(crate) fn offers(&self) -> u64 {
        self.seen().offers_applied
    }

    /// The value of a metric, named with its labels; 0 while it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let url = format!("{}/metrics", self.node().admin_url);
        let answer = self.client.get(url).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        let mut lines = text.lines();
        let line = lines.find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Ends agents and node.
    pub(crate) async fn stop(mut self) {
        self.crowd.stop().await;
        if let Some(node) = self.node.take() {
            node.kill();
        }
    }
}

async fn whole(response: Response) -> Value {
    let status = response.status();
    let body = response.text().await.expect("a body");
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).expect("JSON")
}
