//! What a page of agents, a preview and a write cost in a small fleet and in a large one, and what a record takes.
//!
//! The agents are written as rows into the directory of a stopped node, and the real server opens it: they were known
//! once and are not connected.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampora::clock::SystemClock;
use ampora_raft::consensus::RowStore;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_raft::records::{
    AgentRecord, ConfigState, ConfigStatus, Description, FleetMeta, Health, Label, Texts,
};
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::store::{Store, StoreOptions};
use anyhow::Context;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::process::{self, Server};

/// How many agents, and how often each question is asked.
#[derive(Debug, Args)]
pub(crate) struct FleetSizes {
    /// Sizes of the fleet; the first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 20_000, 200_000])]
    agents: Vec<usize>,
    /// Requests of each kind.
    #[arg(long, default_value_t = 200)]
    requests: usize,
}

/// What one fleet cost.
struct Cost {
    memory: u64,
    /// What the fleet takes of it.
    fleet_bytes: u64,
    /// Name of the question, then its median and 99th percentile in microseconds.
    times: Vec<(&'static str, u64, u64)>,
}

impl FleetSizes {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let mut costs = Vec::new();
        for agents in &self.agents {
            costs.push((*agents, self.cost(*agents).await?));
        }
        let (least, base) = costs.first().context("name a size")?;
        let fleets = costs.iter().map(|(agents, cost)| {
            let times = cost.times.iter().zip(&base.times);
            let questions = times.map(|((name, median, p99), (_, _, base))| {
                let ratio = *p99 as f64 / (*base).max(1) as f64;
                let value = json!({"median_us": median, "p99_us": p99, "p99_ratio": ratio});
                ((*name).to_owned(), value)
            });
            let more = agents.saturating_sub(*least);
            let per_agent = |bytes: u64, base: u64| {
                (more > 0).then(|| bytes.saturating_sub(base) / more as u64)
            };
            json!({
                "agents": agents,
                "memory_bytes": cost.memory,
                "process_bytes_per_agent": per_agent(cost.memory, base.memory),
                "fleet_bytes_per_agent": per_agent(cost.fleet_bytes, base.fleet_bytes),
                "questions": questions.collect::<serde_json::Map<_, _>>(),
            })
        });
        Ok(json!({"fleets": fleets.collect::<Vec<_>>()}))
    }

    async fn cost(&self, agents: usize) -> anyhow::Result<Cost> {
        let server = Server::ampora(None, &[]).await?;
        prepare(&server).await?;
        let data = server.stop().await?;
        let fleet_bytes = fill_apart(data.path(), agents).await?;
        let server = Server::on(data, None, &[]).await?;
        let memory = server.memory()?;
        let questions = questions();
        let mut times = Vec::new();
        for (name, method, path, body) in &questions {
            let (median, p99) = self.time(&server, method, path, body.as_ref()).await?;
            times.push((*name, median, p99));
        }
        Ok(Cost {
            memory,
            fleet_bytes,
            times,
        })
    }

    async fn time(
        &self,
        server: &Server,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u64, u64)> {
        let mut taken = Vec::new();
        for turn in 0..self.requests {
            let path = path.replace("{turn}", &turn.to_string());
            let path = path.replace("{uid}", &record(7).uid.to_string());
            let body = body.map(|body| {
                let text = body.to_string().replace("\"turn\"", &turn.to_string());
                text.replace("{turn}", &turn.to_string())
            });
            let began = SystemClock.micros();
            server
                .ask(
                    method.clone(),
                    &path,
                    body.map(|body| ("application/json", body)),
                )
                .await
                .with_context(|| path.clone())?;
            taken.push(SystemClock.micros().saturating_sub(began));
        }
        taken.sort_unstable();
        let at = |share: usize| taken.get(taken.len().saturating_sub(1) * share / 100);
        let micros = |share| at(share).copied().unwrap_or_default();
        Ok((micros(50), micros(99)))
    }
}

/// Ten groups by team, and a configuration that the first of them has.
async fn prepare(server: &Server) -> anyhow::Result<()> {
    let yaml = Some(("text/yaml", "receivers: {}\n".to_owned()));
    server
        .ask(Method::POST, "/configurations/edge/versions", yaml)
        .await?;
    for team in 0..10 {
        let body = json!({
            "selector": format!("team=t{team}"),
            "pace": "all-at-once",
            "configuration": if team == 0 { json!({"name": "edge"}) } else { Value::Null },
        });
        let body = Some(("application/json", body.to_string()));
        server
            .ask(Method::PUT, &format!("/groups/g{team}"), body)
            .await?;
    }
    Ok(())
}

type Question = (&'static str, Method, &'static str, Option<Value>);

