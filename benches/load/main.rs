//! The load programs, one subcommand for each written question. Every figure is a ratio or a slope of one run on
//! one machine; the answers are printed as JSON.

mod assign;
mod fleet;
mod flood;
mod idle;
mod process;
mod returning;
mod storm;
mod throughput;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Load programs; build with `--release`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// What does an idle agent cost: memory as a slope, the processor at rest, the time to connect them all?
    Idle(idle::Idle),
    /// How many messages does a second of processor answer, beside a bare echo and a server on opamp-go?
    Throughput(throughput::Throughput),
    /// When has the last of many agents its new configuration, all at once?
    Assign(assign::Assign),
    /// How fast is everything asked for again, when the server was killed and agents remember more than it does?
    Returning(returning::Returning),
    /// What do floods of bad peers cost, and how are others served meanwhile?
    Storm(storm::Storm),
    /// What do a page, a preview and a write cost in a large fleet, and what does a record take?
    Fleet(fleet::FleetSizes),
    /// Writes agents into the directory of a stopped node; `fleet` uses it.
    #[command(hide = true)]
    Fill(fleet::Fill),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let answer = match Arguments::parse().question {
        Question::Idle(idle) => idle.answer().await?,
        Question::Throughput(throughput) => throughput.answer().await?,
        Question::Assign(assign) => assign.answer().await?,
        Question::Returning(returning) => returning.answer().await?,
        Question::Storm(storm) => storm.answer().await?,
        Question::Fleet(fleet) => fleet.answer().await?,
        Question::Fill(fill) => fill.answer()?,
    };
    let text = serde_json::to_string_pretty(&answer)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// A program beside this one, as cargo builds them.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(name))
}
