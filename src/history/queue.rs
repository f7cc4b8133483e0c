//! Notes of sessions on their way to the writer. Who leaves one never waits and never fails: what there is no room
//! for is dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::ids::{Fence, InstanceUid};
use parking_lot::{Condvar, Mutex};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::said::Said;
use crate::telemetry::history::Dropped;

/// Notes that wait at most: some seconds of a fleet that comes back at once.
const NOTES_MAX: usize = 16_384;

/// Bytes that notes hold at most.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Of notes that agents keep until it is known which session they belong to.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a note costs beside what was said.
const NOTE_BYTES: usize = 256;

/// Something that happened to an agent, as its session leaves it.
#[derive(Clone, Debug)]
pub struct Note {
    /// Wall time in milliseconds since 1970.
    pub at_ms: u64,
    /// The agent.
    pub agent: InstanceUid,
    /// Under which ownership.
    pub fence: Fence,
    /// What happened.
    pub said: Said,
}

/// The queue; clones are the same one. The default has no writer: what is noted there is gone, and not counted.
#[derive(Clone, Debug, Default)]
pub struct Queue(Option<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    kept_bytes: Mutex<usize>,
    /// The writer is gone.
    written: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    notes: VecDeque<Note>,
    bytes: usize,
    /// How many the writer waits for: it is not woken for each.
    wanted: usize,
    closed: bool,
}

/// Room for something that is kept elsewhere until it becomes a note; given back when it goes.
#[derive(Debug)]
pub struct Kept {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        *self.shared.kept_bytes.lock() -= self.bytes;
    }
}

fn cost(said: &Said) -> usize {
    NOTE_BYTES + said.bytes()
}

impl Queue {
    /// A queue whose notes a writer takes.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Leaves a note. What there is no room for is counted.
    pub fn note(&self, note: Note) {
        let Some(shared) = &self.0 else { return };
        let bytes = cost(&note.said);
        let mut state = shared.state.lock();
        let dropped = if state.closed {
            Dropped::Stopped
        } else if state.notes.len() >= NOTES_MAX || state.bytes + bytes > BYTES_MAX {
            Dropped::QueueFull
        } else {
            state.bytes += bytes;
            state.notes.push_back(note);
            let is_wanted = state.notes.len() >= state.wanted;
            drop(state);
            if is_wanted {
                shared.wake.notify_one();
            }
            return;
        };
        drop(state);
        dropped.count(1);
    }

    /// Room for something that becomes a note later; `None` when there is none, which is counted where it was said.
    pub fn keep(&self, said: &Said) -> Option<Kept> {
        let shared = self.0.as_ref()?;
        let bytes = cost(said);
        let mut kept = shared.kept_bytes.lock();
        if *kept + bytes > KEPT_BYTES_MAX {
            drop(kept);
            Dropped::QueueFull.count(1);
            return None;
        }
        *kept += bytes;
        drop(kept);
        Some(Kept {
            shared: shared.clone(),
            bytes,
        })
    }

    /// Nothing is taken any more; the writer writes what is there and ends.
    pub fn close(&self) {
        if let Some(shared) = &self.0 {
            shared.state.lock().closed = true;
            shared.wake.notify_all();
        }
    }

    /// Waits until everything in a closed queue is written, as far as it could be.
    pub async fn written(&self) {
        if let Some(shared) = &self.0 {
            shared.written.cancelled().await;
        }
    }

    /// What whoever writes holds as long as it does.
    pub(super) fn writing(&self) -> Option<DropGuard> {
        let shared = self.0.as_ref()?;
        Some(shared.written.clone().drop_guard())
    }

    /// Waits at most `patience` until there is a note; false when the queue is closed and empty.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        self.gather(1, patience)
    }

    /// Waits at most `patience` until there are `wanted` notes; false when the queue is closed and empty.
    pub(super) fn gather(&self, wanted: usize, patience: Duration) -> bool {
        let Some(shared) = &self.0 else { return false };
        let mut state = shared.state.lock();
        state.wanted = wanted;
        shared.wake.wait_while_for(
            &mut state,
            |state| !state.closed && state.notes.len() < wanted,
            patience,
        );
        !(state.closed && state.notes.is_empty())
    }

    /// Takes the oldest notes, at most `most`.
    pub(super) fn take(&self, most: usize) -> Vec<Note> {
        let Some(shared) = &self.0 else {
            return Vec::new();
        };
        let mut state = shared.state.lock();
        let count = state.notes.len().min(most);
        let taken: Vec<_> = state.notes.drain(..count).collect();
        state.bytes -= taken.iter().map(|note| cost(&note.said)).sum::<usize>();
        taken
    }

    /// How much waits.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let shared = self.0.as_ref();
        shared.map_or(0, |shared| shared.state.lock().notes.len())
    }

    /// What is kept elsewhere.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |shared| *shared.kept_bytes.lock())
    }

    /// What waits, for tests of those who leave notes.
    #[cfg(test)]
    pub(crate) fn take_all(&self) -> Vec<Note> {
        self.take(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn health(bytes: usize) -> Said {
        Said::Health(Bytes::from(vec![0; bytes]))
    }

    fn note(bytes: usize) -> Note {
        Note {
            at_ms: 1,
            agent: InstanceUid::from_u128(1),
            fence: Fence(1),
            said: health(bytes),
        }
    }

    #[test]
    fn notes_beyond_the_bounds_are_dropped_and_the_next_are_taken_again() {
        let queue = Queue::new();
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..NOTES_MAX + 10 {
                queue.note(note(10));
            }
        });
        let dropped = "ampora_history_dropped_total{reason=\"queue_full\"} 10\n";
        assert!(shown.render().contains(dropped));
        assert_eq!(queue.take(NOTES_MAX + 10).len(), NOTES_MAX);
        for _ in 0..10 {
            queue.note(note(BYTES_MAX / 4));
        }
        assert_eq!(queue.take_all().len(), 3);
        queue.note(note(1));
        assert_eq!(queue.take_all().len(), 1);
    }

    #[test]
    fn what_is_kept_elsewhere_is_bounded_and_given_back() {
        let queue = Queue::new();
        let half = health(KEPT_BYTES_MAX / 2);
        let first = queue.keep(&half);
        assert!(first.is_some());
        assert!(queue.keep(&half).is_none());
        drop(first);
        assert!(queue.keep(&half).is_some());
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new();
        queue.note(note(1));
        queue.close();
        queue.note(note(1));
        assert!(queue.wait(Duration::ZERO));
        assert_eq!(queue.take_all().len(), 1);
        assert!(!queue.wait(Duration::from_secs(60)));
    }

    #[test]
    fn without_a_writer_nothing_waits() {
        let queue = Queue::default();
        queue.note(note(1));
        assert!(queue.take_all().is_empty() && queue.keep(&health(1)).is_none());
    }
}
