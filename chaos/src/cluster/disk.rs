//! The threads that a store has in production, as a task: flushes that take a while, and rows behind them.

use std::sync::Arc;
use std::time::Duration;

use ampora_storage::flush::FlushTurns;
use ampora_storage::rows::Rows;

use crate::dice::Dice;

/// How long rows wait for company, as in production.
const ROWS_PERIOD: Duration = Duration::from_millis(100);

/// Flushes, each after what the disk takes for one. Never ends.
pub(super) async fn flush(turns: FlushTurns, mut dice: Dice) {
    loop {
        let takes = if dice.happens(5) {
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
