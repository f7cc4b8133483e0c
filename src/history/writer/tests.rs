//! What reaches a spool: everything once and in order, also when it fails meanwhile, also what waits at the end.

use std::sync::atomic::{AtomicBool, Ordering};

use ampora_raft::ids::{Fence, InstanceUid};
use ampora_raft::records::Transport;
use parking_lot::Mutex;

use super::*;
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
    /// Flushes wait until this is unlocked.
    slow: Mutex<()>,
}

impl EventSink for Memory {
    fn append(&self, events: &[Event], documents: &[Document]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.appended.lock().extend_from_slice(events);
        self.documents.lock().extend_from_slice(documents);
        Ok(())
    }

    fn flush(&self) -> io::Result<u64> {
        drop(self.slow.lock());
        let number = self.appended.lock().len();
        self.flushes.lock().push(number);
        Ok(number as u64)
    }

    fn let_go(&self, _wall_ms: u64) -> io::Result<LetGo> {
        Ok(LetGo::default())
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
