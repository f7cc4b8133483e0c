//! The log of a node over restarts: what is dropped, what stays, and what time did meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use ampora_raft::consensus::type_config::Runtime;
use ampora_raft::consensus::{ConsensusConfig, EffectSink, LogLimits, ProposeError, Timings};
use ampora_raft::effect::Effect;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Assign, PutGroup};
use ampora_raft::selector::Selector;
use ampora_raft::time::Clock;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;

use super::*;
use crate::node::{join, origin};

const NODE: NodeId = NodeId(1);

struct Deaf;

impl EffectSink for Deaf {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

impl Timings for Deaf {
    fn proposed(&self, _took: Duration) {}
}

/// Clocks that tests set; boot time begins anew with each start.
#[derive(Default)]
struct Set {
    boot_ms: AtomicU64,
    wall_ms: AtomicU64,
}

impl Clock for Set {
    fn boot_ms(&self) -> u64 {
        self.boot_ms.fetch_add(1, Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }
}

/// Starts the log on this disk when the wall clock says so, as a node does before it serves.
async fn start(kv: &CrashKv, wall_ms: u64) -> Consensus {
    let kv: Arc<dyn Kv> = Arc::new(kv.clone());
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    let rows = Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {})).expect("starts");
    let config = ConsensusConfig::alone(NODE, "a:1".to_owned(), 7, LogLimits::default());
    let clock = Arc::new(Set::default());
    clock.wall_ms.store(wall_ms, Ordering::Relaxed);
    let log = Log::new(kv, flusher);
    let started = Consensus::start(config, log, rows, clock, Arc::new(Deaf), Arc::new(Deaf));
    let consensus = started.await.expect("starts");
    let begun = join::begin(&consensus, NODE).await;
    begun.expect("the downtime is in the log");
    consensus
}

/// Changes a group as an operator.
async fn change(consensus: &Consensus, priority: i32) {
    let put = Proposal::PutGroup(PutGroup {
        name: "edge".into(),
        revision: None,
        selector: Some(Selector::everyone()),
        priority: Some(priority),
        assign: Assign::Nothing,
        pace: None,
    });
    let origin = origin::of_node(NODE);
    let committed = consensus.propose(origin, put.asked("".into())).await;
    let outcome = committed.expect("committed").outcome;
    assert!(matches!(outcome, Outcome::Group { .. }), "{outcome:?}");
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Runtime::scope(7, test))
}

/// The chain as the store has it: numbers in order, each hash over the one before.
async fn whole(consensus: &Consensus) -> (u64, u64) {
    let head = consensus.view().fleet.audit().clone();
    let mut previous = None;
    for read in consensus.read_audit(head.first..=head.last).await {
        let record = read.expect("readable").expect("there");
        assert!(previous.is_none_or(|hash| hash == record.previous));
        assert_eq!(record.hash, record.digest());
        previous = Some(record.hash);
    }
    assert_eq!(previous, Some(head.hash));
    (head.first, head.last)
}

/// Drops one step as the holder of the lease would; whether it was a whole one.
async fn trim(
    consensus: &Consensus,
    node: NodeId,
    retention_ms: u64,
) -> Result<bool, ProposeError> {
    let Some((first, count)) = due(consensus, retention_ms, &Exported::default()).await else {
        return Ok(false);
    };
    let proposal = Proposal::TrimAudit { first, count };
    consensus.propose(origin::of_node(node), proposal).await?;
    Ok(count == AUDIT_TRIM_MAX)
}

const WALL_MS: u64 = 1_700_000_000_000;

#[test]
fn old_records_are_dropped_and_the_chain_of_the_others_stays_whole_over_restarts() {
    run(async {
        let kv = CrashKv::default();
        let days = |days| WALL_MS + days * DAY_MS;
        let first = start(&kv, days(0)).await;
        for priority in 0..300 {
            change(&first, priority).await;
        }
        assert_eq!(trim(&first, NODE, 30 * DAY_MS).await, Ok(false));
        first.shutdown().await;
        let second = start(&kv, days(20)).await;
        assert_eq!(whole(&second).await, (1, 300));
        change(&second, 300).await;
        assert_eq!(trim(&second, NODE, 30 * DAY_MS).await, Ok(false));
        assert_eq!(whole(&second).await, (1, 301));
        second.shutdown().await;
        let third = start(&kv, days(40)).await;
        assert_eq!(trim(&third, NODE, 30 * DAY_MS).await, Ok(true));
        assert_eq!(whole(&third).await, (257, 301));
        assert_eq!(trim(&third, NODE, 30 * DAY_MS).await, Ok(false));
        assert_eq!(trim(&third, NODE, 30 * DAY_MS).await, Ok(false));
        assert_eq!(whole(&third).await, (301, 301));
        let gone = third.read_audit(1..=300).await;
        assert!(
            gone.into_iter()
                .all(|read| read.expect("readable").is_none())
        );
        third.shutdown().await;
    });
}

#[test]
fn the_time_that_a_node_was_off_counts_for_deadlines() {
    run(async {
        let kv = CrashKv::default();
        let hours = |hours: u64| WALL_MS + hours * DAY_MS / 24;
        let now_ms = |consensus: &Consensus| {
            let view = consensus.view();
            view.fleet.deadline_ms(view.fleet.meta().time_ms)
        };
        let first = start(&kv, hours(5)).await;
        let before = now_ms(&first);
        first.shutdown().await;
        let second = start(&kv, hours(6)).await;
        let passed = now_ms(&second) - before;
        assert!((3_600_000..3_600_500).contains(&passed), "{passed}");
        second.shutdown().await;
        // a clock that went back
        let third = start(&kv, hours(1)).await;
        let passed = now_ms(&third) - before;
        assert!((3_600_000..3_601_000).contains(&passed), "{passed}");
        third.shutdown().await;
    });
}

#[test]
fn a_record_that_cannot_be_read_is_as_old_as_those_behind_it() {
    let record = |deadline_ms| {
        let record = AuditRecord {
            seq: 1,
            index: 1,
            at_ms: 1,
            deadline_ms,
            actor: "a".into(),
            from: "".into(),
            request_id: "".into(),
            action: "a".into(),
            target: "t".into(),
            before: "null".into(),
            after: "null".into(),
            previous: [0; 32],
            hash: [0; 32],
        };
        Ok(Some(Arc::new(record)))
    };
    let damaged = || Err(io::Error::other("damaged"));
    assert_eq!(old(&[], 100), 0);
    assert_eq!(old(&[record(99), record(100)], 100), 1);
    assert_eq!(old(&[damaged(), Ok(None), record(99), damaged()], 100), 3);
    assert_eq!(old(&[damaged(), record(100)], 100), 0);
}
