//! What the fleet keeps of its own, on its way into Postgres: audit records and finished deliveries.
//!
//! One node does it, under a lease, and Postgres looks at the fence as well. Both wait in the fleet for as long as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::records::{Action, Delivery, Dispatch, DispatchState};
use ampora_storage::postgres::envelopes::{Envelope, write_envelopes};
use ampora_storage::postgres::lease::Held;
use ampora_storage::postgres::{Error, Move, audit, cursor};

use super::pause::Pause;
use super::{External, Part, held};
use crate::api::{delivery_error, delivery_state};
use crate::node::leases::{HISTORY_EXPORT, Tenure};
use crate::telemetry::history::Dropped;

/// Between two looks at the fleet.
const LOOK: Duration = Duration::from_secs(2);

/// Audit records of one transaction: each is read from the store.
const RECORDS: u64 = 256;

/// Deliveries of one transaction.
const DELIVERIES: usize = 2_000;

/// Deliveries of a dispatch that are looked at before other tasks get their turn.
const DELIVERIES_PER_TURN: usize = 4_096;

/// Performs the duty while the lease is held.
pub async fn perform(tenure: Tenure, external: External) {
    let _performs = external.performs(Part::Ledger);
    let mut pause = Pause::new();
    let mut ledger = Ledger::default();
    loop {
        external.prepared().await;
        if !tenure.holds() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match pass(&tenure, &external, &mut ledger).await {
            Ok(()) => {
                external.goes(Part::Ledger);
                pause.reset();
                tokio::time::sleep(LOOK).await;
            }
            Err(Error::StaleFence { name, fence }) => {
                // whoever holds it now has shown a newer one
                tracing::debug!(lease = name, fence, "another node exports the audit");
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                external.fails(Part::Ledger, error.reason());
                // what failed may have been written, and what was written may be gone
                ledger = Ledger {
                    lineage: ledger.lineage,
                    overdue: ledger.overdue,
                    ..Ledger::default()
                };
                tokio::time::sleep(pause.take()).await;
            }
        }
    }
}

/// What is known of the tables.
#[derive(Debug, Default)]
struct Ledger {
    lineage: u128,
    /// Where the cursor of audit records stands; none before it was asked for.
    audit: Option<u64>,
    /// Up to which record those are counted that left before they were there.
    overdue: u64,
    deliveries: Option<Deliveries>,
}

/// Brings everything over that is there at this moment.
async fn pass(tenure: &Tenure, external: &External, ledger: &mut Ledger) -> Result<(), Error> {
    let held = held(tenure, HISTORY_EXPORT);
    let lineage = held.lineage;
    if ledger.lineage != lineage {
        *ledger = Ledger {
            lineage,
            ..Ledger::default()
        };
    }
    while tenure.holds() && audit_step(tenure, external, held, ledger).await? {}
    while tenure.holds() && deliveries_step(tenure, external, held, ledger).await? {}
    Ok(())
}

/// Brings the next audit records over; false when there are none.
async fn audit_step(
    tenure: &Tenure,
    external: &External,
    held: Held,
    ledger: &mut Ledger,
) -> Result<bool, Error> {
    let consensus = &tenure.room().consensus;
    let head = consensus.view().fleet.audit().clone();
    let done = match ledger.audit {
        Some(done) => done,
        None => {
            let mut connection = external.servers.primary().await?;
            let key = cursor::audit_key(ledger.lineage);
            cursor::standing_at(&mut connection, &key).await?
        }
    };
    ledger.audit = Some(done);
    let first = (done + 1).max(head.first);
    if done > 0 {
        // beyond what a fleet may hold, the oldest go although they wait
        Dropped::Overdue.count((first - 1).saturating_sub(done.max(ledger.overdue)));
        ledger.overdue = ledger.overdue.max(first - 1);
    }
    if first > head.last {
        return Ok(false);
    }
    let last = head.last.min(first + RECORDS - 1);
    let mut records = Vec::new();
    let mut damaged = 0;
    for (seq, read) in (first..=last).zip(consensus.read_audit(first..=last).await) {
        match read {
            Ok(Some(record)) => records.push(record),
            // it left while it was read
            Ok(None) => {}
            Err(error) => {
                tracing::error!(seq, %error, "a damaged audit record does not go to Postgres");
                damaged += 1;
            }
        }
    }
    let mut connection = external.servers.primary().await?;
    let way = Move {
        from: done,
        upto: last,
    };
    ledger.audit = Some(audit::write_audit(&mut connection, held, way, &records).await?);
    Dropped::Damaged.count(damaged);
    Ok(true)
}

