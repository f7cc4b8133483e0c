//! Segments: what is written at once, what is read meanwhile, and who hears that nothing is written any more.

use std::sync::mpsc::sync_channel;

use ampora_raft::fleet::Applied;
use ampora_raft::ids::ConfigHash;
use ampora_raft::proposal::{CreateVersion, Entry, Origin, Proposal, StageBody};
use ampora_raft::records::FileMeta;

use super::*;
use crate::flush::untimed;
use crate::kv::CrashKv;

/// A fleet whose changes go to rows.
struct Writer {
    fleet: Fleet,
    index: u64,
    rows: Arc<Rows>,
}

fn writer(kv: &CrashKv, fatal: Fatal) -> Writer {
    let kv: Arc<dyn Kv> = Arc::new(kv.clone());
    let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
    Writer {
        fleet: Fleet::default(),
        index: 0,
        rows: Rows::start(kv, flusher, None, fatal).expect("starts"),
    }
}

fn nobody() -> Fatal {
    Arc::new(|_| {})
}

impl Writer {
    fn apply(&mut self, proposal: Proposal) -> Applied {
        self.index += 1;
        let entry = Entry {
            time_ms: 1,
            wall_ms: 1,
            origin: Origin {
                actor: "a".into(),
                request_id: "r".into(),
                idempotency: None,
            },
            proposal,
        };
        self.fleet.apply(self.index, &entry)
    }

    fn stage(&self, dirty: Vec<RowKey>, puts: Vec<(RowKey, Option<Row>)>) {
        self.rows.stage(Change {
            state: AppliedState::default(),
            fleet: self.fleet.clone(),
            dirty,
            puts,
        });
    }

    /// Everything staged is in the store, and on its disk.
    fn written(&self) {
        self.rows.shared.waiting.lock().urgent = true;
        while !self.rows.shared.waiting.lock().segments.is_empty() {
            assert_eq!(self.rows.shared.waiting.lock().failed, None);
            self.rows.shared.wake.notify_one();
            std::thread::yield_now();
        }
        drop(self.rows.shared.generation.lock());
        self.rows.shared.flusher.wait().expect("flushed");
    }

    fn body(&mut self, n: u16) -> (ConfigHash, Applied) {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        let hash = ConfigHash(hash);
        let staged = self.apply(Proposal::StageBody(StageBody {
            hash,
            part: 0,
            parts: 1,
            bytes: vec![u8::try_from(n % 251).expect("small"); 100].into(),
        }));
        (hash, staged)
    }
}

/// Configurations of 500 KiB are more changes than one batch may have.
#[test]
fn many_large_rows_are_written_in_several_batches() {
    let kv = CrashKv::default();
    let mut writer = writer(&kv, nobody());
    for n in 0..30_u16 {
        let name: Arc<str> = format!("configuration-{n}").into();
        for version in 0..18 {
            let (hash, _) = writer.body(n * 18 + version);
            let file = |name: u32| FileMeta {
                name: format!("{name}-{}", "x".repeat(80)).into(),
                content_type: "".into(),
                size: 1,
            };
            let made = writer.apply(Proposal::CreateVersion(CreateVersion {
                configuration: name.clone(),
                hash,
                files: (0..250).map(file).collect(),
                comment: "".into(),
            }));
            assert!(!made.dirty.is_empty(), "{:?}", made.outcome);
        }
    }
    let all: Vec<_> = writer.fleet.row_keys().collect();
    for key in &all {
        writer.stage(vec![key.clone()], Vec::new());
    }
    writer.written();
    let loaded = writer.rows.load().expect("whole");
    assert_eq!(
        Fleet::load(loaded.rows.into_iter()).expect("a fleet"),
        writer.fleet
    );
}

#[test]
fn a_body_is_read_before_and_after_it_is_written_and_not_when_it_has_gone() {
    let kv = CrashKv::default();
    let mut writer = writer(&kv, nobody());
    let (hash, staged) = writer.body(7);
    let key = RowKey::BodyPart(hash, 0);
    let bytes = || Some(Row::BodyPart(vec![7; 100].into()));
    writer.stage(staged.dirty, staged.puts);
    assert_eq!(writer.rows.read(&key).expect("read"), bytes());
    writer.written();
    while !writer.rows.shared.waiting.lock().puts.is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(writer.rows.read(&key).expect("read"), bytes());
    writer.stage(Vec::new(), vec![(key.clone(), None)]);
    assert_eq!(writer.rows.read(&key).expect("read"), None);
    writer.written();
    assert_eq!(writer.rows.read(&key).expect("read"), None);
}

#[test]
fn rows_that_cannot_be_written_are_fatal() {
    let kv = CrashKv::default();
    let (tell, told) = sync_channel(1);
    let fatal: Fatal = Arc::new(move |error| drop(tell.send(error.to_string())));
    let mut writer = writer(&kv, fatal);
    let (_, staged) = writer.body(1);
    kv.fail();
    writer.stage(staged.dirty, staged.puts);
    assert!(told.recv().expect("told").contains("the disk fails"));
}

#[test]
fn what_waits_is_bounded() {
    let kv = CrashKv::default();
    let writer = writer(&kv, Arc::new(|_| {}));
    kv.fail();
    let part = bytes::Bytes::from(vec![1; 256 * 1024]);
    let mut parts = 0;
    while !writer.rows.overloaded() {
        let key = RowKey::BodyPart(ConfigHash([1; 32]), parts);
        writer.stage(Vec::new(), vec![(key, Some(Row::BodyPart(part.clone())))]);
        parts += 1;
        assert!(parts < 1_000, "nothing limits what waits");
    }
    assert!(parts > 200, "{parts}");
}

#[test]
fn half_a_new_generation_is_gone_at_the_next_start() {
    let kv = CrashKv::default();
    let mut writer = writer(&kv, nobody());
    let (_, staged) = writer.body(1);
    writer.stage(staged.dirty, staged.puts);
    writer.written();
    let row = encode(Kind::Row, &Row::BodyPart(vec![1].into())).expect("small");
    let mut ops = Vec::new();
    parts::put_new(&mut ops, &row_key(1, &RowKey::Meta), &row).expect("fits");
    kv.batch(ops).expect("written");
    let again = writer_on(&kv);
    let loaded = again.load().expect("whole");
    assert_eq!(
        Fleet::load(loaded.rows.into_iter()).expect("a fleet"),
        writer.fleet
    );
    let left = kv.range(&generation_key(1), &[ROWS + 1], 9).expect("read");
    assert!(left.is_empty());
}

fn writer_on(kv: &CrashKv) -> Arc<Rows> {
    writer(kv, nobody()).rows
}
