//! Whether a seed repeats: two processes with one seed must write the same trace, byte for byte.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;

/// Runs a seed twice at once and compares the traces; false, with the first lines that differ, when they do.
///
/// # Errors
/// Fails when the runs cannot be started or read.
pub fn compare(seed: u64, program: &Path, out: &mut impl Write) -> anyhow::Result<bool> {
    let (mut first, mut one) = traced(seed, program)?;
    let (mut second, mut other) = traced(seed, program)?;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut lines: u64 = 0;
    let mut same = true;
    loop {
        left.clear();
        right.clear();
        one.read_until(b'\n', &mut left)?;
        other.read_until(b'\n', &mut right)?;
        if left != right {
            same = false;
            writeln!(out, "seed {seed}: line {} differs", lines + 1)?;
            out.write_all(&left)?;
            out.write_all(&right)?;
            break;
        }
        if left.is_empty() {
            break;
        }
        lines += 1;
    }
    for run in [&mut first, &mut second] {
        // one that differs has more to say and nobody who listens
        if !same {
            run.kill()?;
        }
        run.wait()?;
    }
    if same {
        writeln!(out, "seed {seed}: {lines} lines, the same twice")?;
    }
    Ok(same && lines > 0)
}

fn traced(seed: u64, program: &Path) -> anyhow::Result<(Child, BufReader<ChildStdout>)> {
    let mut run = Command::new(program)
        .args(["run", &seed.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("a run cannot be started")?;
    let trace = run.stdout.take().context("a run has no output")?;
    Ok((run, BufReader::new(trace)))
}
