//! What an operator's script does: JSON over REST, with the admin token.

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Speaks to one node.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    admin: String,
    base: String,
    token: String,
    http: Client,
}

/// A status and a body.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    /// The body of an answer with the expected status.
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The same, where another status means to look again.
    pub(crate) fn has(self, status: u16) -> Result<Value, String> {
        if self.status == status {
            Ok(self.body)
        } else {
            Err(format!("{} {:#}", self.status, self.body))
        }
    }

    /// Asserts a problem.
    pub(crate) fn problem(self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
    }
}

impl Rest {
    pub(crate) fn new(admin: &str, token: &str) -> Self {
        Self {
            admin: admin.to_owned(),
            base: format!("http://{admin}/api/v1"),
            token: token.to_owned(),
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Where the node is, and the token, for a program that asks by itself.
    pub(crate) fn place(&self) -> (String, String) {
        (format!("http://{}", self.admin), self.token.clone())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::PUT,
            path,
            Some(("application/json", body.to_string())),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::POST,
            path,
            Some(("application/json", body.to_string())),
        )
        .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Posts YAML as a new version of a configuration and returns its number.
    pub(crate) async fn version(&self, name: &str, yaml: &str) -> u64 {
        let path = format!("/configurations/{name}/versions");
        let body = Some(("text/yaml", yaml.to_owned()));
        let answer = self.send(Method::POST, &path, body).await.ok(201);
        answer["version"].as_u64().unwrap()
    }

    /// Gives everybody the newest version of a configuration.
    pub(crate) async fn assign(&self, name: &str) -> Value {
        let group =
            json!({"selector": "*", "configuration": {"name": name}, "pace": "all-at-once"});
        let answer = self.put("/groups/everyone", &group).await;
        assert!(matches!(answer.status, 200 | 201), "{:#}", answer.body);
        answer.body
    }

    pub(crate) async fn agents(&self) -> Vec<Value> {
        let list = self.get("/agents").await.ok(200);
        list["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn agent(&self, uid: &str) -> Value {
        self.get(&format!("/agents/{uid}")).await.ok(200)
    }

    /// The samples of one metric: labels as they are written, and values.
    pub(crate) async fn metric(&self, name: &str) -> Vec<(String, f64)> {
        let url = format!("http://{}/metrics", self.admin);
        let text = self.http.get(url).send().await.unwrap();
        let text = text.text().await.unwrap();
        let samples = text.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            is_it.then(|| (labels.to_owned(), value.parse().unwrap()))
        });
        samples.collect()
    }

    /// How many frames were rejected, for other reasons than `overload`, and for that one.
    pub(crate) async fn rejected(&self) -> (f64, f64) {
        let counts = self.metric("ampora_opamp_frames_rejected_total").await;
        let overload = |labels: &str| labels.contains("\"overload\"");
        let sum = |wanted: bool| {
            let chosen = counts
                .iter()
                .filter(|(labels, _)| overload(labels) == wanted);
            chosen.map(|(_, count)| count).sum()
        };
        (sum(false), sum(true))
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, String)>) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, body }
    }
}