/// Selectors choose one agent in two hundred.
fn questions() -> Vec<Question> {
    vec![
        (
            "page_by_indexed_selector",
            Method::GET,
            "/agents?selector=team%3Dt7,env%3De1&limit=100",
            None,
        ),
        ("page_of_all", Method::GET, "/agents?limit=100", None),
        (
            "page_by_pattern",
            Method::GET,
            "/agents?selector=team%20%3D~%20t7,env%3De1&limit=100",
            None,
        ),
        (
            "page_by_text",
            Method::GET,
            "/agents?q=host-{turn}1&limit=100",
            None,
        ),
        (
            "preview_of_a_group",
            Method::GET,
            "/groups/g1/preview?limit=100",
            None,
        ),
        (
            "dry_run",
            Method::PUT,
            "/groups/g1?dry_run=true",
            Some(json!({"configuration": {"name": "edge"}})),
        ),
        (
            "write_of_a_group",
            Method::PUT,
            "/groups/g2",
            Some(json!({"priority": "turn"})),
        ),
        (
            "write_of_labels",
            Method::PUT,
            "/agents/{uid}/labels",
            Some(json!({"team": "t7", "round": "r-{turn}"})),
        ),
    ]
}

/// Agents for the directory of a node that is stopped.
#[derive(Debug, Args)]
pub(crate) struct Fill {
    path: PathBuf,
    agents: usize,
}

impl Fill {
    pub(crate) fn answer(&self) -> anyhow::Result<Value> {
        let fleet_bytes = in_memory(self.agents)?;
        fill(&self.path, self.agents)?;
        Ok(json!({"fleet_bytes": fleet_bytes}))
    }
}

/// What a fleet of so many agents alone takes in memory.
fn in_memory(agents: usize) -> anyhow::Result<u64> {
    let before = process::resident(std::process::id())?;
    let mut texts = Texts::default();
    let meta = Row::Meta(Arc::new(FleetMeta::default()));
    let records = (0..agents).map(|n| {
        let mut record = record(n as u128);
        texts.share_record(&mut record);
        (RowKey::Agent(record.uid), Row::Agent(Arc::new(record)))
    });
    let fleet = Fleet::load(std::iter::once((RowKey::Meta, meta)).chain(records))?;
    let after = process::resident(std::process::id())?;
    drop(fleet);
    Ok(after.saturating_sub(before))
}

/// In a process of its own: the threads of a store end some time after it, and hold its lock until then.
async fn fill_apart(path: &Path, agents: usize) -> anyhow::Result<u64> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg("fill").arg(path).arg(agents.to_string());
    let output = command.output().await?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    answer["fleet_bytes"].as_u64().context("no figure")
}

/// Writes agents as rows.
fn fill(path: &Path, agents: usize) -> anyhow::Result<()> {
    let store = Store::open(path, &StoreOptions::default())?;
    let rows = store.rows();
    let loaded = rows.load()?;
    let mut all = loaded.rows;
    let mut parts = Vec::new();
    for (key, row) in &all {
        if let (RowKey::BodyMeta(hash), Row::BodyMeta(meta)) = (key, row) {
            for part in 0..meta.parts {
                let key = RowKey::BodyPart(*hash, part);
                parts.extend(rows.read(&key)?.map(|row| (key, row)));
            }
        }
    }
    all.extend(parts);
    all.extend((0..agents).map(|n| {
        let record = record(n as u128);
        (RowKey::Agent(record.uid), Row::Agent(Arc::new(record)))
    }));
    rows.install(&loaded.state, &all)?;
    Ok(())
}

/// A collector as they are: eleven attributes, health, a configuration in use, an effective configuration.
fn record(n: u128) -> AgentRecord {
    // spread over the range of uids, as random ones are
    let uid = InstanceUid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let texts = [
        ("env", format!("e{}", n % 4)),
        ("host.arch", "amd64".to_owned()),
        ("host.id", format!("{:032x}", n.wrapping_mul(0x2545_f491))),
        ("host.name", format!("host-{n}.fleet.example")),
        ("k8s.cluster.name", format!("cluster-{}", n % 20)),
        ("os.description", "Debian GNU/Linux 13".to_owned()),
        ("os.type", "linux".to_owned()),
        ("service.instance.id", uid.to_string()),
        ("service.name", "io.opentelemetry.collector".to_owned()),
        ("service.version", "0.149.0".to_owned()),
        ("team", format!("t{}", n % 50)),
    ];
    let labels = texts.into_iter().map(|(key, value)| Label {
        key: key.into(),
        value: value.into(),
        scalar: true,
    });
    AgentRecord {
        uid,
        description: Arc::new(Description {
            name: format!("host-{n}.fleet.example").into(),
            agent_type: "io.opentelemetry.collector".into(),
            agent_version: "0.149.0".into(),
            labels: labels.collect(),
            truncated: false,
        }),
        server_labels: Vec::new(),
        capabilities: 0xffff,
        health: Some(Health {
            healthy: true,
            status: "StatusOK".into(),
            last_error: "".into(),
            since_ms: 1,
            body: Some(BodyHash([1; 32])),
        }),
        config: ConfigState {
            reported_hash: Some(vec![7; 32]),
            status: ConfigStatus::Applied,
            ..ConfigState::default()
        },
        effective: Some(BodyHash([2; 32])),
        components_hash: Some(vec![3; 32]),
        components: Some(BodyHash([3; 32])),
        packages: None,
        home: NodeId(1),
        session: None,
        released: None,
        first_seen_ms: 1,
        last_change_ms: 1,
        custom_capabilities: Vec::new(),
    }
}
