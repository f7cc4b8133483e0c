//! A transactional sink in memory that fails before or after it has taken what it was given.

use std::collections::{BTreeMap, BTreeSet};

use ampora_raft::ids::{BodyHash, InstanceUid};
use ampora_storage::history::event::{Event, EventKind, StreamId};
use ampora_storage::history::export::{Batch, Cursors, Sink, SinkError};
use ampora_storage::history::spool::Stream;
use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

/// When the next request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing has happened.
    Before,
    /// Everything has happened.
    After,
}

/// An event by its number.
pub(crate) type Place = (StreamId, u64);

pub(crate) type Latest = BTreeMap<(InstanceUid, EventKind), (Place, Event)>;

#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// In the order in which they came; nothing forbids that one comes twice.
    pub(crate) events: Vec<(StreamId, u64, Event)>,
    pub(crate) latest: Latest,
    pub(crate) documents: BTreeSet<BodyHash>,
    pub(crate) cursors: BTreeMap<StreamId, Cursors>,
    /// How often it was asked for cursors.
    pub(crate) asked: usize,
    /// How many requests still succeed before the fault.
    pub(crate) fault: Option<(u8, Fault)>,
}

/// The sink.
#[derive(Debug, Default)]
pub(crate) struct ModelSink {
    pub(crate) tables: Mutex<Tables>,
}

/// The later of two wins, the one that comes second where they are equal.
pub(crate) fn keep_later(latest: &mut Latest, place: Place, event: &Event) {
    let key = (event.agent, event.kind);
    let held = latest.get(&key);
    if held.is_none_or(|(_, held)| (held.fence, held.at_ms) <= (event.fence, event.at_ms)) {
        latest.insert(key, (place, event.clone()));
    }
}

impl Tables {
    pub(crate) fn cursors(&self, stream: StreamId) -> Cursors {
        self.cursors.get(&stream).copied().unwrap_or_default()
    }

    fn faulty<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, SinkError> {
        let fault = match &mut self.fault {
            Some((0, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        match fault {
            None => Ok(work(self)),
            Some(Fault::Before) => Err("the sink is away".into()),
            Some(Fault::After) => {
                work(self);
                Err("the answer is lost".into())
            }
        }
    }

    fn write_events(&mut self, batch: Batch<'_>) -> u64 {
        let mut cursors = self.cursors(batch.stream.id);
        let numbers = batch.events.iter().map(|one| one.seq);
        assert!(numbers.clone().is_sorted_by(|a, b| a < b), "in order");
        assert!(
            numbers
                .clone()
                .all(|seq| seq > batch.from && seq <= batch.upto)
        );
        if cursors.events < batch.from {
            return cursors.events;
        }
        let hashes: BTreeSet<BodyHash> = batch.documents.iter().map(|one| one.hash).collect();
        assert_eq!(hashes.len(), batch.documents.len(), "each once");
        self.documents.extend(hashes);
        for one in batch.events.iter().filter(|one| one.seq > cursors.events) {
            let named = one.event.document;
            assert!(
                named.is_none_or(|hash| self.documents.contains(&hash)),
                "{} comes without its document",
                one.seq
            );
            let row = (batch.stream.id, one.seq, one.event.clone());
            self.events.push(row);
        }
        cursors.events = cursors.events.max(batch.upto);
        self.cursors.insert(batch.stream.id, cursors);
        cursors.events
    }

    fn write_latest(&mut self, batch: Batch<'_>) -> u64 {
        let mut cursors = self.cursors(batch.stream.id);
        let numbers = batch.events.iter().map(|one| one.seq);
        assert!(numbers.clone().is_sorted_by(|a, b| a < b), "in order");
        assert!(
            numbers
                .clone()
                .all(|seq| seq > batch.from && seq <= batch.upto)
        );
        assert!(batch.upto <= cursors.events, "not ahead of the events");
        if cursors.latest < batch.from {
            return cursors.latest;
        }
        for one in batch.events.iter().filter(|one| one.seq > cursors.latest) {
            keep_later(&mut self.latest, (batch.stream.id, one.seq), &one.event);
        }
        cursors.latest = cursors.latest.max(batch.upto);
        self.cursors.insert(batch.stream.id, cursors);
        cursors.latest
    }
}

impl Sink for ModelSink {
    fn cursors(&self, stream: Stream) -> BoxFuture<'_, Result<Cursors, SinkError>> {
        let answer = self.tables.lock().faulty(|tables| {
            tables.asked += 1;
            tables.cursors(stream.id)
        });
        ready(answer).boxed()
    }

    fn write_events<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        let answer = self
            .tables
            .lock()
            .faulty(|tables| tables.write_events(batch));
        ready(answer).boxed()
    }

    fn write_latest<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        let answer = self
            .tables
            .lock()
            .faulty(|tables| tables.write_latest(batch));
        ready(answer).boxed()
    }
}
