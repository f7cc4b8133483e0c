//! The audit chain where it is stored: it goes with a snapshot to another node, and a replay writes the same bytes.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::type_config::Runtime;
use ampora_raft::consensus::{
    Consensus, ConsensusConfig, EffectSink, LogLimits, Machine, RowStore, Timings,
};
use ampora_raft::effect::Effect;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Assign, Origin, Proposal, PutGroup};
use ampora_raft::rows::RowKey;
use ampora_raft::selector::Selector;
use ampora_raft::time::Clock;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};

struct Still;

impl EffectSink for Still {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

impl Timings for Still {
    fn proposed(&self, _took: Duration) {}
}

impl Clock for Still {
    fn boot_ms(&self) -> u64 {
        0
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

fn rows(kv: &CrashKv) -> (Arc<Rows>, Flusher) {
    let kv: Arc<dyn Kv> = Arc::new(kv.clone());
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    let rows = Rows::start(kv, flusher.clone(), None, Arc::new(|_| {})).expect("starts");
    (rows, flusher)
}

async fn start(kv: &CrashKv) -> Consensus {
    let (rows, flusher) = rows(kv);
    let config = ConsensusConfig::alone(NodeId(1), "a:1".to_owned(), 7, LogLimits::default());
    let log = Log::new(Arc::new(kv.clone()), flusher);
    let still = || Arc::new(Still);
    let started = Consensus::start(config, log, rows, still(), still(), still()).await;
    started.expect("starts")
}

async fn change(consensus: &Consensus, priority: i32) {
    let put = Proposal::PutGroup(PutGroup {
        name: "edge".into(),
        revision: None,
        selector: Some(Selector::everyone()),
        priority: Some(priority),
        assign: Assign::Nothing,
        pace: None,
    });
    let origin = Origin {
        actor: "ann".into(),
        request_id: "r".into(),
        idempotency: None,
    };
    let committed = consensus.propose(origin, put.asked("192.0.2.7".into()));
    let outcome = committed.await.expect("committed").outcome;
    assert!(matches!(outcome, Outcome::Group { .. }), "{outcome:?}");
}

/// Checks the chain that a store holds against the head in its rows; how many records there are.
fn whole(rows: &Rows) -> u64 {
    let loaded = rows.load().expect("readable");
    let fleet = Fleet::load(loaded.rows.into_iter()).expect("a fleet");
    let head = fleet.audit();
    let mut previous = [0; 32];
    for seq in 1..=head.last {
        let row = rows.read(&RowKey::Audit(seq)).expect("readable");
        let Some(ampora_raft::rows::Row::Audit(record)) = row else {
            panic!("record {seq} is not there: {row:?}");
        };
        assert_eq!((record.seq, record.previous), (seq, previous));
        assert_eq!(record.digest(), record.hash);
        previous = record.hash;
    }
    assert_eq!(previous, head.hash);
    head.last
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Runtime::scope(7, test))
}

#[test]
fn records_go_with_a_snapshot() {
    run(async {
        let kv = CrashKv::default();
        let consensus = start(&kv).await;
        for priority in 0..20 {
            change(&consensus, priority).await;
        }
        consensus.shutdown().await;
        drop(consensus);
        let (source, _flusher) = rows(&kv);
        assert_eq!(whole(&source), 20);
        let mut machine = Machine::load(source, Arc::new(Still), 0).expect("loads");
        let snapshot = machine.build_snapshot().await.expect("built");
        let (target, _flusher) = rows(&CrashKv::default());
        let mut other = Machine::load(target.clone(), Arc::new(Still), 0).expect("loads");
        let installed = other.install_snapshot(&snapshot.meta, snapshot.snapshot);
        installed.await.expect("installed");
        assert_eq!(whole(&target), 20);
    });
}

/// The log says it all: a node that lost its rows writes the same chain again.
#[test]
fn a_replay_writes_the_same_records() {
    run(async {
        let kv = CrashKv::default();
        let consensus = start(&kv).await;
        for priority in 0..5 {
            change(&consensus, priority).await;
        }
        let records = async |consensus: &Consensus| {
            let read = consensus.read_audit(1..=5).await;
            let read = read
                .into_iter()
                .map(|read| read.expect("readable").expect("there"));
            read.collect::<Vec<_>>()
        };
        let before = records(&consensus).await;
        consensus.shutdown().await;
        drop(consensus);
        let lost = kv.range(b"r", b"s", 10_000).expect("read");
        let mut gone: Vec<_> = lost.into_iter().map(|(key, _)| key).collect();
        gone.push(b"m:applied\0\0".to_vec());
        let gone = gone.into_iter().map(ampora_storage::kv::Op::Remove);
        kv.batch(gone.collect()).expect("written");
        let (empty, _flusher) = rows(&kv);
        assert!(empty.load().expect("readable").rows.is_empty());
        let again = start(&kv).await;
        change(&again, 5).await;
        assert_eq!(records(&again).await, before);
        assert_eq!(again.view().fleet.audit().last, 6);
        again.shutdown().await;
        drop(again);
        assert_eq!(whole(&rows(&kv).0), 6);
    });
}
