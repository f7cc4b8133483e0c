//! Single rules of the exporter, one by one.

use std::sync::Arc;

use ampora_raft::ids::{Fence, InstanceUid, NodeId};
use ampora_storage::history::event::{Event, EventKind, StreamId};
use ampora_storage::history::export::{Cursors, ExportLimits, Exporter, Progress, SinkError};
use ampora_storage::history::spool::{Keep, Limits, Spool};
use ampora_storage::kv::CrashKv;
use futures_util::FutureExt;

use super::sink::{Fault, ModelSink};

fn open(kv: &CrashKv, number: u128) -> Spool {
    let limits = Limits::default();
    Spool::open(Arc::new(kv.clone()), NodeId(1), StreamId(number), limits).expect("opens")
}

fn appended(spool: &Spool, events: u128) {
    let event = |agent| Event {
        at_ms: 1,
        agent: InstanceUid::from_u128(agent),
        fence: Fence(1),
        kind: EventKind::Health,
        body: Arc::from("{}"),
        document: None,
    };
    let events: Vec<Event> = (1..=events).map(event).collect();
    spool.append(&events, &[]).expect("kept");
    spool.flush().expect("flushed");
}

fn limits(events: usize, latest_steps: u32) -> ExportLimits {
    ExportLimits {
        events,
        latest_steps,
        ..ExportLimits::default()
    }
}

fn step(exporter: &mut Exporter, spool: &Spool, sink: &ModelSink) -> Result<Progress, SinkError> {
    let step = exporter.step(spool, sink).now_or_never();
    step.expect("the model does not wait")
}

/// Exports all that is there, and answers how many events the sink had and lost for good.
fn drained(exporter: &mut Exporter, spool: &Spool, sink: &ModelSink) -> u64 {
    let mut gone = 0;
    loop {
        let progress = step(exporter, spool, sink).expect("works");
        gone += progress.set_back;
        if !progress.more {
            return gone;
        }
    }
}

fn numbers(sink: &ModelSink) -> Vec<u64> {
    let tables = sink.tables.lock();
    tables.events.iter().map(|(_, seq, _)| *seq).collect()
}

#[test]
fn cursors_are_asked_for_once_and_again_after_an_error() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(2, 9));
    appended(&spool, 5);
    for _ in 0..2 {
        assert_eq!(
            step(&mut exporter, &spool, &sink).expect("works").exported,
            2
        );
    }
    assert_eq!(sink.tables.lock().asked, 1);
    sink.tables.lock().fault = Some((0, Fault::After));
    assert!(step(&mut exporter, &spool, &sink).is_err());
    sink.tables.lock().fault = None;
    // the answer was lost, the event was not
    assert_eq!(
        step(&mut exporter, &spool, &sink).expect("works").exported,
        1
    );
    assert_eq!(sink.tables.lock().asked, 2);
    assert_eq!(numbers(&sink), [1, 2, 3, 4, 5]);
}

#[test]
fn events_are_told_of_once_whatever_fails() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(2, 1));
    appended(&spool, 9);
    let (mut told, mut failed) = (0, 0);
    // each request fails in its turn: that for cursors, that with events, that with the latest state
    for round in 0..60_u8 {
        let fault = [Fault::Before, Fault::After][usize::from(round % 2)];
        sink.tables.lock().fault = (round < 40).then_some((round % 4, fault));
        match step(&mut exporter, &spool, &sink) {
            Ok(progress) => told += progress.exported,
            Err(_) => failed += 1,
        }
    }
    assert_eq!((told, numbers(&sink).len()), (9, 9));
    assert!(failed > 4, "{failed}");
}

#[test]
fn batches_that_fail_become_smaller_and_grow_again() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(8, 99));
    appended(&spool, 40);
    for _ in 0..2 {
        // the cursors are told, the batch is not taken
        sink.tables.lock().fault = Some((1, Fault::Before));
        assert!(step(&mut exporter, &spool, &sink).is_err());
    }
    sink.tables.lock().fault = None;
    let sizes = [2, 4, 8, 8].map(|size| {
        let exported = step(&mut exporter, &spool, &sink).expect("works").exported;
        (exported, size)
    });
    assert!(sizes.iter().all(|(is, size)| is == size), "{sizes:?}");
}

