//! The log of one node from its first start on: it stays within its limits while it grows, and the next start
//! goes on from what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::consensus::type_config::Runtime;
use ampora_raft::consensus::{Consensus, ConsensusConfig, EffectSink, LogLimits, Timings};
use ampora_raft::effect::Effect;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::{Assign, Origin, Proposal, PutGroup};
use ampora_raft::selector::Selector;
use ampora_raft::time::Clock;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;

struct Deaf;

impl EffectSink for Deaf {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

impl Timings for Deaf {
    fn proposed(&self, _took: Duration) {}
}

/// A clock that moves when it is read.
#[derive(Default)]
struct Steps(AtomicU64);

impl Clock for Steps {
    fn boot_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

async fn start(kv: &CrashKv, log: LogLimits) -> Consensus {
    let kv: Arc<dyn Kv> = Arc::new(kv.clone());
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    let rows = Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {})).expect("starts");
    let config = ConsensusConfig::alone(NodeId(1), "a:1".to_owned(), 7, log);
    let started = Consensus::start(
        config,
        Log::new(kv, flusher),
        rows,
        Arc::new(Steps::default()),
        Arc::new(Deaf),
        Arc::new(Deaf),
    );
    started.await.expect("starts")
}

fn group(n: usize, text: usize) -> Proposal {
    let source = format!("env=\"{}\"", "x".repeat(text));
    let mut selector = Selector::everyone();
    selector.source = source.into();
    Proposal::PutGroup(PutGroup {
        name: format!("g{}", n % 10).into(),
        revision: None,
        selector: Some(selector),
        priority: i32::try_from(n).ok(),
        assign: Assign::Nothing,
        pace: None,
    })
}

async fn propose(consensus: &Consensus, proposal: Proposal) -> Outcome {
    let origin = Origin {
        actor: "a".into(),
        request_id: "r".into(),
        idempotency: None,
    };
    let committed = consensus.propose(origin, proposal).await;
    committed.expect("it leads").outcome
}

async fn fill(consensus: &Consensus, entries: usize) {
    for first in (0..entries).step_by(50) {
        let proposals = (first..first + 50).map(|n| propose(consensus, group(n, 10)));
        for outcome in futures_util::future::join_all(proposals).await {
            assert!(matches!(outcome, Outcome::Group { .. }), "{outcome:?}");
        }
    }
}

fn digest(fleet: &Fleet) -> Vec<String> {
    let groups = fleet.groups(None);
    groups.map(|group| format!("{group:?}")).collect()
}

async fn grows_and_restarts() {
    const ENTRIES: u64 = 1_000;
    let limits = LogLimits {
        entries: ENTRIES,
        ..LogLimits::default()
    };
    let kv = CrashKv::default();
    let consensus = start(&kv, limits).await;
    let within = async {
        fill(&consensus, 4_000).await;
        loop {
            let status = consensus.status();
            if status.last_log_index - status.purged_index <= ENTRIES {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = within => {}
        () = consensus.clone().keep_time() => panic!("consensus failed"),
    }
    let status = consensus.status();
    assert!(status.purged_index > 2_000 && status.purged_index <= status.snapshot_index);
    let view = consensus.view();
    // no shutdown: the process is gone with what was not flushed
    let again = start(&kv.after_crash(0), limits).await;
    let outcome = propose(&again, group(3, 10)).await;
    assert!(matches!(outcome, Outcome::Group { .. }), "{outcome:?}");
    assert!(again.status().purged_index <= status.purged_index);
    let (before, after) = (digest(&view.fleet), digest(&again.view().fleet));
    assert_eq!(before.len(), after.len());
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b);
    assert_eq!(differing.count(), 1, "but for the group that was put again");
}

async fn too_large_is_refused() {
    let consensus = start(&CrashKv::default(), LogLimits::default()).await;
    let outcome = propose(&consensus, group(1, 2_000_000)).await;
    let expected = Outcome::Rejected(Rejection::TooLarge("entry".into()));
    assert_eq!(outcome, expected);
    let outcome = propose(&consensus, group(1, 10)).await;
    assert!(
        matches!(outcome, Outcome::Group { .. }),
        "it goes on: {outcome:?}"
    );
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(Runtime::scope(7, future));
}

#[test]
fn the_log_stays_within_its_limits() {
    block_on(grows_and_restarts());
}

#[test]
fn an_entry_that_the_log_does_not_take_stops_nobody() {
    block_on(too_large_is_refused());
}
