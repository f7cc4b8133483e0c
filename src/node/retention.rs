//! Drops audit records that are older than they are kept, oldest first and in steps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::fleet::limits::AUDIT_TRIM_MAX;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::AuditRecord;

use super::leases::Tenure;
use crate::history::postgres::exported::Exported;

/// Between two looks: what is kept for days may stay some minutes longer.
const PERIOD: Duration = Duration::from_secs(600);

const DAY_MS: u64 = 86_400_000;

/// Performs the duty while the lease is held.
pub(super) async fn perform(tenure: Tenure, retention_days: u32, exported: Exported) {
    let retention_ms = u64::from(retention_days).saturating_mul(DAY_MS);
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        while let Some((first, count)) =
            due(&tenure.room().consensus, retention_ms, &exported).await
        {
            let step = Proposal::TrimAudit { first, count };
            if let Err(error) = tenure.propose(step).await {
                tracing::debug!(%error, "old audit records were not dropped");
                break;
            }
            if count < AUDIT_TRIM_MAX {
                break;
            }
        }
    }
}

/// The first step of old records, and how many they are.
async fn due(consensus: &Consensus, retention_ms: u64, exported: &Exported) -> Option<(u64, u16)> {
    let view = consensus.view();
    let head = view.fleet.audit();
    let first = head.first.max(1);
    if head.last < first {
        return None;
    }
    let last = head.last.min(first + u64::from(AUDIT_TRIM_MAX) - 1);
    // what Postgres has not got stays, however old it is
    let last = (first..=last).rfind(|seq| exported.has_audit(*seq))?;
    let records = consensus.read_audit(first..=last).await;
    let now_ms = view.fleet.deadline_ms(consensus.fleet_time_ms());
    let count = old(&records, now_ms.saturating_sub(retention_ms));
    (count > 0).then_some((first, count))
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
