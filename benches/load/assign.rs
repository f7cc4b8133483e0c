//! From the assignment of a configuration to many connected agents, all at once, to its arrival on the last socket.

use std::time::Duration;

use ampora::clock::SystemClock;
use ampora::simulate::{Crowd, Plan, Profile, Progress};
use anyhow::ensure;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::process::Server;

/// How many agents.
#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// Agents, each on its own socket.
    #[arg(long, default_value_t = 18_000)]
    agents: usize,
    /// New sockets in a second.
    #[arg(long, default_value_t = 1_800)]
    rate: u32,
    /// Bytes of the configuration.
    #[arg(long, default_value_t = 4_000)]
    bytes: usize,
}

/// When everybody has to have it.
const DEADLINE: Duration = Duration::from_secs(120);

impl Assign {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let server = Server::ampora(None, &[]).await?;
        let mut crowd = Crowd::start(Plan {
            urls: vec![server.agents.clone()],
            agents: self.agents,
            per_socket: 1,
            profile: Profile::Idle,
            connects_per_second: self.rate,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: 300,
            resume: false,
            labels: Vec::new(),
            seed: 1,
        })
        .await?;
        let quiet: Progress = Box::new(|_| {});
        crowd.run(None, &quiet).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut body = "receivers: {nop: }\n".to_owned();
        body.push_str(&"# filler\n".repeat(self.bytes / 9));
        let path = "/configurations/load/versions";
        server
            .ask(Method::POST, path, Some(("text/yaml", body)))
            .await?;
        let group =
            json!({"selector": "*", "pace": "all-at-once", "configuration": {"name": "load"}});
        let body = Some(("application/json", group.to_string()));
        let (began_us, spent) = (SystemClock.micros(), server.processor()?);
        server.ask(Method::PUT, "/groups/everybody", body).await?;
        let answered = SystemClock.elapsed(began_us);
        let all = u64::try_from(self.agents)?;
        let everybody = async {
            while crowd.summary().offers_applied < all {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, everybody).await?;
        let offered_us = crowd.summary().last_offer_boot_us.saturating_sub(began_us);
        let settled = self.settled(&server, began_us).await?;
        let processor = server.processor()? - spent;
        let summary = crowd.stop().await;
        ensure!(
            summary.offers_applied == all,
            "somebody was offered it twice"
        );
        Ok(json!({
            "agents": self.agents,
            "configuration_bytes": self.bytes,
            "assignment_answered_ms": answered.as_millis(),
            "last_offer_ms": offered_us / 1000,
            "all_shown_applied_ms": settled.as_millis(),
            "processor_seconds": processor,
            "connections_lost": summary.connections_lost,
        }))
    }

    /// Until the fleet shows everybody as applied.
    async fn settled(&self, server: &Server, began_us: u64) -> anyhow::Result<Duration> {
        let settled = async {
            loop {
                let group = server.ask(Method::GET, "/groups/everybody", None).await?;
                if group["confirmed"].as_u64() == u64::try_from(self.agents).ok() {
                    return anyhow::Ok(SystemClock.elapsed(began_us));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(DEADLINE, settled).await?
    }
}
