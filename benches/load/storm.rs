//! What floods cost: the memory of the server before, at its highest and after each kind, what was cut and counted,
//! and how agents that behave were served meanwhile.

use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile, Progress};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::flood::{Flood, Kind};
use super::process::Server;

/// How long.
#[derive(Debug, Args)]
pub(crate) struct Storm {
    /// Agents that behave, with a heartbeat every second.
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// Seconds of each flood.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only floods whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

/// How long after a flood memory is looked at again.
const AFTER: Duration = Duration::from_secs(12);

/// What is counted.
const COUNTERS: [(&str, &str); 8] = [
    (
        "cut_silent",
        "ampora_connections_cut_total{door=\"opamp\",reason=\"silent\"}",
    ),
    (
        "cut_crowded",
        "ampora_connections_cut_total{door=\"opamp\",reason=\"crowded\"}",
    ),
    (
        "cut_unread",
        "ampora_connections_cut_total{door=\"opamp\",reason=\"unread\"}",
    ),
    (
        "overload",
        "ampora_opamp_frames_rejected_total{reason=\"overload\"}",
    ),
    (
        "malformed",
        "ampora_opamp_frames_rejected_total{reason=\"malformed\"}",
    ),
    (
        "oversize",
        "ampora_opamp_frames_rejected_total{reason=\"oversize\"}",
    ),
    ("slow_readers", "ampora_opamp_slow_readers_total"),
    ("accept_errors", "ampora_opamp_accept_errors_total"),
];

impl Storm {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let mut answer = serde_json::Map::new();
        for (kind, name, sockets) in Kind::ALL {
            if name.contains(&self.only) {
                let cost = self.cost(kind, sockets).await;
                answer.insert(name.to_owned(), cost.with_context(|| name)?);
            }
        }
        Ok(Value::Object(answer))
    }

    async fn cost(&self, kind: Kind, sockets: usize) -> anyhow::Result<Value> {
        let server = Server::ampora(None, &[]).await?;
        let mut crowd = Crowd::start(Plan {
            urls: vec![server.agents.clone()],
            agents: self.agents,
            per_socket: 1,
            profile: Profile::Idle,
            connects_per_second: 500,
            heartbeat: Duration::from_secs(1),
            in_flight: 1,
            effective_bytes: 300,
            resume: true,
            labels: Vec::new(),
            seed: 1,
        })
        .await?;
        let quiet: Progress = Box::new(|_| {});
        crowd.run(None, &quiet).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let (before, sent) = (server.memory()?, crowd.summary().replies);
        server.forget_peak()?;
        let spent = server.processor()?;
        let flood = Flood::start(kind, sockets, server.agents_address()?);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let (peak, processor) = (server.peak_memory()?, server.processor()? - spent);
        let (opened, summary) = (flood.opened(), crowd.summary());
        let mut counted = serde_json::Map::new();
        for (name, metric) in COUNTERS {
            let value = server.metric(metric).await?;
            if value > 0.0 {
                counted.insert(name.to_owned(), json!(value));
            }
        }
        drop(flood);
        tokio::time::sleep(AFTER).await;
        let after = server.memory()?;
        crowd.stop().await;
        Ok(json!({
            "sockets": sockets,
            "opened": opened,
            "bytes_before": before,
            "bytes_peak": peak,
            "bytes_after": after,
            "processor_share": processor / self.seconds as f64,
            "counted": counted,
            "agents_lost": summary.connections_lost,
            "agents_replies": summary.replies - sent,
            "agents_reply_p99_us": summary.reply_p99_us,
            "agents_reply_max_us": summary.reply_max_us,
        }))
    }
}
