//! Memory per idle agent as the slope between two crowds, the processor at rest, the time to connect them all.

use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile, Progress, Summary};
use clap::Args;
use serde_json::{Value, json};

use super::process::Server;

/// How many agents, and how they rest.
#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// The smaller crowd.
    #[arg(long, default_value_t = 2_000)]
    few: usize,
    /// The larger crowd.
    #[arg(long, default_value_t = 18_000)]
    many: usize,
    /// New sockets in a second.
    #[arg(long, default_value_t = 1_800)]
    rate: u32,
    /// How long the crowd rests before it is measured, with heartbeats every 30 s.
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,
    /// Bytes of the effective configuration that each agent has sent before it rests.
    #[arg(long, default_value_t = 300)]
    effective_bytes: usize,
}

/// What one crowd cost.
struct Cost {
    bytes: u64,
    processor_share: f64,
    summary: Summary,
}

impl Idle {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let few = self.cost(self.few).await?;
        let many = self.cost(self.many).await?;
        let agents = self.many.saturating_sub(self.few).max(1) as f64;
        let bytes = many.bytes.saturating_sub(few.bytes) as f64;
        Ok(json!({
            "few": {"agents": self.few, "bytes": few.bytes},
            "many": {"agents": self.many, "bytes": many.bytes},
            "bytes_per_agent": bytes / agents,
            "effective_bytes": self.effective_bytes,
            "processor_share_at_rest": many.processor_share,
            "connected_after_ms": many.summary.connected_after_ms,
            "connections_lost": many.summary.connections_lost,
            "connects_refused": many.summary.connects_refused,
            "full_states_asked": many.summary.full_states_asked,
            "reply_p99_us": many.summary.reply_p99_us,
        }))
    }

    async fn cost(&self, agents: usize) -> anyhow::Result<Cost> {
        let server = Server::ampora(None, &[]).await?;
        let mut crowd = Crowd::start(Plan {
            urls: vec![server.agents.clone()],
            agents,
            per_socket: 1,
            profile: Profile::Idle,
            connects_per_second: self.rate,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: self.effective_bytes,
            resume: false,
            labels: Vec::new(),
            seed: 1,
        })
        .await?;
        let quiet: Progress = Box::new(|_| {});
        crowd.run(None, &quiet).await;
        let rest = Duration::from_secs(self.rest_seconds);
        // what came with the connects is worked off first
        tokio::time::sleep(rest / 2).await;
        let before = server.processor()?;
        tokio::time::sleep(rest).await;
        let processor_share = (server.processor()? - before) / rest.as_secs_f64();
        let bytes = server.memory()?;
        let summary = crowd.stop().await;
        Ok(Cost {
            bytes,
            processor_share,
            summary,
        })
    }
}
