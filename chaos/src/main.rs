//! `ampora-chaos`: one seed with its trace, or many seeds on all cores.

use std::io::Write;
use std::path::PathBuf;

use ampora_chaos::book::Book;
use ampora_chaos::machine::REPEATS;
use ampora_chaos::same;
use ampora_chaos::sweep::{self, Sweep};
use ampora_chaos::world::World;
use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Simulates clusters of Ampora")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One run; its trace goes to standard output.
    Run {
        /// The seed.
        seed: u64,
        /// The trace is not wanted.
        #[arg(long)]
        quiet: bool,
        /// What the nodes log, as in `RUST_LOG`; goes to standard error.
        #[arg(long)]
        log: Option<String>,
        /// A bug to plant.
        #[arg(long)]
        plant: Option<String>,
    },
    /// Each of these seeds twice: the traces must be the same to the byte.
    Same {
        /// The seeds.
        seeds: Vec<u64>,
    },
    /// Many runs, each in a process of its own.
    Sweep(Sweep),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.what {
        What::Run {
            seed,
            quiet,
            log,
            plant,
        } => {
            if let Some(bug) = plant {
                sweep::plant(&bug)?;
            }
            let violations = run(seed, quiet, log)?;
            std::process::exit(i32::from(violations > 0));
        }
        What::Same { seeds } => {
            let mut all = true;
            for seed in seeds {
                all &= same::compare(seed, &program()?, &mut std::io::stdout().lock())?;
            }
            std::process::exit(i32::from(!all));
        }
        What::Sweep(plan) => {
            let clean = sweep::run(&plan, &program()?, &mut std::io::stdout().lock())?;
            std::process::exit(i32::from(!clean));
        }
    }
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program is not found")
}

fn run(seed: u64, quiet: bool, log: Option<String>) -> anyhow::Result<usize> {
    let bodies = tempfile::tempdir()?;
    anyhow::ensure!(
        REPEATS,
        "a program of this build cannot repeat a run: `make chaos` builds one that can"
    );
    if let Some(filter) = log {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let trace: Option<Box<dyn Write + Send>> = if quiet {
        None
    } else {
        Some(Box::new(std::io::BufWriter::new(std::io::stdout())))
    };
    let book = Book::new(trace);
    World::new(seed, book.clone(), bodies.path().to_owned()).run(seed)?;
    book.summary();
    let violations = book.violations();
    let mut out = std::io::stderr().lock();
    for violation in &violations {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    Ok(violations.len())
}
