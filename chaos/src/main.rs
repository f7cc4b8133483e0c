//! `ampora-chaos`: one seed with its trace, or many seeds on all cores.

use std::io::Write;

use ampora_chaos::book::Book;
use ampora_chaos::chance;
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
        What::Sweep(plan) => {
            let program = std::env::current_exe().context("this program is not found")?;
            let clean = sweep::run(&plan, &program, &mut std::io::stdout().lock())?;
            std::process::exit(i32::from(!clean));
        }
    }
}

fn run(seed: u64, quiet: bool, log: Option<String>) -> anyhow::Result<usize> {
    let bodies = tempfile::tempdir()?;
    // from here on nothing is left to chance, not even the first hash map of this thread
    chance::seed(seed);
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
