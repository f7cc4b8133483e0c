//! Crashes at any moment over the log and the rows: what was acknowledged is there, the store opens, the
//! rows are the fleet at their index, and the log goes on from there.
//!
//! The disk keeps its history, so that one run can be crashed at many moments: every flush that was
//! answered counts, and of what came behind it any prefix may have been written. `AMPORA_SEED` repeats one run.

mod entries;
mod tape;

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::consensus::type_config::{Runtime, TypeConfig};
use ampora_raft::consensus::{EffectSink, Machine, RowStore, SnapshotData};
use ampora_raft::effect::Effect;
use ampora_raft::fleet::Fleet;
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use entries::Dice;
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{
    IOFlushed, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine,
};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderIdExt;
use openraft::{EntryPayload, RaftTypeConfig};
use tape::Tape;

type Entry = EntryOf<TypeConfig>;

struct Deaf;

impl EffectSink for Deaf {
    fn publish(&self, _index: u64, _effects: Vec<Effect>) {}
}

fn log_id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
    let leader = <TypeConfig as RaftTypeConfig>::LeaderId::new_committed(term, 1);
    LogIdOf::<TypeConfig>::new(leader, index)
}

/// Something that was acknowledged at a moment, and counts until another.
struct Promise {
    from: usize,
    until: usize,
    what: Promised,
}

enum Promised {
    Entry(Box<Entry>),
    Installed(u64),
    Vote(u64),
}

/// What must be true of the disk, whatever becomes of it.
#[derive(Default)]
struct World {
    promises: Vec<Promise>,
    /// Everything that was ever appended at an index.
    written: BTreeMap<u64, Vec<Entry>>,
    /// The fleet at each index that was applied.
    fleets: BTreeMap<u64, Fleet>,
    term: u64,
}

/// A process on the disk.
struct Node {
    tape: Tape,
    log: Log,
    rows: Arc<Rows>,
    machine: Machine,
    fleet: Fleet,
    applied: u64,
    last: u64,
}

impl World {
    fn promise(&mut self, node: &Node, what: Promised) {
        self.promises.push(Promise {
            from: node.tape.moment(),
            until: usize::MAX,
            what,
        });
    }

    /// What a crash at `moment` must have left.
    fn binding(&self, moment: usize) -> impl Iterator<Item = &Promised> {
        let counts = move |promise: &&Promise| promise.from <= moment && moment < promise.until;
        self.promises
            .iter()
            .filter(counts)
            .map(|promise| &promise.what)
    }
}

/// Starts on what a crash left, and checks it.
async fn start(world: &mut World, left: CrashKv, moment: usize) -> Node {
    let tape = Tape::new(left);
    let kv: Arc<dyn Kv> = Arc::new(tape.clone());
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    let fatal = Arc::new(|error: &std::io::Error| panic!("{error}"));
    let rows = Rows::start(kv.clone(), flusher.clone(), None, fatal).expect("starts");
    let mut log = Log::new(kv, flusher);
    let state = log.get_log_state().await.expect("the log opens");
    let purged = state.last_purged_log_id.map_or(0, |id| id.index);
    let last = state.last_log_id.map_or(0, |id| id.index);
    let loaded = rows.load().expect("the rows open");
    let applied = loaded.state.index();
    let fleet = Fleet::load(loaded.rows.into_iter()).expect("the rows are a fleet");
    let expected = world.fleets.get(&applied).cloned().unwrap_or_default();
    assert_eq!(fleet, expected, "the rows are the fleet at {applied}");
    assert!(
        purged <= applied,
        "purged {purged} beyond the rows, {applied}"
    );
    let found = log
        .try_get_log_entries(purged + 1..last + 1)
        .await
        .expect("whole");
    assert_eq!(found.len() as u64, last - purged, "a hole");
    for entry in &found {
        let known = world.written.get(&entry.index());
        assert!(
            known.is_some_and(|known| known.contains(entry)),
            "never appended"
        );
    }
    check_promises(world, moment, &mut log, (purged, applied), &found).await;
    let machine = Machine::load(rows.clone(), Arc::new(Deaf), last).expect("loads");
    let mut node = Node {
        tape,
        log,
        rows,
        machine,
        fleet,
        applied,
        last: last.max(applied),
    };
    check_bodies(&node);
    world.promises.clear();
    world.written.clear();
    world.fleets = BTreeMap::from([(applied, node.fleet.clone())]);
    if last < applied {
        node.log
            .purge(log_id(world.term, applied))
            .await
            .expect("purged");
    }
    for entry in found {
        world.written.insert(entry.index(), vec![entry.clone()]);
        world.promise(&node, Promised::Entry(Box::new(entry.clone())));
        if entry.index() > applied {
            apply(world, &mut node, vec![entry]).await;
        }
    }
    world.term += 1;
    node
}

