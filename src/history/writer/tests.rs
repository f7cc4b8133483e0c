//! What reaches a spool: everything once and in order, also when it fails meanwhile, also what waits at the end.

use std::sync::atomic::{AtomicBool, Ordering};

use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::records::Transport;
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use parking_lot::Mutex;

use super::*;
use crate::agents::testing::encoded;
use crate::clock::SystemClock;
use crate::history::said::Said;

const PATIENCE: Duration = Duration::from_secs(20);

/// A spool in memory.
#[derive(Default)]
struct Memory {
    appended: Mutex<Vec<Event>>,
    documents: Mutex<Vec<Document>>,
    flushes: Mutex<Vec<usize>>,
    full: AtomicBool,
    /// As many events as are taken at most.
    takes: Option<usize>,
    /// Flushes wait until this is unlocked.
    slow: Mutex<()>,
    /// Events that it may hold, and that it holds; and the most that it ever held.
    cap: Option<usize>,
    held: Mutex<(usize, usize)>,
}

impl EventSink for Memory {
    fn append(&self, events: &[Event], documents: &[Document]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let left = self.takes.map(|takes| takes - self.appended.lock().len());
        let taken = events.len().min(left.unwrap_or(usize::MAX));
        self.appended.lock().extend_from_slice(&events[..taken]);
        self.documents.lock().extend_from_slice(documents);
        let mut held = self.held.lock();
        held.0 += taken;
        held.1 = held.1.max(held.0);
        if taken < events.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<u64> {
        drop(self.slow.lock());
        let number = self.appended.lock().len();
        self.flushes.lock().push(number);
        Ok(number as u64)
    }

    fn is_full(&self) -> bool {
        self.cap.is_some_and(|cap| self.held.lock().0 > cap)
    }

    fn let_go(&self, _wall_ms: u64) -> io::Result<LetGo> {
        let mut held = self.held.lock();
        let over = self.cap.map_or(0, |cap| held.0.saturating_sub(cap));
        held.0 -= over;
        Ok(LetGo {
            dropped: over as u64,
            ..LetGo::default()
        })
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn is_history(&self) -> bool {
        true
    }
}

fn note(number: u64) -> Note {
    Note {
        at_ms: number,
        agent: InstanceUid::from_u128(1),
        fence: Fence(1),
        said: Said::Connected {
            transport: Transport::Http,
        },
    }
}

fn started() -> (Queue, Arc<Memory>, Flushed) {
    let (queue, memory) = (Queue::new(), Arc::new(Memory::default()));
    let flushed = start(queue.clone(), memory.clone(), Arc::new(SystemClock)).expect("starts");
    (queue, memory, flushed)
}

async fn until(flushed: &mut Flushed, number: u64) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while flushed.number() < number {
            assert!(flushed.more().await);
        }
    });
    waited.await.expect("it is flushed");
}

#[tokio::test]
async fn a_spool_that_is_full_lets_go_before_it_takes_more() {
    let (queue, memory) = (
        Queue::new(),
        Arc::new(Memory {
            cap: Some(10),
            ..Memory::default()
        }),
    );
    let mut flushed = start(queue.clone(), memory.clone(), Arc::new(SystemClock)).expect("starts");
    let slow = memory.slow.lock();
    for number in 1..=5_000 {
        queue.note(note(number));
    }
    drop(slow);
    until(&mut flushed, 5_000).await;
    let most = memory.held.lock().1;
    assert!(most <= 10 + GROUP_EVENTS, "{most} events at once");
}

#[tokio::test]
async fn notes_become_events_in_order_and_many_share_a_flush() {
    let (queue, memory, mut flushed) = started();
    let held = memory.slow.lock();
    for number in 1..=5_000 {
        queue.note(note(number));
    }
    drop(held);
    until(&mut flushed, 5_000).await;
    let at: Vec<_> = memory
        .appended
        .lock()
        .iter()
        .map(|event| event.at_ms)
        .collect();
    assert_eq!(at, (1..=5_000).collect::<Vec<_>>());
    let flushes = memory.flushes.lock().len();
    assert!(flushes <= 6, "{flushes} flushes");
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_left_and_the_next_is_written() {
    let (queue, memory, mut flushed) = started();
    queue.note(note(1));
    until(&mut flushed, 1).await;
    memory.full.store(true, Ordering::Relaxed);
    queue.note(note(2));
    let tried = tokio::time::timeout(PATIENCE, async {
        while queue.len() > 0 {
            tokio::task::yield_now().await;
        }
    });
    tried.await.expect("it was taken");
    queue.note(note(3));
    memory.full.store(false, Ordering::Relaxed);
    queue.note(note(4));
    until(&mut flushed, 2).await;
    queue.close();
    tokio::time::timeout(PATIENCE, queue.written())
        .await
        .expect("it ends");
    let at: Vec<_> = memory
        .appended
        .lock()
        .iter()
        .map(|event| event.at_ms)
        .collect();
    assert_eq!((at[0], *at.last().expect("some")), (1, 4));
}

#[tokio::test]
async fn what_waits_at_the_end_is_flushed_before_the_writer_ends() {
    let (queue, memory, _flushed) = started();
    for number in 1..=2_500 {
        queue.note(note(number));
    }
    queue.close();
    tokio::time::timeout(PATIENCE, queue.written())
        .await
        .expect("it ends");
    assert_eq!(memory.flushes.lock().last(), Some(&2_500));
}

#[test]
fn each_event_is_counted_as_written_or_as_dropped() {
    let memory = Arc::new(Memory {
        takes: Some(7),
        ..Memory::default()
    });
    let (mut writer, flushed) = Writer::new(Queue::new(), memory, Arc::new(SystemClock));
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for first in [1, 6, 11] {
            let notes: Vec<_> = (first..first + 5).map(note).collect();
            writer.write(&notes);
        }
    });
    let shown = shown.render();
    assert!(
        shown.contains("ampora_history_written_total 7\n"),
        "{shown}"
    );
    let dropped = "ampora_history_dropped_total{reason=\"spool_failed\"} 8\n";
    assert!(shown.contains(dropped), "{shown}");
    assert_eq!(flushed.number(), 7);
}

#[test]
fn a_document_that_many_events_name_is_given_once_with_them() {
    let memory = Arc::new(Memory::default());
    let (mut writer, _flushed) = Writer::new(Queue::new(), memory.clone(), Arc::new(SystemClock));
    let body = encoded(&ampora_proto::wire::EffectiveConfig::default());
    writer.write(&[(1, 1), (2, 2), (3, 1)].map(|(at_ms, hash)| Note {
        said: Said::EffectiveConfig {
            hash: BodyHash([hash; 32]),
            body: Bytes::clone(&body),
        },
        ..note(at_ms)
    }));
    let named: Vec<_> = memory
        .appended
        .lock()
        .iter()
        .map(|event| event.document)
        .collect();
    let [one, two] = [1, 2].map(|byte| BodyHash([byte; 32]));
    assert_eq!(named, [Some(one), Some(two), Some(one)]);
    let documents: Vec<_> = memory
        .documents
        .lock()
        .iter()
        .map(|known| known.hash)
        .collect();
    assert_eq!(documents, [one, two]);
}
