//! What consensus keeps: the vote, ids, entries of each payload, and how far the rows have got. Taken from
//! the store as the log and the rows write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::consensus::type_config::{Runtime, TypeConfig};
use ampora_raft::consensus::{EffectSink, Machine, RowStore};
use ampora_raft::effect::Effect;
use ampora_raft::proposal::Proposal;
use ampora_storage::codec::Kind;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::parts;
use ampora_storage::rows::Rows;
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::vote::RaftLeaderIdExt;
use openraft::{BasicNode, EntryPayload, Membership, RaftTypeConfig};

use super::{check_bytes, check_names};

const FILE: &str = "log.txt";

const KINDS: [&str; 5] = ["entry", "vote", "log_id", "applied", "row"];

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::LogEntry => "entry",
        Kind::Vote => "vote",
        Kind::LogId => "log_id",
        Kind::Applied => "applied",
        Kind::Row => "row",
        // in a file of their own
        Kind::BackupHead | Kind::BackupRows | Kind::BackupEnd => "backup",
        Kind::HistoryStream | Kind::SpooledEvent => "history",
        // beside what is said
        Kind::PeerCall | Kind::PeerAnswer => "peer",
    }
}

struct Deaf;

impl EffectSink for Deaf {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

type LeaderId = <TypeConfig as RaftTypeConfig>::LeaderId;

fn log_id(index: u64) -> LogIdOf<TypeConfig> {
    LogIdOf::<TypeConfig>::new(LeaderId::new_committed(3, 1), index)
}

fn entries() -> Vec<EntryOf<TypeConfig>> {
    let members = BTreeMap::from([(1, BasicNode::new("a:1")), (2, BasicNode::new("b:2"))]);
    let membership = Membership::new(vec![[1].into(), [1, 2].into()], members).expect("valid");
    let normal = super::proposals::entry(Proposal::Found { lineage: 1 });
    let payloads = [
        EntryPayload::Membership(membership),
        EntryPayload::Blank,
        EntryPayload::Normal(normal),
    ];
    (300..)
        .zip(payloads)
        .map(|(index, payload)| EntryOf::<TypeConfig>::new(log_id(index), payload))
        .collect()
}

async fn written(kv: &Arc<dyn Kv>) {
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    let rows = Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {})).expect("starts");
    let mut log = Log::new(kv.clone(), flusher);
    let vote = VoteOf::<TypeConfig>::new(3, 1);
    log.save_vote(&vote).await.expect("kept");
    log.save_committed(Some(log_id(301))).await.expect("kept");
    log.append(entries(), IOFlushed::noop())
        .await
        .expect("kept");
    let mut machine = Machine::load(rows.clone(), Arc::new(Deaf), 0).expect("loads");
    let all = entries().into_iter().map(|entry| Ok((entry, None)));
    machine
        .apply(futures_util::stream::iter(all))
        .await
        .expect("applied");
    rows.wait_durable(302).await.expect("flushed");
}

#[test]
fn the_log_is_what_it_was() {
    let kv: Arc<dyn Kv> = Arc::new(CrashKv::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Runtime::scope(7, written(&kv)));
    let entry_key = |index: u64| [b"l".to_vec(), index.to_be_bytes().to_vec()].concat();
    // rows have a file of their own; here is one with its place among the keys
    let row_key = [b"r".to_vec(), 0_u32.to_be_bytes().to_vec(), vec![0]].concat();
    let places = [
        (Kind::LogEntry, "membership", entry_key(300)),
        (Kind::LogEntry, "blank", entry_key(301)),
        (Kind::LogEntry, "normal", entry_key(302)),
        (Kind::Vote, "1", b"m:vote".to_vec()),
        (Kind::LogId, "committed", b"m:committed".to_vec()),
        (Kind::Applied, "head", b"m:applied".to_vec()),
        (Kind::Row, "meta", row_key),
    ];
    let mut names = Vec::new();
    for (of, name, key) in places {
        let bytes = parts::get(&*kv, &key).expect("whole").expect("written");
        let name = format!("{}.{name}", kind(of));
        check_bytes(FILE, &name, &bytes);
        names.push(name);
    }
    check_names(FILE, &KINDS, &names);
}

/// A store of the golden lines, as an old program left it, opens and goes on.
#[test]
fn an_old_store_opens() {
    let kv = CrashKv::default();
    let lines = super::lines(FILE);
    let mut ops = Vec::new();
    let mut put = |key: &[u8], name: &str| {
        let bytes = hex::decode(&lines[name]).expect("hex");
        parts::put_new(&mut ops, key, &bytes).expect("fits");
    };
    for (index, name) in (300_u64..).zip(["entry.membership", "entry.blank", "entry.normal"]) {
        put(
            &[b"l".to_vec(), index.to_be_bytes().to_vec()].concat(),
            name,
        );
    }
    put(b"m:vote", "vote.1");
    put(b"m:committed", "log_id.committed");
    put(b"m:applied", "applied.head");
    put(
        &[b"r".to_vec(), 0_u32.to_be_bytes().to_vec(), vec![0]].concat(),
        "row.meta",
    );
    kv.batch(ops).expect("written");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Runtime::scope(7, async {
        let kv: Arc<dyn Kv> = Arc::new(kv);
        let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
        let rows = Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {}));
        let rows = rows.expect("starts");
        let mut log = Log::new(kv, flusher);
        use openraft::storage::RaftLogReader;
        assert_eq!(
            log.try_get_log_entries(300..303).await.expect("read"),
            entries()
        );
        let vote = log.read_vote().await.expect("read");
        assert_eq!(vote, Some(VoteOf::<TypeConfig>::new(3, 1)));
        let committed = log.read_committed().await.expect("read");
        assert_eq!(committed, Some(log_id(301)));
        let mut machine = Machine::load(rows.clone(), Arc::new(Deaf), 0).expect("loads");
        let (last, membership) = machine.applied_state().await.expect("known");
        assert_eq!(last, Some(log_id(302)));
        assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [1, 2]);
        let loaded = rows.load().expect("read");
        assert_eq!(loaded.rows.len(), 1);
    }));
}
