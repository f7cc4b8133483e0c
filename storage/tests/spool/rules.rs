//! Single rules of the spool, one by one.

use std::sync::Arc;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid, NodeId};
use ampora_storage::history::event::{
    DOCUMENT_BYTES_MAX, Document, EVENT_BYTES_MAX, Event, EventKind, StreamId,
};
use ampora_storage::history::query::{PAGE_MAX, Query};
use ampora_storage::history::spool::{Keep, Limits, Spool};
use ampora_storage::kv::{CrashKv, Kv};

fn open(kv: &CrashKv, number: u128) -> std::io::Result<Spool> {
    let limits = Limits::default();
    Spool::open(Arc::new(kv.clone()), NodeId(1), StreamId(number), limits)
}

fn event(at_ms: u64, bytes: usize) -> Event {
    Event {
        at_ms,
        agent: InstanceUid::from_u128(1),
        fence: Fence(1),
        kind: EventKind::Health,
        body: Arc::from("b".repeat(bytes)),
        document: None,
    }
}

fn numbers(spool: &Spool, stream: StreamId) -> Vec<u64> {
    let read = spool.read(stream, 0, 99, usize::MAX).expect("read");
    read.into_iter().map(|one| one.seq).collect()
}

#[test]
fn a_crash_ends_a_stream_and_no_number_is_given_twice() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    spool.append(&[event(1, 2)], &[]).expect("kept");
    spool.flush().expect("flushed");
    spool.append(&[event(2, 2)], &[]).expect("kept");
    assert_eq!(numbers(&spool, StreamId(1)), [1], "only what was flushed");
    kv.crash(0);
    assert!(open(&kv, 1).is_err(), "a stream is begun once");
    let spool = open(&kv, 2).expect("opens");
    spool.append(&[event(3, 2)], &[]).expect("kept");
    spool.flush().expect("flushed");
    assert_eq!(numbers(&spool, StreamId(1)), [1]);
    let read = spool.read(StreamId(2), 0, 9, usize::MAX).expect("read");
    assert_eq!((read[0].seq, read[0].event.at_ms), (1, 3));
    let streams: Vec<u128> = spool
        .streams(9)
        .expect("read")
        .iter()
        .map(|one| one.id.0)
        .collect();
    assert_eq!(streams, [1, 2]);
    let latest = spool.latest().expect("read").expect("there");
    assert_eq!(
        (latest.at_ms, latest.stream, latest.seq),
        (3, StreamId(2), 1)
    );
}

/// A process that was killed may have left what the disk has not: it is exported only once the disk has it.
#[test]
fn what_a_start_finds_is_durable_before_it_is_read() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    spool.append(&[event(1, 2)], &[]).expect("kept");
    let spool = open(&kv, 2).expect("opens");
    assert_eq!(numbers(&spool, StreamId(1)), [1]);
    assert_eq!(kv.unflushed(), 0);
}

#[test]
fn a_document_is_kept_once_while_an_event_names_it() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let document = Document {
        hash: BodyHash([7; 32]),
        body: Arc::from("d".repeat(DOCUMENT_BYTES_MAX)),
    };
    let naming = |at_ms| Event {
        document: Some(document.hash),
        ..event(at_ms, 2)
    };
    let one = [document.clone()];
    spool
        .append(&[naming(1), event(2, 2), naming(3)], &one)
        .expect("kept");
    let once = spool.bytes();
    assert!(once < 2 * DOCUMENT_BYTES_MAX as u64);
    spool.append(&[naming(4)], &one).expect("kept");
    assert!(spool.bytes() < once + 1000, "it costs its event");
    spool
        .append(
            &[event(5, 2)],
            &[Document {
                hash: BodyHash([8; 32]),
                ..document.clone()
            }],
        )
        .expect("kept");
    assert_eq!(
        spool.document(BodyHash([8; 32])).expect("read"),
        None,
        "no event names it"
    );
    spool.flush().expect("flushed");
    let whole = spool
        .read_whole(StreamId(1), 0, 99, usize::MAX)
        .expect("read");
    assert_eq!((whole.events.len(), whole.documents.len()), (5, 1));
    let small = spool.read_whole(StreamId(1), 1, 99, 1000).expect("read");
    assert_eq!(
        small.events.len(),
        1,
        "the next one brings a large document"
    );
    spool.trim(StreamId(1), 3).expect("removed");
    assert_eq!(
        spool.document(document.hash).expect("read"),
        Some(document.clone())
    );
    spool.trim(StreamId(1), 4).expect("removed");
    assert_eq!(spool.document(document.hash).expect("read"), None);
    assert_eq!(spool.events(), 1);
}