/// Everything that was acknowledged before the crash is there.
async fn check_promises(
    world: &World,
    moment: usize,
    log: &mut Log,
    (purged, applied): (u64, u64),
    found: &[Entry],
) {
    let vote = log
        .read_vote()
        .await
        .expect("read")
        .map_or(0, |vote| vote.leader_id.term);
    for promised in world.binding(moment) {
        match promised {
            Promised::Entry(entry) if entry.index() > purged => {
                assert!(found.contains(&**entry), "lost entry {}", entry.index());
            }
            Promised::Entry(entry) => assert!(applied >= entry.index()),
            Promised::Installed(index) => assert!(applied >= *index, "the snapshot is lost"),
            Promised::Vote(term) => assert!(vote >= *term, "the vote is lost"),
        }
    }
}

/// Every part that the fleet says has come is there, byte for byte.
fn check_bodies(node: &Node) {
    for key in node.fleet.row_keys() {
        let RowKey::BodyMeta(hash) = key else {
            continue;
        };
        let meta = node.fleet.body(&hash).expect("it has a row");
        for part in (0..meta.parts).filter(|part| meta.present >> part & 1 == 1) {
            let row = node
                .rows
                .read(&RowKey::BodyPart(hash, part))
                .expect("whole");
            assert_eq!(row, Some(Row::BodyPart(entries::part(hash, part).into())));
        }
    }
}

async fn apply(world: &mut World, node: &mut Node, entries: Vec<Entry>) {
    for entry in &entries {
        if let EntryPayload::Normal(entry_of_ours) = &entry.payload {
            node.fleet.apply(entry.index(), entry_of_ours);
        }
        node.applied = entry.index();
        world.fleets.insert(node.applied, node.fleet.clone());
    }
    let all = entries.into_iter().map(|entry| Ok((entry, None)));
    let applied = node.machine.apply(futures_util::stream::iter(all)).await;
    applied.expect("memory alone");
}

/// Entries behind the last one, each made for the fleet after the one before.
fn next_entries(world: &mut World, node: &Node, dice: &mut Dice) -> Vec<Entry> {
    let mut fleet = node.fleet.clone();
    let count = 1 + dice.below(4);
    (node.last + 1..=node.last + count)
        .map(|index| {
            let payload = if dice.one_in(10) {
                EntryPayload::Blank
            } else {
                let entry = entries::entry(dice, &fleet);
                fleet.apply(index, &entry);
                EntryPayload::Normal(entry)
            };
            let entry = Entry::new(log_id(world.term, index), payload);
            world.written.entry(index).or_default().push(entry.clone());
            entry
        })
        .collect()
}

/// Appends; when told to wait, everything is acknowledged and so promised.
async fn append(world: &mut World, node: &mut Node, entries: &[Entry], wait: bool) {
    let (tell, told) = TypeConfig::oneshot();
    let appended = node
        .log
        .append(entries.to_vec(), IOFlushed::signal(tell))
        .await;
    appended.expect("appended");
    node.last += entries.len() as u64;
    if wait {
        told.await.expect("answered").expect("flushed");
        for entry in entries {
            world.promise(node, Promised::Entry(Box::new(entry.clone())));
        }
    }
}

/// What no quorum had is taken back.
async fn take_back(world: &mut World, node: &mut Node) {
    let (now, applied) = (node.tape.moment(), node.applied);
    for promise in &mut world.promises {
        if matches!(&promise.what, Promised::Entry(entry) if entry.index() > applied) {
            promise.until = promise.until.min(now);
        }
    }
    let kept = (applied > 0).then(|| log_id(0, applied));
    node.log.truncate_after(kept).await.expect("truncated");
    node.last = applied;
}

