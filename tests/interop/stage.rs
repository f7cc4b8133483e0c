//! A directory and a server in it, and what tests wait for on them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::rest::Rest;
use crate::server::Server;
use crate::wait::{POLLED, SOON, until};

/// One server, and room for clients beside it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) dir: Place,
}

/// A directory that stays when the test fails, with the logs of all processes in it.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("logs and data stay in {}", self.0.path().display());
        }
    }
}

impl Stage {
    pub(crate) async fn new(settings: &[&str]) -> Self {
        let dir = TempDir::with_prefix_in("interop-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let dir = Place(dir);
        let server = Server::start(dir.0.path(), settings).await;
        Self { server, dir }
    }

    /// A new directory for one client.
    pub(crate) fn client(&self, name: &str) -> PathBuf {
        let dir = self.dir.0.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    }

    pub(crate) fn rest(&self) -> &Rest {
        &self.server.rest
    }

    /// The only agent, once it is connected and has said who it is.
    pub(crate) async fn connected(&self, within: Duration) -> Value {
        until("one agent is connected", within, async || {
            let mut agents = self.rest().agents().await;
            match agents.pop() {
                Some(agent)
                    if agents.is_empty()
                        && agent["state"] == "connected"
                        && agent["agent_type"] != "" =>
                {
                    Ok(agent)
                }
                last => Err(format!("{last:#?} and {} others", agents.len())),
            }
        })
        .await
    }

    /// The agent, once it is as it should be.
    pub(crate) async fn agent(
        &self,
        uid: &str,
        what: &str,
        within: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        until(what, within, async || {
            let agent = self.rest().agent(uid).await;
            if is_so(&agent) {
                Ok(agent)
            } else {
                Err(format!("{agent:#}"))
            }
        })
        .await
    }

    /// The agent, once it has said goodbye and no node has its session: the log has that a moment later.
    pub(crate) async fn released(&self, uid: &str) -> Value {
        self.agent(uid, "the agent is gone", SOON, |agent| {
            agent["state"] == "disconnected" && agent["owner_node"].is_null()
        })
        .await
    }

    /// The agent, once it runs what it should and feels well.
    pub(crate) async fn applied(&self, uid: &str, within: Duration) -> Value {
        let agent = self
            .agent(uid, "the configuration is applied", within, |agent| {
                let config = &agent["config"];
                config["status"] == "applied"
                    && config["desired_hash"].is_string()
                    && config["reported_hash"] == config["desired_hash"]
                    && agent["health"]["healthy"] == true
            })
            .await;
        let config = &agent["config"];
        assert_eq!(config["drifted"], false, "{agent:#}");
        assert_eq!(config["why"], "none", "{agent:#}");
        assert_eq!(config["error"], "", "{agent:#}");
        agent
    }

    /// What the agent says that it runs, once `text` is in it.
    pub(crate) async fn effective(&self, uid: &str, text: &str) -> String {
        let path = format!("/agents/{uid}/effective-config");
        let body = until("the effective configuration has it", POLLED, async || {
            let answer = self.rest().get(&path).await;
            let answer = answer.has(200)?;
            assert_eq!(answer["redacted"], true);
            let files = answer["files"].as_array().unwrap();
            let bodies = files.iter().map(|file| file["body"].as_str().unwrap());
            let body = bodies.collect::<Vec<_>>().join("\n");
            body.contains(text).then_some(body.clone()).ok_or(body)
        });
        body.await
    }
}

/// A good configuration: an OTLP receiver on a free port to the debug exporter, with `marker` and a secret in it.
pub(crate) fn pipeline(marker: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:0\"}}}}}}}}
processors: {{batch: {{timeout: 250ms}}}}
exporters: {{debug: {{verbosity: basic}}}}
service:
  telemetry: {{resource: {{interop.marker: {marker}, interop.api_key: {PIPELINE_SECRET}}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [debug]}}
"
    )
}

/// What stands in [`pipeline`] and must not be shown.
pub(crate) const PIPELINE_SECRET: &str = "swordfish-0815";

/// Valid YAML that the collector refuses: it names an exporter that nobody has.
pub(crate) const REFUSED: &str = "receivers: {nop: }
exporters: {nosuchexporter: }
service: {pipelines: {traces: {receivers: [nop], exporters: [nosuchexporter]}}}
";
