//! The threads that a store has in production, as a task: flushes that take a while, and rows behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ampora_storage::flush::FlushTurns;
use ampora_storage::rows::Rows;

use crate::dice::Dice;

/// How long rows wait for company, as in production.
const ROWS_PERIOD: Duration = Duration::from_millis(100);

/// Flushes, each after what the disk takes for one, which is much while it stalls. Never ends.
pub(super) async fn flush(turns: FlushTurns, mut dice: Dice, stalls: Arc<AtomicBool>) {
    loop {
        let takes = if stalls.load(Ordering::Relaxed) {
            dice.millis(100, 900)
        } else if dice.happens(5) {
            dice.millis(20, 300)
        } else {
            dice.millis(1, 6)
        };
        tokio::time::sleep(takes).await;
        turns.take();
    }
}

/// Writes rows behind the log. Never ends.
pub(super) async fn write_rows(rows: Arc<Rows>) {
    loop {
        tokio::time::sleep(ROWS_PERIOD).await;
        rows.take_turn();
    }
}