#[test]
fn a_document_that_comes_after_an_event_that_names_it_is_kept() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let document = Document {
        hash: BodyHash([7; 32]),
        body: Arc::from("{}"),
    };
    let naming = Event {
        document: Some(document.hash),
        ..event(1, 2)
    };
    spool
        .append(std::slice::from_ref(&naming), &[])
        .expect("kept");
    assert_eq!(spool.document(document.hash).expect("read"), None);
    spool
        .append(&[naming], std::slice::from_ref(&document))
        .expect("kept");
    assert_eq!(
        spool.document(document.hash).expect("read"),
        Some(document.clone())
    );
    while spool.expire(9).expect("removed").more {}
    assert_eq!(spool.document(document.hash).expect("read"), None);
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn what_is_too_large_is_refused_whole() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let large = [event(1, 2), event(2, EVENT_BYTES_MAX + 1)];
    assert!(spool.append(&large, &[]).is_err());
    for bytes in [0, DOCUMENT_BYTES_MAX + 1] {
        let document = Document {
            hash: BodyHash([7; 32]),
            body: Arc::from("d".repeat(bytes)),
        };
        assert!(spool.append(&[event(1, 2)], &[document]).is_err());
    }
    assert_eq!(spool.events(), 0);
    spool
        .append(&[event(1, EVENT_BYTES_MAX)], &[])
        .expect("kept");
    assert_eq!(spool.events(), 1);
}

/// The largest event and document fit into a batch of the store together.
#[test]
fn a_batch_of_the_store_is_never_too_large() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let documents: Vec<Document> = (0..12)
        .map(|n| Document {
            hash: BodyHash([n; 32]),
            body: Arc::from("d".repeat(DOCUMENT_BYTES_MAX)),
        })
        .collect();
    let naming = |document: &Document| Event {
        document: Some(document.hash),
        ..event(1, EVENT_BYTES_MAX)
    };
    let events: Vec<Event> = documents.iter().map(naming).collect();
    spool.append(&events, &documents).expect("kept");
    assert!(kv.unflushed() >= 12, "each is a batch");
    while spool.expire(9).expect("removed").more {}
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn a_page_has_a_limit_of_bytes_and_says_where_to_go_on() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let events: Vec<Event> = (0..100).map(|n| event(n, EVENT_BYTES_MAX)).collect();
    spool.append(&events, &[]).expect("kept");
    spool.flush().expect("flushed");
    let mut query = Query {
        agent: events[0].agent,
        since_ms: None,
        until_ms: None,
        kinds: Vec::new(),
        below: None,
        limit: u16::try_from(PAGE_MAX).expect("small"),
    };
    let mut pages = Vec::new();
    loop {
        let found = spool.query(&query).expect("read");
        pages.push(found.items.len());
        query.below = found.next;
        if found.next.is_none() {
            break;
        }
    }
    assert_eq!(pages, [64, 36]);
}

#[test]
fn shrinking_goes_in_steps_and_leaves_what_a_sink_may_have() {
    let kv = CrashKv::default();
    let limits = Limits {
        step_events: 10,
        ..Limits::default()
    };
    let spool = Spool::open(Arc::new(kv), NodeId(1), StreamId(1), limits).expect("opens");
    let events: Vec<Event> = (0..100).map(|n| event(n, 1000)).collect();
    spool.append(&events, &[]).expect("kept");
    spool.flush().expect("flushed");
    spool.sent(StreamId(1), 20).expect("known");
    spool.sending(StreamId(1), 30).expect("known");
    let cap = spool.bytes();
    assert_eq!(
        spool.shrink_to(cap, Keep::Oldest).expect("shrinks"),
        Default::default()
    );
    let mut dropped = 0;
    let mut steps = 0;
    loop {
        let shrunk = spool.shrink_to(cap / 2, Keep::Oldest).expect("shrinks");
        assert_eq!(shrunk.collapsed, 0);
        assert!(shrunk.dropped <= 10, "a bounded step");
        dropped += shrunk.dropped;
        steps += 1;
        if !shrunk.more {
            break;
        }
    }
    assert!(steps > 3);
    assert!(spool.bytes() <= cap / 2 - cap / 16);
    let left = numbers(&spool, StreamId(1));
    assert_eq!(
        left[..10],
        (21..=30).collect::<Vec<_>>(),
        "they may be in the sink"
    );
    assert_eq!(left.len() as u64, 80 - dropped, "twenty are in the sink");
}

#[test]
fn collapsing_keeps_the_last_by_fence_then_time() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1).expect("opens");
    let with = |fence, at_ms| Event {
        fence: Fence(fence),
        ..event(at_ms, 1000)
    };
    let first = [with(2, 5), with(1, 9), with(2, 3)];
    spool.append(&first, &[]).expect("kept");
    let spool = open(&kv, 2).expect("opens");
    spool.append(&[with(2, 5), with(1, 99)], &[]).expect("kept");
    spool.flush().expect("flushed");
    let mut collapsed = 0;
    loop {
        let shrunk = spool.shrink_to(2000, Keep::Collapse).expect("shrinks");
        assert_eq!(shrunk.dropped, 0);
        collapsed += shrunk.collapsed;
        if !shrunk.more {
            break;
        }
    }
    assert_eq!(collapsed, 4);
    assert_eq!(numbers(&spool, StreamId(2)), [1], "equal, and later");
    let kv: &dyn Kv = &kv;
    assert_eq!(kv.range(b"e", b"f", 9).expect("read").len(), 1);
}
