//! openraft's own storage suite over the log, the rows and the state machine: on sled with its real flush,
//! and on the crash model.

use std::io;
use std::sync::Arc;

use ampora_raft::consensus::type_config::{Runtime, TypeConfig};
use ampora_raft::consensus::{EffectSink, Machine};
use ampora_raft::effect::Effect;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv, SledKv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

struct Deaf;

impl EffectSink for Deaf {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

fn open(kv: Arc<dyn Kv>) -> io::Result<(Log, Machine)> {
    let flusher = Flusher::start(kv.clone(), untimed())?;
    let rows = Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {}))?;
    let machine = Machine::load(rows, Arc::new(Deaf), 0)?;
    Ok((Log::new(kv, flusher), machine))
}

struct OnSled;

impl StoreBuilder<TypeConfig, Log, Machine, tempfile::TempDir> for OnSled {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a directory");
        let kv = SledKv::open(dir.path(), Arc::new(|_| {})).expect("a fresh store opens");
        let (log, machine) = open(Arc::new(kv)).expect("an empty store loads");
        Ok((dir, log, machine))
    }
}

struct OnCrashModel;

impl StoreBuilder<TypeConfig, Log, Machine, ()> for OnCrashModel {
    async fn build(&self) -> Result<((), Log, Machine), StorageError<TypeConfig>> {
        let (log, machine) = open(Arc::new(CrashKv::default())).expect("an empty store loads");
        Ok(((), log, machine))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(Runtime::scope(7, future))
}

#[test]
fn sled_passes_the_suite() {
    let before = ampora_storage::barrier::barriers();
    block_on(Suite::test_all(OnSled)).expect("the suite passes");
    assert!(
        ampora_storage::barrier::barriers() > before,
        "the barrier is not linked in"
    );
}

#[test]
fn crash_model_passes_the_suite() {
    block_on(Suite::test_all(OnCrashModel)).expect("the suite passes");
}
