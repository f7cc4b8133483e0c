//! Takes notes from the queue, makes events of them and appends them to the spool, many with one flush.
//!
//! One thread, which ends when the queue is closed and everything in it is flushed. A spool that fails costs events,
//! which are counted, and nothing else: the next ones are tried again.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::ids::BodyHash;
use ampora_raft::time::Clock;
use ampora_storage::history::event::{Document, Event};
use tokio::sync::watch;

use super::queue::{Note, Queue};
use super::said;
use crate::telemetry::history::{self as counted, Dropped};
use crate::telemetry::names;

/// Events that share a flush at most, and how long the first of them waits for the others.
const GROUP_EVENTS: usize = 1_000;
const GROUP_WAIT: Duration = Duration::from_millis(100);

/// Bytes of JSON in one append at most, beside the last event and its document. A spool is above its cap by no more.
const GROUP_BYTES: usize = 1024 * 1024;

/// Between two looks at what a spool that is not full has to let go.
const UPKEEP_PERIOD_MS: u64 = 2_000;

/// Steps of one look: what is left then has to wait until what was said meanwhile is written.
const UPKEEP_STEPS: u32 = 64;

/// Where events go.
pub trait EventSink: Send + Sync + 'static {
    /// Adds events in their order, with the documents that they name.
    ///
    /// # Errors
    /// Fails when the disk does; some of the events may have been added then.
    fn append(&self, events: &[Event], documents: &[Document]) -> io::Result<()>;

    /// Waits until everything so far has reached the disk, and answers the number of the last event, from 1 and
    /// without gaps.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn flush(&self) -> io::Result<u64>;

    /// Whether it has more than it may have.
    fn is_full(&self) -> bool;

    /// Lets go of some of what is too old at this wall time or too much; `more` when there may be more of it.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn let_go(&self, wall_ms: u64) -> io::Result<LetGo>;

    /// Bytes that what is kept takes on the disk, roughly.
    fn bytes(&self) -> u64;

    /// Whether this is history itself, and not the way to it.
    fn is_history(&self) -> bool;
}

/// What a spool let go in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Events in whose place a later one of their agent and kind stays.
    pub collapsed: u64,
    /// Events that went because they were the oldest of too much.
    pub dropped: u64,
    /// There may be more to let go.
    pub more: bool,
}

/// The number of the last event of this start that is durable; it ends with the writer.
#[derive(Clone, Debug)]
pub struct Flushed(watch::Receiver<u64>);

impl Flushed {
    /// The number.
    pub fn number(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until there is more than at the last wait; false when there will be no more.
    pub async fn more(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Starts the thread.
///
/// # Errors
/// Fails when there can be no more threads.
pub fn start(queue: Queue, sink: Arc<dyn EventSink>, clock: Arc<dyn Clock>) -> io::Result<Flushed> {
    let (writer, flushed) = Writer::new(queue, sink, clock);
    std::thread::Builder::new()
        .name("history".to_owned())
        .spawn(move || {
            let _writing = writer.queue.writing();
            writer.run();
        })?;
    Ok(flushed)
}

struct Writer {
    queue: Queue,
    sink: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    flushed: watch::Sender<u64>,
    /// Wall and boot time of the start: a wall clock that jumps ahead makes nothing old.
    began_ms: (u64, u64),
    /// Boot time of the next look at what is to be let go.
    upkeep_ms: u64,
    /// Events that were handed to the spool since it was flushed last.
    offered: u64,
    /// Some of them were taken.
    appends: bool,
    /// Said already.
    failing: bool,
}

impl Writer {
    fn new(queue: Queue, sink: Arc<dyn EventSink>, clock: Arc<dyn Clock>) -> (Self, Flushed) {
        let (flushed, receiver) = watch::channel(0);
        let writer = Self {
            queue,
            sink,
            began_ms: (clock.wall_ms(), clock.boot_ms()),
            upkeep_ms: clock.boot_ms() + UPKEEP_PERIOD_MS,
            clock,
            flushed,
            offered: 0,
            appends: false,
            failing: false,
        };
        (writer, Flushed(receiver))
    }

    fn run(mut self) {
        self.upkeep();
        while self.queue.wait(Duration::from_millis(UPKEEP_PERIOD_MS)) {
            self.queue.gather(GROUP_EVENTS, GROUP_WAIT);
            let notes = self.queue.take(GROUP_EVENTS);
            if !notes.is_empty() {
                self.write(&notes);
            }
            let now_ms = self.clock.boot_ms();
            if now_ms >= self.upkeep_ms {
                self.upkeep_ms = now_ms + UPKEEP_PERIOD_MS;
                self.upkeep();
            }
        }
    }

    /// Appends notes and flushes them.
    fn write(&mut self, notes: &[Note]) {
        let mut group = Group::default();
        for note in notes {
            group.add(note);
            if group.bytes >= GROUP_BYTES {
                self.append(&std::mem::take(&mut group));
            }
        }
        if !group.events.is_empty() {
            self.append(&group);
        }
    }

    fn append(&mut self, group: &Group) {
        self.offered += group.events.len() as u64;
        match self.sink.append(&group.events, &group.documents) {
            Ok(()) => self.appends = true,
            Err(error) => self.failed(&error),
        }
        match self.sink.flush() {
            Ok(number) => self.durable(number),
            // what was added is counted with the next flush
            Err(error) => self.failed(&error),
        }
        if self.sink.is_full() {
            self.upkeep();
        }
    }

    /// Everything up to this number is durable. What has no number was not taken, in whole appends or their ends.
    fn durable(&mut self, number: u64) {
        let written = number.saturating_sub(*self.flushed.borrow());
        let dropped = self.offered.saturating_sub(written);
        self.offered = 0;
        if self.sink.is_history() {
            counted::written(written);
        }
        Dropped::SpoolFailed.count(dropped);
        if std::mem::take(&mut self.appends) && dropped == 0 && std::mem::take(&mut self.failing) {
            tracing::info!("history is written again");
        }
        if written > 0 {
            self.flushed.send_replace(number);
        }
    }

    fn upkeep(&mut self) {
        let (wall_ms, boot_ms) = self.began_ms;
        let passed_ms = self.clock.boot_ms().saturating_sub(boot_ms);
        let wall_ms = self.clock.wall_ms().min(wall_ms.saturating_add(passed_ms));
        for _ in 0..UPKEEP_STEPS {
            match self.sink.let_go(wall_ms) {
                Ok(gone) => {
                    Dropped::Collapsed.count(gone.collapsed);
                    Dropped::SpoolFull.count(gone.dropped);
                    if !gone.more {
                        break;
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    break;
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(names::HISTORY_SPOOL_BYTES).set(self.sink.bytes() as f64);
    }

    fn failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "history cannot be written: events are dropped and counted until it can");
        }
    }
}

/// What is appended together.
#[derive(Default)]
struct Group {
    events: Vec<Event>,
    documents: Vec<Document>,
    named: BTreeSet<BodyHash>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, note: &Note) {
        let (event, document) = said::event(note);
        self.bytes += event.body.len();
        self.events.push(event);
        if let Some(document) = document
            && self.named.insert(document.hash)
        {
            self.bytes += document.body.len();
            self.documents.push(document);
        }
    }
}

#[cfg(test)]
mod tests;
