//! Drops audit records that are older than they are kept, oldest first and in steps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{Consensus, ProposeError};
use ampora_raft::fleet::limits::AUDIT_TRIM_MAX;
use ampora_raft::ids::NodeId;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::AuditRecord;
use tokio_util::sync::CancellationToken;

use super::origin;
use crate::agents::room::Room;

/// Between two looks: what is kept for days may stay some minutes longer.
const PERIOD: Duration = Duration::from_secs(600);

const DAY_MS: u64 = 86_400_000;

/// Runs until `stop`.
pub(super) async fn drive(room: Arc<Room>, retention_days: u32, stop: CancellationToken) {
    let retention_ms = u64::from(retention_days).saturating_mul(DAY_MS);
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        loop {
            match trim(&room.consensus, room.author.node, retention_ms).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old audit records could not be dropped");
                    break;
                }
            }
        }
    }
}

/// Drops one step of old records; whether there may be more.
async fn trim(
    consensus: &Consensus,
    node: NodeId,
    retention_ms: u64,
) -> Result<bool, ProposeError> {
    if consensus.status().leader != Some(node) {
        return Ok(false);
    }
    let view = consensus.view();
    let head = view.fleet.audit();
    let first = head.first.max(1);
    if head.last < first {
        return Ok(false);
    }
    let last = head.last.min(first + u64::from(AUDIT_TRIM_MAX) - 1);
    let records = consensus.read_audit(first..=last).await;
    let now_ms = view.fleet.deadline_ms(consensus.fleet_time_ms());
    let count = old(&records, now_ms.saturating_sub(retention_ms));
    if count == 0 {
        return Ok(false);
    }
    let proposal = Proposal::TrimAudit { first, count };
    consensus.propose(origin::of_node(node), proposal).await?;
    Ok(count == AUDIT_TRIM_MAX)
}

/// How many of the oldest records were made before this deadline time. Deadline time only grows, so that one that
/// cannot be read is as old as those behind it.
fn old(records: &[io::Result<Option<Arc<AuditRecord>>>], before_ms: u64) -> u16 {
    let is_old = |read: &io::Result<Option<Arc<AuditRecord>>>| matches!(read, Ok(Some(record)) if record.deadline_ms < before_ms);
    let newest = records.iter().rposition(is_old);
    newest.map_or(0, |at| u16::try_from(at + 1).unwrap_or(AUDIT_TRIM_MAX))
}

#[cfg(test)]
mod tests;
