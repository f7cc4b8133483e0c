//! Agents that remember more than the server: it is killed, and they go on where they were. How fast are they asked
//! for everything, how many bytes come in a second, and how much memory does it take?

use std::time::Duration;

use ampora::clock::SystemClock;
use ampora::simulate::{Crowd, Plan, Profile, Progress};
use clap::Args;
use serde_json::{Value, json};

use super::process::Server;

/// How many, and what they have to say.
#[derive(Debug, Args)]
pub(crate) struct Returning {
    /// Agents, each on its own socket.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// New sockets in a second, at first.
    #[arg(long, default_value_t = 1_500)]
    rate: u32,
    /// Bytes of the effective configuration of each.
    #[arg(long, default_value_t = 300)]
    effective_bytes: usize,
    /// The server has lost its directory too.
    #[arg(long)]
    lost: bool,
}

/// When everybody has to have been asked.
const DEADLINE: Duration = Duration::from_secs(900);

const ASKED: &str = "ampora_opamp_full_states_asked_total";
const BYTES: &str = "ampora_opamp_full_state_bytes_total";

impl Returning {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let mut server = Server::ampora(None, &[]).await?;
        let mut crowd = Crowd::start(Plan {
            urls: vec![server.agents.clone()],
            agents: self.agents,
            per_socket: 1,
            profile: Profile::Idle,
            connects_per_second: self.rate,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: self.effective_bytes,
            resume: true,
            labels: Vec::new(),
            seed: 1,
        })
        .await?;
        let quiet: Progress = Box::new(|_| {});
        crowd.run(None, &quiet).await;
        // their reports reach the log, and everybody sends a heartbeat
        tokio::time::sleep(Duration::from_secs(35)).await;
        let before = (server.memory()?, crowd.summary());
        server.kill_and_start(self.lost).await?;
        server.forget_peak()?;
        let began_us = SystemClock.micros();
        let spent = server.processor()?;
        let (mut asked, mut bytes) = (0.0, 0.0);
        let (mut asked_most, mut bytes_most) = (0.0_f64, 0.0_f64);
        let (mut back, mut healed) = (None, None);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        while healed.is_none() && SystemClock.elapsed(began_us) < DEADLINE {
            tick.tick().await;
            let now = (server.metric(ASKED).await?, server.metric(BYTES).await?);
            asked_most = asked_most.max(now.0 - asked);
            bytes_most = bytes_most.max(now.1 - bytes);
            (asked, bytes) = now;
            let elapsed = SystemClock.elapsed(began_us);
            if back.is_none() && crowd.summary().sockets_connected == self.agents as u64 {
                back = Some(elapsed.as_millis());
            }
            if asked >= self.agents as f64 && back.is_some() {
                healed = Some(elapsed.as_millis());
            }
        }
        let deferred = server
            .metric("ampora_opamp_full_states_deferred_total")
            .await?;
        let processor = server.processor()? - spent;
        let (peak, after) = (server.peak_memory()?, server.memory()?);
        let summary = crowd.stop().await;
        Ok(json!({
            "agents": self.agents,
            "effective_bytes": self.effective_bytes,
            "directory_lost": self.lost,
            "all_back_ms": back,
            "all_asked_ms": healed,
            "asked": asked,
            "asked_most_in_a_second": asked_most,
            "full_state_bytes": bytes,
            "full_state_bytes_most_in_a_second": bytes_most,
            "deferred": deferred,
            "bytes_before_the_kill": before.0,
            "bytes_peak": peak,
            "bytes_after": after,
            "processor_seconds": processor,
            "connections_lost_again": summary.connections_lost - self.agents as u64,
            "connects_refused": summary.connects_refused - before.1.connects_refused,
            "renamed": summary.renamed,
        }))
    }
}
