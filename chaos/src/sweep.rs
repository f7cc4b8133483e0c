//! Many runs on all cores, each in a process of its own, because the state of a thread outlives a run.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ampora_raft::planted::Bug;
use anyhow::Context;
use clap::Args;

use crate::planted;

/// The seeds within which each planted bug has to be found.
const SEEDS_PER_BUG: u64 = 40;

/// What to run.
#[derive(Args, Clone, Copy, Debug)]
pub struct Sweep {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    pub first: u64,
    /// Whether planted bugs are looked for as well.
    #[arg(long)]
    pub planted: bool,
}

/// Plants a bug by its name in this process.
///
/// # Errors
/// Fails when there is no such bug, and in a program that was built without them.
pub fn plant(name: &str) -> anyhow::Result<()> {
    let found = Bug::ALL.iter().find(|(_, known)| *known == name);
    let (bug, _) = found.with_context(|| format!("there is no bug {name}"))?;
    #[cfg(feature = "planted")]
    {
        ampora_raft::planted::plant(*bug);
        Ok(())
    }
    #[cfg(not(feature = "planted"))]
    anyhow::bail!("{bug:?} is not in this program: build it with the feature `planted`")
}

/// Runs all of it; whether there was no violation and every planted bug was found.
///
/// # Errors
/// Fails when runs cannot be started.
pub fn run(plan: &Sweep, program: &Path, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut violations: u64 = 0;
    let seeds: Vec<u64> = (plan.first..plan.first + plan.seeds).collect();
    on_all_cores(program, &seeds, None, |seed, found| {
        if let Some(text) = found {
            violations += 1;
            write!(out, "{text}")?;
            writeln!(out, "repeat it with: make chaos SEED={seed}")?;
        }
        Ok(true)
    })?;
    let mut found: usize = 0;
    let bugs = if plan.planted { Bug::ALL } else { &[] };
    for (bug, name) in bugs {
        let seeds: Vec<u64> = (1..=SEEDS_PER_BUG).collect();
        let mut by = None;
        on_all_cores(program, &seeds, Some(name), |seed, text| {
            // another check may stumble over it as well, which says nothing of the one that is meant
            let meant = text.filter(|text| planted::is_found(*bug, text));
            if let (None, Some(text)) = (&by, meant) {
                by = Some((seed, text));
            }
            Ok(by.is_none())
        })?;
        match by {
            Some((seed, text)) => {
                found += 1;
                let first = text.lines().next().unwrap_or_default();
                writeln!(out, "planted {name}: found by seed {seed}: {first}")?;
            }
            None => {
                let meant = planted::meant(*bug).join(" or ");
                writeln!(
                    out,
                    "planted {name}: not found by {meant} in {SEEDS_PER_BUG} seeds"
                )?;
            }
        }
    }
    writeln!(
        out,
        "seeds={} violations={violations} planted={found}/{}",
        plan.seeds,
        bugs.len()
    )?;
    Ok(violations == 0 && found == bugs.len())
}

/// Tells `each` of every run what it found, in the order of seeds, until it wants no more.
fn on_all_cores(
    program: &Path,
    seeds: &[u64],
    bug: Option<&str>,
    mut each: impl FnMut(u64, Option<String>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut running: std::collections::VecDeque<(u64, Child)> = Default::default();
    let mut waiting = seeds.iter();
    let mut goes_on = true;
    loop {
        while goes_on && running.len() < cores {
            let Some(seed) = waiting.next() else {
                break;
            };
            let mut command = Command::new(program);
            command.args(["run", "--quiet", &seed.to_string()]);
            if let Some(bug) = bug {
                command.args(["--plant", bug]);
            }
            let child = command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("a run cannot be started")?;
            running.push_back((*seed, child));
        }
        let Some((seed, child)) = running.pop_front() else {
            return Ok(());
        };
        let ended = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        let found =
            (!ended.status.success()).then(|| format!("{text}seed {seed}: {}\n", ended.status));
        if goes_on {
            goes_on = each(seed, found)?;
        }
    }
}
