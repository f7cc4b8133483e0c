//! `field`: real nodes in network namespaces, ten thousand agents, and a network that is cut; what was found is one table.
//!
//! It starts itself twice more: in fresh namespaces, where it lays the network, and in the namespace of the agents,
//! where it runs. What it made goes with it, however it ends.

mod age;
mod crowds;
mod dispatches;
mod ground;
mod lab;
mod node;
mod operator;
mod report;
mod steps;
mod wait;
mod watch;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use ground::Ground;

/// Nodes that there is room for.
const NODES: u64 = 4;

/// Real nodes in network namespaces. Needs root, `ip`, `nft` and `unshare`; build `ampora` beside it, with `--release`.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Agents, over all nodes
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// New sockets in a second
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Where it is on its way
    #[arg(long, hide = true, value_enum, default_value_t)]
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Stage {
    #[default]
    Outside,
    Lay,
    Run,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.stage {
        Stage::Outside => {
            ready()?;
            let words = "--net --mount --pid --fork --kill-child --mount-proc --";
            again("unshare", words, &arguments, "lay")
        }
        Stage::Lay => {
            lab::lay(NODES)?;
            let words = format!("netns exec {}", lab::AGENTS);
            again("ip", &words, &arguments, "run")
        }
        Stage::Run => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(run(arguments))
        }
    }
}

/// What has to be there, before anything is begun.
fn ready() -> anyhow::Result<()> {
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    ensure!(is_root, "only root may make network namespaces");
    for (program, asked) in [("ip", "-V"), ("nft", "-v"), ("unshare", "-V")] {
        lab::run(program, &[asked])?;
    }
    let program = std::env::current_exe()?.with_file_name("ampora");
    let is_there = program.try_exists()?;
    ensure!(is_there, "{} is not built", program.display());
    Ok(())
}

/// Becomes another program that starts this one again.
fn again(program: &str, words: &str, arguments: &Arguments, stage: &str) -> anyhow::Result<()> {
    let error = Command::new(program)
        .args(words.split(' '))
        .arg(std::env::current_exe()?)
        .args(["--agents", &arguments.agents.to_string()])
        .args(["--rate", &arguments.rate.to_string()])
        .args(["--stage", stage])
        .exec();
    Err(error).with_context(|| format!("`{program}` does not start"))
}

/// Where the nodes keep what they keep: beside the build, because a run needs a real disk.
fn home() -> anyhow::Result<(PathBuf, File)> {
    let program = std::env::current_exe()?;
    let home = program.with_file_name("field-nodes");
    let lock = File::create(program.with_file_name("field.lock"))?;
    lock.try_lock().context("another run is under way")?;
    // of a run that was killed
    if home.try_exists()? {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok((home, lock))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (home, _lock) = home()?;
    // the first process of a namespace hears no signal that it does not ask for
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let all = async {
        let mut ground = Ground::founded(arguments, home.clone()).await?;
        let done = steps::all(&mut ground).await;
        ground.report.print()?;
        done?;
        Ok(ground.report.broken())
    };
    let broken: anyhow::Result<usize> = tokio::select! {
        broken = all => broken,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("told to end")),
    };
    if matches!(broken, Ok(0)) {
        fs::remove_dir_all(&home)?;
        return Ok(());
    }
    report::note(&format!("what the nodes left is in {}", home.display()));
    match broken? {
        0 => Ok(()),
        broken => bail!("{broken} that have to hold did not"),
    }
}
