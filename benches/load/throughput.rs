//! Replies for each second of processor, with one and sixteen messages in flight on each connection: ours, a bare
//! echo, and a minimal server on opamp-go, in turn, each held to one processor while the crowd has the other.

use std::path::PathBuf;
use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile, Progress};
use clap::Args;
use serde_json::{Value, json};

use super::process::Server;

/// How much load.
#[derive(Debug, Args)]
pub(crate) struct Throughput {
    /// Connections.
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The server on opamp-go, as built from `benches/peers/opamp-go`.
    #[arg(long)]
    opamp_go: Option<PathBuf>,
}

/// The processor of the servers; the crowd is started on the other one by whoever starts this program.
const CORE: u32 = 0;

impl Throughput {
    pub(crate) async fn answer(&self) -> anyhow::Result<Value> {
        let mut answer = serde_json::Map::new();
        for in_flight in [1, 16] {
            let (mut ours, mut echo, mut go) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.rounds.max(1) {
                let rate = ["opamp.accept_rate_per_second=100000"];
                ours.push(
                    self.measure(Server::ampora(Some(CORE), &rate).await?, in_flight)
                        .await?,
                );
                let program = super::beside("echo")?;
                echo.push(
                    self.measure(Server::peer(&program, Some(CORE)).await?, in_flight)
                        .await?,
                );
                if let Some(program) = &self.opamp_go {
                    go.push(
                        self.measure(Server::peer(program, Some(CORE)).await?, in_flight)
                            .await?,
                    );
                }
            }
            let (ours, echo) = (median(ours), median(echo));
            let go = (!go.is_empty()).then(|| median(go));
            answer.insert(
                format!("in_flight_{in_flight}"),
                json!({
                    "replies_per_processor_second": ours,
                    "bare_echo": echo,
                    "opamp_go": go,
                    "share_of_bare_echo": ours / echo,
                    "times_opamp_go": go.map(|go| ours / go),
                }),
            );
        }
        Ok(Value::Object(answer))
    }

    async fn measure(&self, server: Server, in_flight: usize) -> anyhow::Result<f64> {
        let mut crowd = Crowd::start(Plan {
            urls: vec![server.agents.clone()],
            agents: self.connections,
            per_socket: 1,
            profile: Profile::FlatOut,
            connects_per_second: 1_000,
            heartbeat: Duration::from_secs(30),
            in_flight,
            effective_bytes: 300,
            resume: false,
            labels: Vec::new(),
            seed: 1,
        })
        .await?;
        let quiet: Progress = Box::new(|_| {});
        crowd.run(None, &quiet).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (replies, processor) = (crowd.summary().replies, server.processor()?);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let replies = crowd.summary().replies - replies;
        let processor = server.processor()? - processor;
        crowd.stop().await;
        Ok(replies as f64 / processor)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
