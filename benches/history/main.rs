//! What does history in Postgres cost? Events a second through the export's own writes, beside raw COPY into the same
//! table and beside single inserts, in turns; bytes of an event; how long pages and the fleet of a past time take in a
//! table of so many events.
//!
//! Needs an empty database that it may fill: `history --url postgres:///bench?host=/run/postgresql`.

mod crowd;
mod pages;
mod writes;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ampora_storage::postgres::{Observer, Options, Postgres, Target};
use clap::Parser;
use serde_json::json;

#[derive(Debug, Parser)]
struct Arguments {
    /// An empty database.
    #[arg(long)]
    url: String,
    /// Agents that speak.
    #[arg(long, default_value_t = 10_000)]
    agents: u64,
    /// Events that the table has when pages are asked for, over `--days`.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Days over which they are spread.
    #[arg(long, default_value_t = 8)]
    days: u64,
    /// Turns of each way of writing.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
}

struct Clock(Instant);

impl Observer for Clock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn query(&self, _: &'static str, _: Target, _: f64) {}
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn start() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "events of these days get partitions of their own"
)]
fn now_ms() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let postgres = Postgres::new(&Options {
        url: arguments.url.clone(),
        read_url: None,
        max_pool_size: 2,
        tls: None,
        observer: Arc::new(Clock(start())),
    })?;
    postgres.migrate().await?;
    let mut connection = postgres.primary().await?;
    let raw = writes::raw(&arguments.url).await?;
    let written = writes::compare(&mut connection, &raw, &arguments).await?;
    let filled = writes::fill(&raw, &arguments).await?;
    let sizes = writes::sizes(&raw).await?;
    let asked = pages::ask(&mut connection, &arguments).await?;
    let answer = json!({"written": written, "filled": filled, "sizes": sizes, "asked": asked});
    let text = serde_json::to_string_pretty(&answer)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
