//! A whole spool of history: every key and value, as a start of a node leaves them.

use std::sync::Arc;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid, NodeId};
use ampora_storage::history::event::{Document, Event, EventKind, StreamId};
use ampora_storage::history::query::Query;
use ampora_storage::history::spool::{Limits, Spool};
use ampora_storage::kv::{CrashKv, Kv, Op};

use super::{check_bytes, check_names, lines};

const FILE: &str = "history.txt";

const STREAM: StreamId = StreamId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

/// A key and its value follow their number in the order of keys; the first byte says what it is.
const KINDS: [&str; 9] = ["a", "c", "d", "e", "i", "n", "s", "t", "x"];

fn document() -> Document {
    Document {
        hash: BodyHash([7; 32]),
        body: r#"{"files":[]}"#.into(),
    }
}

/// One of each kind; the last one names the document.
fn events() -> Vec<Event> {
    let event = |(n, kind): (u64, EventKind)| Event {
        at_ms: 1_700_000_000_000 - n,
        agent: InstanceUid::from_u128(0x1234),
        fence: Fence(n + 300),
        kind,
        body: format!("{{\"n\":{n}}}").into(),
        document: (kind == EventKind::EffectiveConfig).then_some(document().hash),
    };
    (1..).zip(EventKind::ALL).map(event).collect()
}

#[test]
fn a_spool_is_what_it_was() {
    let kv = CrashKv::default();
    let limits = Limits::default();
    let spool = Spool::open(Arc::new(kv.clone()), NodeId(9), STREAM, limits).expect("opens");
    spool.append(&events(), &[document()]).expect("kept");
    spool.sent(STREAM, 1).expect("kept");
    spool.sending(STREAM, 3).expect("kept");
    let mut names = Vec::new();
    for (at, (key, value)) in kv.range(b"a", b"z", 999).expect("read").iter().enumerate() {
        let name = format!("{}.{at:02}", char::from(key[0]));
        let length = [u8::try_from(key.len()).expect("short")];
        check_bytes(FILE, &name, &[&length[..], key, value].concat());
        names.push(name);
    }
    check_names(FILE, &KINDS, &names);
}

/// A spool of the golden lines, as an old program left it, opens, is read and goes on.
#[test]
fn an_old_spool_opens() {
    let kv = CrashKv::default();
    let pairs = lines(FILE).into_values().map(|line| {
        let bytes = hex::decode(line).expect("hex");
        let (key, value) = bytes[1..].split_at(bytes[0].into());
        Op::Put(key.to_vec(), value.to_vec())
    });
    kv.batch(pairs.collect()).expect("written");
    let kv: Arc<dyn Kv> = Arc::new(kv);
    let limits = Limits::default();
    let open = |stream| Spool::open(kv.clone(), NodeId(9), stream, limits);
    assert!(open(STREAM).is_err(), "no stream is begun twice");
    let spool = open(StreamId(2)).expect("opens");
    let read = spool.read(STREAM, 0, 99, usize::MAX).expect("read");
    let read: Vec<Event> = read.into_iter().map(|one| one.event).collect();
    assert_eq!(read, events());
    let kept = spool.document(document().hash).expect("read");
    assert_eq!(kept, Some(document()));
    let query = Query {
        agent: events()[0].agent,
        since_ms: None,
        until_ms: None,
        kinds: Vec::new(),
        below: None,
        limit: 99,
    };
    let found = spool.query(&query).expect("read").items;
    let found: Vec<String> = found.into_iter().map(|item| item.body).collect();
    let bodies: Vec<String> = events()
        .iter()
        .map(|event| event.body.to_string())
        .collect();
    assert_eq!(found, bodies, "newest first");
    spool.trim(STREAM, 7).expect("removed");
    assert_eq!((spool.bytes(), spool.events()), (0, 0));
    let left = kv.range(b"a", b"z", 99).expect("read");
    let left: Vec<u8> = left.into_iter().map(|(key, _)| key[0]).collect();
    assert_eq!(left, *b"ins", "the stream that is open, and totals");
}