async fn snapshot(node: &mut Node, dice: &mut Dice) {
    let mut builder = node.machine.get_snapshot_builder().await;
    let built = builder.build_snapshot().await.expect("built");
    let Some(last) = built.meta.last_log_id else {
        return;
    };
    let upto = last.index - dice.below(3).min(last.index);
    let state = node.log.get_log_state().await.expect("read");
    if upto > state.last_purged_log_id.map_or(0, |id| id.index) {
        node.log.purge(log_id(0, upto)).await.expect("purged");
    }
}

/// A snapshot of a log that went further elsewhere.
async fn install(world: &mut World, node: &mut Node, dice: &mut Dice) {
    take_back(world, node).await;
    let mut fleet = node.fleet.clone();
    let index = node.applied + 1 + dice.below(6);
    for at in node.applied + 1..=index {
        fleet.apply(at, &entries::entry(dice, &fleet.clone()));
    }
    let mut rows: Vec<_> = fleet
        .row_keys()
        .filter_map(|key| Some((key.clone(), fleet.row(&key)?)))
        .collect();
    for (key, row) in rows.clone() {
        if let (RowKey::BodyMeta(hash), Row::BodyMeta(meta)) = (key, row) {
            let present = (0..meta.parts).filter(|part| meta.present >> part & 1 == 1);
            rows.extend(present.map(|part| {
                let bytes = entries::part(hash, part).into();
                (RowKey::BodyPart(hash, part), Row::BodyPart(bytes))
            }));
        }
    }
    world.fleets.insert(index, fleet.clone());
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id: Some(log_id(world.term, index)),
        last_membership: StoredMembershipOf::<TypeConfig>::default(),
    };
    let data = SnapshotData::from_rows(rows);
    node.machine
        .install_snapshot(&meta, data)
        .await
        .expect("installed");
    world.promise(node, Promised::Installed(index));
    (node.fleet, node.applied, node.last) = (fleet, index, index);
    node.log
        .purge(log_id(world.term, index))
        .await
        .expect("purged");
}

async fn step(world: &mut World, node: &mut Node, dice: &mut Dice) {
    match dice.below(12) {
        0..6 => {
            let entries = next_entries(world, node, dice);
            append(world, node, &entries, true).await;
            apply(world, node, entries).await;
        }
        6 | 7 => {
            let entries = next_entries(world, node, dice);
            let wait = dice.one_in(2);
            append(world, node, &entries, wait).await;
            take_back(world, node).await;
            world.term += 1;
        }
        8 => node.rows.wait_durable(node.applied).await.expect("flushed"),
        9 => snapshot(node, dice).await,
        10 => install(world, node, dice).await,
        _ => {
            let vote = VoteOf::<TypeConfig>::new(world.term, 1);
            node.log.save_vote(&vote).await.expect("flushed");
            world.promise(node, Promised::Vote(world.term));
        }
    }
    if dice.one_in(4) {
        check_bodies(node);
    }
}

const PROCESSES: usize = 8;

async fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut world = World::default();
    let mut left = CrashKv::default();
    let mut moment = usize::MAX;
    for _ in 0..PROCESSES {
        let mut node = start(&mut world, left, moment).await;
        let mut before = node.tape.moment();
        for _ in 0..1 + dice.below(12) {
            before = node.tape.moment();
            step(&mut world, &mut node, &mut dice).await;
        }
        // somewhere in the last step, or at its end
        let during = (node.tape.moment() - before) as u64;
        moment = before + usize::try_from(dice.below(during + 1)).expect("small");
        let survives = u8::try_from(dice.below(256)).expect("small");
        left = node.tape.crash(moment, survives);
    }
    start(&mut world, left, moment).await;
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a seed that repeats one run")]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let given = std::env::var("AMPORA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(0..40, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(Runtime::scope(seed, run(seed)));
        }));
        assert!(ran.is_ok(), "AMPORA_SEED={seed} repeats it");
    }
}