#[test]
fn the_latest_state_is_written_less_often_and_at_once_when_a_stream_is_over() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(1, 4));
    appended(&spool, 6);
    let latest = |sink: &ModelSink, number| sink.tables.lock().cursors(StreamId(number)).latest;
    let seen = [0, 0, 0, 4, 4, 4].map(|expected| {
        step(&mut exporter, &spool, &sink).expect("works");
        (latest(&sink, 1), expected)
    });
    assert!(
        seen.iter().all(|(latest, expected)| latest == expected),
        "{seen:?}"
    );
    assert_eq!(spool.events(), 2, "what both have is trimmed");
    let spool = open(&kv, 2);
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!(latest(&sink, 1), 6);
    assert_eq!(spool.streams(9).expect("read"), [spool.current()]);
}

#[test]
fn what_waits_for_the_latest_state_goes_at_once_when_it_is_settled() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(9, 99));
    appended(&spool, 3);
    let latest = || sink.tables.lock().cursors(StreamId(1)).latest;
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!(latest(), 0);
    exporter.settle();
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!((latest(), spool.events()), (3, 0));
    // and once: nothing waits any more
    appended(&spool, 1);
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!(latest(), 3);
}

/// A sink that is restored from a copy of its own gets again what the spool still has.
#[test]
fn a_sink_that_was_set_back_gets_what_is_there() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(2, 99));
    appended(&spool, 6);
    for _ in 0..2 {
        step(&mut exporter, &spool, &sink).expect("works");
    }
    {
        let mut tables = sink.tables.lock();
        tables.events.truncate(1);
        let cursors = Cursors {
            events: 1,
            latest: 0,
        };
        tables.cursors.insert(StreamId(1), cursors);
    }
    let gone = drained(&mut exporter, &spool, &sink);
    assert_eq!(numbers(&sink), [1, 2, 3, 4, 5, 6]);
    assert_eq!(gone, 0, "the spool had all of them");
}

#[test]
fn what_a_sink_has_lost_and_the_spool_has_not_is_counted() {
    let spool = open(&CrashKv::default(), 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(9, 1));
    appended(&spool, 6);
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!(spool.events(), 0);
    {
        let mut tables = sink.tables.lock();
        tables.events.truncate(2);
        let cursors = Cursors {
            events: 2,
            latest: 2,
        };
        tables.cursors.insert(StreamId(1), cursors);
    }
    appended(&spool, 3);
    let gone = drained(&mut exporter, &spool, &sink);
    assert_eq!((numbers(&sink), gone), (vec![1, 2, 7, 8, 9], 4));
}

#[test]
fn a_sink_that_is_ahead_of_a_spool_is_not_repeated() {
    let kv = CrashKv::default();
    appended(&open(&kv, 1), 3);
    let spool = open(&kv, 2);
    appended(&spool, 2);
    let sink = ModelSink::default();
    let ahead = Cursors {
        events: 500,
        latest: 400,
    };
    sink.tables.lock().cursors.insert(StreamId(1), ahead);
    let mut exporter = Exporter::new(limits(2, 1));
    while step(&mut exporter, &spool, &sink).expect("works").more {}
    assert_eq!(numbers(&sink), [1, 2]);
    let streams: Vec<StreamId> = {
        let tables = sink.tables.lock();
        tables.events.iter().map(|(stream, ..)| *stream).collect()
    };
    assert_eq!(streams, [StreamId(2); 2]);
    assert_eq!(spool.events(), 0);
}

/// The process ends between the write and its answer, and the sink is away when the next one has to shrink.
#[test]
fn what_may_be_in_the_sink_is_not_counted_by_the_next_process() {
    let kv = CrashKv::default();
    let spool = open(&kv, 1);
    let sink = ModelSink::default();
    let mut exporter = Exporter::new(limits(2, 99));
    appended(&spool, 6);
    step(&mut exporter, &spool, &sink).expect("works");
    sink.tables.lock().fault = Some((0, Fault::After));
    assert!(step(&mut exporter, &spool, &sink).is_err());
    kv.crash(0);
    let spool = open(&kv, 2);
    let mut counted = 0;
    loop {
        let shrunk = spool.shrink_to(0, Keep::Oldest).expect("shrinks");
        counted += shrunk.dropped;
        if !shrunk.more {
            break;
        }
    }
    assert_eq!(numbers(&sink), [1, 2, 3, 4]);
    assert_eq!(counted, 2);
}