/// Brings the next finished deliveries over; false when there are none.
async fn deliveries_step(
    tenure: &Tenure,
    external: &External,
    held: Held,
    ledger: &mut Ledger,
) -> Result<bool, Error> {
    let known = match ledger.deliveries.take() {
        Some(known) => known,
        None => {
            let mut connection = external.servers.primary().await?;
            let key = cursor::dispatch_key(ledger.lineage);
            Deliveries::behind(DispatchId(
                cursor::standing_at(&mut connection, &key).await?,
            ))
        }
    };
    let known = ledger.deliveries.insert(known);
    let view = tenure.room().consensus.view();
    let batch = known.next(&view.fleet).await;
    if batch.is_nothing(known) {
        return Ok(false);
    }
    let way = Move {
        from: known.upto.0,
        upto: batch.upto.0,
    };
    let mut connection = external.servers.primary().await?;
    write_envelopes(&mut connection, held, way, &batch.envelopes).await?;
    known.written(batch);
    Ok(true)
}

/// Which deliveries are there: all of the dispatches up to a number, and some of those behind it.
#[derive(Debug)]
struct Deliveries {
    upto: DispatchId,
    beyond: BTreeMap<DispatchId, BTreeSet<InstanceUid>>,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Batch {
    envelopes: Vec<Envelope>,
    /// Afterwards all deliveries of dispatches up to this one are there.
    upto: DispatchId,
}

impl Batch {
    fn is_nothing(&self, known: &Deliveries) -> bool {
        self.envelopes.is_empty() && self.upto <= known.upto
    }
}

impl Deliveries {
    fn behind(upto: DispatchId) -> Self {
        Self {
            upto,
            beyond: BTreeMap::new(),
        }
    }

    /// At most [`DELIVERIES`] deliveries that have finished and are not there.
    async fn next(&self, fleet: &Fleet) -> Batch {
        let newest_first = fleet.dispatches(None);
        let mut dispatches: Vec<&Arc<Dispatch>> = newest_first
            .take_while(|dispatch| dispatch.id > self.upto)
            .collect();
        dispatches.reverse();
        let none = BTreeSet::new();
        let mut batch = Batch {
            upto: self.upto,
            ..Batch::default()
        };
        // a dispatch that was retired has no deliveries left: the numbers up to the first that is there are over
        let mut is_contiguous = true;
        for dispatch in dispatches {
            let there = self.beyond.get(&dispatch.id).unwrap_or(&none);
            let is_whole = self.collect(fleet, dispatch, there, &mut batch).await;
            is_contiguous &= is_whole && matches!(dispatch.state, DispatchState::Done { .. });
            if is_contiguous {
                batch.upto = dispatch.id;
            }
            if batch.envelopes.len() >= DELIVERIES {
                break;
            }
        }
        batch
    }

    /// Adds what is not there of one dispatch; false when there is no room for all of it.
    async fn collect(
        &self,
        fleet: &Fleet,
        dispatch: &Dispatch,
        there: &BTreeSet<InstanceUid>,
        batch: &mut Batch,
    ) -> bool {
        let counts = &dispatch.counts;
        let finished = counts.succeeded + counts.failed + counts.expired + counts.cancelled;
        if there.len() as u64 >= u64::from(finished) {
            return true;
        }
        for (number, delivery) in fleet.deliveries(dispatch.id, None).enumerate() {
            if number % DELIVERIES_PER_TURN == DELIVERIES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            if there.contains(&delivery.agent) {
                continue;
            }
            let Some(envelope) = envelope(dispatch, delivery) else {
                continue;
            };
            if batch.envelopes.len() >= DELIVERIES {
                return false;
            }
            batch.envelopes.push(envelope);
        }
        true
    }

    fn written(&mut self, batch: Batch) {
        for envelope in batch.envelopes {
            let there = self.beyond.entry(envelope.dispatch).or_default();
            there.insert(envelope.agent);
        }
        self.upto = batch.upto;
        self.beyond = self.beyond.split_off(&DispatchId(batch.upto.0 + 1));
    }
}

/// A delivery as its row; nothing before it has finished.
fn envelope(dispatch: &Dispatch, delivery: &Delivery) -> Option<Envelope> {
    let finished_ms = delivery.finished_ms?;
    Some(Envelope {
        dispatch: dispatch.id,
        agent: delivery.agent,
        action: match &dispatch.action {
            Action::Restart => "restart",
            Action::PushConfig => "push_config",
            Action::CustomMessage { .. } => "custom_message",
        }
        .to_owned(),
        created_by: dispatch.created_by.as_ref().to_owned(),
        state: delivery_state(&delivery.state).to_owned(),
        error: delivery_error(&delivery.state),
        queued_ms: delivery.queued_ms,
        sent_ms: delivery.sent_ms,
        finished_ms,
        sent_by: delivery.sent_by.map(|(node, _epoch, fence)| (node, fence)),
        config_hash: delivery.sent_hash,
    })
}
