//! What a fleet writes that has nothing to do.

use std::time::Duration;

use anyhow::Context;

use crate::ground::{Ground, SOON};
use crate::lab;
use crate::wait::{Since, until};

/// How long is looked.
const WINDOW: Duration = Duration::from_secs(40);

/// Entries of a second when nothing happens: two ticks, and some.
const QUIET: u64 = 4;

struct Counters {
    entries: u64,
    between_nodes: u64,
    written: Vec<u64>,
}

impl Counters {
    async fn now(ground: &Ground) -> anyhow::Result<Self> {
        let seen = ground.operator.cluster(1).await.context("an answer")?;
        let mut written = Vec::new();
        for slot in ground.slots() {
            written.push(ground.node(slot)?.bytes_written()?);
        }
        Ok(Self {
            entries: seen.last_log_index,
            between_nodes: lab::bytes_between_nodes()?,
            written,
        })
    }
}

/// Rows follow the log in batches, and the store tidies up behind them: bytes that all nodes write in a look when that
/// is over, and how many looks are taken at most.
const QUIET_BYTES: u64 = 4_000_000;
const LOOKS: usize = 12;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// Waits until what came with the agents is written.
pub(crate) async fn settled(ground: &Ground) -> anyhow::Result<()> {
    let mut last = 0;
    until("a quiet log", SOON, async || {
        let index = ground.operator.cluster(1).await?.last_log_index;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let then = std::mem::replace(&mut last, index);
        (index - then <= QUIET).then_some(())
    })
    .await?;
    let mut last = 0;
    for _ in 0..LOOKS {
        let written: u64 = Counters::now(ground).await?.written.iter().sum();
        if written - last <= QUIET_BYTES {
            break;
        }
        last = written;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(())
}

/// Entries and bytes of a minute.
pub(crate) async fn log(ground: &mut Ground, whose: &str) -> anyhow::Result<()> {
    let (before, began) = (Counters::now(ground).await?, Since::now());
    tokio::time::sleep(WINDOW).await;
    let (after, took) = (Counters::now(ground).await?, began.elapsed());
    let a_minute = |count: u64| count as f64 * 60.0 / took.as_secs_f64();
    let kilobytes = |count: u64| format!("{:.0} kB", a_minute(count) / 1000.0);
    let written = after.written.iter().zip(&before.written);
    let written: Vec<String> = written.map(|(now, then)| kilobytes(now - then)).collect();
    ground.report.figure(
        &format!("in a minute with {whose}: entries of the log; bytes between nodes, packets included; bytes to each disk"),
        &format!(
            "{:.0}; {}; {}",
            a_minute(after.entries - before.entries),
            kilobytes(after.between_nodes - before.between_nodes),
            written.join(", "),
        ),
    );
    Ok(())
}
