//! A disk that remembers in which order it was told what, so that a crash at any moment can be had later.

use std::io;
use std::sync::Arc;

use ampora_storage::kv::{CrashKv, Kv, Op, Pair};
use parking_lot::Mutex;

#[derive(Clone, Debug)]
enum Event {
    Batch(Vec<Op>),
    Flush,
}

/// The disk; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    began: CrashKv,
    now: CrashKv,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Tape {
    /// A disk that begins with what `began` holds.
    pub(crate) fn new(began: CrashKv) -> Self {
        Self {
            now: began.after_crash(0),
            began,
            events: Arc::default(),
        }
    }

    /// The moment after everything so far.
    pub(crate) fn moment(&self) -> usize {
        self.events.lock().len()
    }

    /// What is left of a crash at `moment`: all that was flushed before it, and of the batches behind that
    /// the share `survives` of 256.
    pub(crate) fn crash(&self, moment: usize, survives: u8) -> CrashKv {
        let events = self.events.lock();
        let past = &events[..moment];
        let flush = past.iter().rposition(|event| matches!(event, Event::Flush));
        let flushed = flush.map_or(0, |at| at + 1);
        let kept = flushed + (moment - flushed) * usize::from(survives) / 255;
        let left = self.began.after_crash(0);
        for event in &past[..kept] {
            if let Event::Batch(ops) = event {
                left.batch(ops.clone()).expect("it was one before");
            }
        }
        left.flush().expect("it is memory");
        left
    }
}

impl Kv for Tape {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.now.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        self.now.range(from, to, limit)
    }

    fn last(&self, from: &[u8], to: &[u8]) -> io::Result<Option<Pair>> {
        self.now.last(from, to)
    }

    fn batch(&self, ops: Vec<Op>) -> io::Result<()> {
        let mut events = self.events.lock();
        self.now.batch(ops.clone())?;
        events.push(Event::Batch(ops));
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut events = self.events.lock();
        self.now.flush()?;
        events.push(Event::Flush);
        Ok(())
    }
}
