//! Whoever asks the nodes: REST and metrics, from the namespace of the agents.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lab;

/// What a read may take.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// What a change may take: a proposal waits ten seconds for its outcome.
pub(crate) const CHANGE_WITHIN: Duration = Duration::from_secs(15);

/// What was answered; the status is 0 when nobody did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    fn none() -> Self {
        Self {
            status: 0,
            headers: HeaderMap::new(),
            body: Value::Null,
        }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// `GET /cluster`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) agents: usize,
    pub(crate) leader_id: Option<u64>,
    pub(crate) quorum: bool,
    pub(crate) term: u64,
    pub(crate) last_log_index: u64,
    pub(crate) nodes: Vec<Member>,
}

/// One node of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) role: String,
    pub(crate) live: bool,
    pub(crate) sessions: usize,
    pub(crate) lag: Option<u64>,
}

impl Cluster {
    /// Agents that are owned, but for those of a node.
    pub(crate) fn owned_without(&self, gone: u64) -> usize {
        let others = self.nodes.iter().filter(|node| node.id != gone);
        others.map(|node| node.sessions).sum()
    }

    /// Agents that are owned.
    pub(crate) fn owned(&self) -> usize {
        self.owned_without(0)
    }
}

/// The operator; a clone shares its connections.
#[derive(Clone)]
pub(crate) struct Operator {
    client: reqwest::Client,
    token: String,
}

impl Operator {
    /// With the token that the first node made.
    pub(crate) fn new(token: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, token })
    }

    /// Asks for anything below `/api/v1`.
    pub(crate) async fn ask(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: Option<&Value>,
    ) -> Answer {
        let within = match method {
            Method::GET => READ_WITHIN,
            _ => CHANGE_WITHIN,
        };
        let url = format!("http://{}:4321/api/v1{path}", lab::address(slot));
        let request = self.client.request(method, url).timeout(within);
        let mut request = request.bearer_auth(&self.token);
        if let Some(form) = form {
            request = request.json(form);
        }
        let Ok(answer) = request.send().await else {
            return Answer::none();
        };
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.json().await.unwrap_or_default(),
        }
    }

    /// Reads.
    pub(crate) async fn get(&self, slot: u64, path: &str) -> Answer {
        self.ask(slot, Method::GET, path, None).await
    }

    /// The cluster as a node knows it.
    pub(crate) async fn cluster(&self, slot: u64) -> Option<Cluster> {
        serde_json::from_value(self.get(slot, "/cluster").await.body).ok()
    }

    /// The smallest change that there is: a group that nobody is in.
    pub(crate) async fn write(&self, slot: u64, group: &str) -> Answer {
        let form = json!({"selector": "nobody=here"});
        let path = format!("/groups/{group}");
        self.ask(slot, Method::PUT, &path, Some(&form)).await
    }

    /// The text of the metrics of a node; empty when it does not answer.
    pub(crate) async fn metrics(&self, slot: u64) -> String {
        let url = format!("http://{}:4321/metrics", lab::address(slot));
        match self.client.get(url).timeout(READ_WITHIN).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

/// The value of a metric, labels included in its name; absent while it is not there.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(' ')?.parse().ok()
    })
}
