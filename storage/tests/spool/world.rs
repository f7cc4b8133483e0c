//! One node with its disk, and a sink; and beside them what must be true of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_storage::history::event::{Event, StreamId};
use ampora_storage::history::export::{ExportLimits, Exporter, Progress, SinkError};
use ampora_storage::history::spool::{Keep, Limits, Spool};
use ampora_storage::kv::CrashKv;
use futures_util::FutureExt;

use super::events::documents_of;
use super::sink::{Fault, Latest, ModelSink, Place, keep_later};

#[derive(Debug)]
pub(crate) struct World {
    disk: CrashKv,
    /// A copy of the disk that was made earlier.
    copy: Option<CrashKv>,
    spool: Spool,
    limits: Limits,
    sink: ModelSink,
    exporter: Exporter,
    export_limits: ExportLimits,
    streams: u128,
    /// Everything that was appended and not lost in a crash.
    appended: BTreeMap<Place, Event>,
    /// How many of the current stream.
    count: u64,
    /// Up to where each stream is durable, as it was told.
    flushed: BTreeMap<StreamId, u64>,
    /// What shrinking said that it took.
    counted: BTreeSet<Place>,
    /// What a copy of the disk that came back did not have.
    gone: BTreeSet<Place>,
    /// What the latest state must be, given what was there to be folded.
    latest: Latest,
    /// Whether a copy of the disk has come back. It has once more what was counted before, and does not know what was
    /// sent.
    is_copy: bool,
    /// Whether a step failed or a crash took its outcome, so that nobody knows what the sink has.
    doubt: bool,
    /// Whether everything still counts for the latest state.
    whole: bool,
}

fn open(disk: &CrashKv, number: u128, limits: Limits) -> Spool {
    Spool::open(Arc::new(disk.clone()), NodeId(1), StreamId(number), limits).expect("opens")
}

impl World {
    pub(crate) fn new(limits: Limits, export_limits: ExportLimits) -> Self {
        let disk = CrashKv::default();
        Self {
            spool: open(&disk, 1, limits),
            copy: None,
            disk,
            limits,
            sink: ModelSink::default(),
            exporter: Exporter::new(export_limits),
            export_limits,
            streams: 1,
            appended: BTreeMap::new(),
            count: 0,
            flushed: BTreeMap::new(),
            counted: BTreeSet::new(),
            gone: BTreeSet::new(),
            latest: Latest::new(),
            is_copy: false,
            doubt: false,
            whole: true,
        }
    }

    pub(crate) fn append(&mut self, events: &[Event]) {
        self.spool
            .append(events, &documents_of(events))
            .expect("kept");
        for event in events {
            self.count += 1;
            let place = (self.spool.current().id, self.count);
            self.appended.insert(place, event.clone());
        }
    }

    pub(crate) fn flush(&mut self) {
        assert_eq!(self.spool.flush().expect("flushed"), self.count);
        self.heard_flushed();
    }

    fn heard_flushed(&mut self) {
        let id = self.spool.current().id;
        self.flushed.insert(id, self.spool.flushed());
    }

    fn flushed(&self, stream: StreamId) -> u64 {
        self.flushed.get(&stream).copied().unwrap_or(0)
    }

    /// Another process opens the disk, with what the one before left.
    pub(crate) fn reopen(&mut self) {
        self.streams += 1;
        self.spool = open(&self.disk, self.streams, self.limits);
        self.exporter = Exporter::new(self.export_limits);
        (self.doubt, self.count) = (true, 0);
        self.settle();
    }

    pub(crate) fn crash(&mut self, survivors: usize) {
        self.disk.crash(survivors);
        self.reopen();
    }

    /// Somebody copies what the disk has for sure.
    pub(crate) fn copy(&mut self) {
        self.copy = Some(self.disk.after_crash(0));
    }

    /// The copy of the disk comes back in place of what there is.
    pub(crate) fn restore(&mut self) {
        let Some(copy) = &self.copy else { return };
        self.disk = copy.after_crash(0);
        self.is_copy = true;
        self.reopen_restored();
    }

    fn reopen_restored(&mut self) {
        self.streams += 1;
        self.spool = open(&self.disk, self.streams, self.limits);
        self.exporter = Exporter::new(self.export_limits);
        (self.doubt, self.whole) = (true, false);
        self.count = 0;
        let there = self.there();
        let exported = self.exported();
        for (stream, seq) in &there {
            let flushed = self.flushed.entry(*stream).or_default();
            *flushed = (*flushed).max(*seq);
        }
        let flushed = &self.flushed;
        self.appended
            .retain(|(stream, seq), _| flushed.get(stream).is_some_and(|last| seq <= last));
        for place in self.appended.keys() {
            let has = self.sink.tables.lock().cursors(place.0).events;
            if there.contains(place) && place.1 > has {
                // it comes again, and is exported or counted again
                self.counted.remove(place);
            } else if !exported.contains(place) && !self.counted.contains(place) {
                self.gone.insert(*place);
            }
        }
    }

    /// After a crash: what is left of the stream that was written is a prefix with all that was flushed.
    fn settle(&mut self) {
        let there = self.there();
        let of_before = StreamId(self.streams - 1);
        let last = there.range((of_before, 0)..=(of_before, u64::MAX)).last();
        let last = last.map_or(0, |(_, seq)| *seq);
        let durable = last.max(self.flushed(of_before));
        self.appended
            .retain(|(stream, seq), _| *stream != of_before || *seq <= durable);
        self.flushed.insert(of_before, durable);
    }

    /// What can be read of the spool.
    fn there(&self) -> BTreeSet<Place> {
        let mut places = BTreeSet::new();
        for stream in self.spool.streams(usize::MAX).expect("read") {
            assert_eq!(stream.node, NodeId(1));
            let read = self.spool.read(stream.id, 0, usize::MAX, usize::MAX);
            for one in read.expect("read") {
                let place = (stream.id, one.seq);
                assert_eq!(self.appended.get(&place), Some(&one.event), "{place:?}");
                places.insert(place);
            }
        }
        places
    }

    fn exported(&self) -> BTreeSet<Place> {
        let tables = self.sink.tables.lock();
        let places: BTreeSet<Place> = tables
            .events
            .iter()
            .map(|(stream, seq, _)| (*stream, *seq))
            .collect();
        assert_eq!(places.len(), tables.events.len(), "an event came twice");
        places
    }

    pub(crate) fn fail_sink(&mut self, fault: Option<(u8, Fault)>) {
        self.sink.tables.lock().fault = fault;
    }

    pub(crate) fn export(&mut self) -> Result<Progress, SinkError> {
        let there = self.there();
        let before: BTreeMap<StreamId, u64> = {
            let tables = self.sink.tables.lock();
            let cursors = tables.cursors.iter();
            cursors.map(|(id, cursors)| (*id, cursors.latest)).collect()
        };
        let step = self.exporter.step(&self.spool, &self.sink);
        let progress = step.now_or_never().expect("the model does not wait");
        self.heard_flushed();
        match &progress {
            Ok(progress) => self.doubt &= progress.more,
            Err(_) => self.doubt = true,
        }
        let tables = self.sink.tables.lock();
        for (stream, seq) in there {
            let old = before.get(&stream).copied().unwrap_or(0);
            if seq > old && seq <= tables.cursors(stream).latest {
                let place = (stream, seq);
                keep_later(&mut self.latest, place, &self.appended[&place]);
            }
        }
        drop(tables);
        progress
    }

    pub(crate) fn shrink(&mut self, share: u64, keep: Keep) {
        let unflushed = |world: &Self| {
            let id = world.spool.current().id;
            let from = world.spool.flushed() + 1;
            (from..=world.count).map(move |seq| (id, seq))
        };
        let mut before = self.there();
        before.extend(unflushed(self));
        let cap = self.spool.bytes() * share / 8;
        let shrunk = self.spool.shrink_to(cap, keep).expect("shrinks");
        self.heard_flushed();
        let mut after = self.there();
        after.extend(unflushed(self));
        let removed: BTreeSet<Place> = before.difference(&after).copied().collect();
        let exported = self.exported();
        let lost: BTreeSet<Place> = removed.difference(&exported).copied().collect();
        let counted = shrunk.collapsed + shrunk.dropped;
        assert_eq!(counted + shrunk.exported, removed.len() as u64);
        if self.is_copy {
            let anew = lost.difference(&self.counted).count();
            assert!(counted >= anew as u64, "{lost:?}");
        } else {
            assert_eq!(counted, lost.len() as u64, "counted is what no sink has");
        }
        let last = self.last_ones(&removed, &after);
        self.whole &= last.is_empty();
        if shrunk.dropped == 0 && !self.is_copy {
            assert!(last.is_subset(&exported), "{last:?} were the last ones");
        }
        if !shrunk.more {
            assert!(self.spool.bytes() <= cap || self.doubt || after.is_empty());
        }
        self.counted.extend(lost);
    }

    /// Of what was removed, what is older neither than another, there or removed, nor than what the sink knows.
    fn last_ones(&self, removed: &BTreeSet<Place>, after: &BTreeSet<Place>) -> BTreeSet<Place> {
        let latest = &self.sink.tables.lock().latest;
        let is_last = |place: &&Place| {
            let event = &self.appended[*place];
            let rank = (event.fence, event.at_ms, **place);
            let is_newer = |place: &Place| {
                let other = &self.appended[place];
                other.agent == event.agent
                    && other.kind == event.kind
                    && (other.fence, other.at_ms, *place) > rank
            };
            let held = latest.get(&(event.agent, event.kind));
            let is_known =
                held.is_some_and(|(place, held)| (held.fence, held.at_ms, *place) >= rank);
            !is_known && !after.union(removed).any(is_newer)
        };
        removed.iter().filter(is_last).copied().collect()
    }

    /// What is true at any moment.
    pub(crate) fn check(&self) {
        let there = self.there();
        let exported = self.exported();
        let unflushed = self.count - self.spool.flushed();
        assert_eq!(self.spool.events(), there.len() as u64 + unflushed);
        for (stream, seq) in &exported {
            assert!(*seq <= self.flushed(*stream), "{seq} was not flushed");
        }
        for (stream, seq, event) in &self.sink.tables.lock().events {
            assert_eq!(self.appended.get(&(*stream, *seq)), Some(event));
        }
        for place in self.appended.keys() {
            let is_flushed = place.1 <= self.flushed(place.0);
            let homes = [&there, &exported, &self.counted, &self.gone];
            let is_somewhere = homes.iter().any(|home| home.contains(place));
            assert!(is_somewhere || !is_flushed, "{place:?} is lost");
            if exported.contains(place) {
                assert!(
                    !self.counted.contains(place),
                    "{place:?} is there and counted"
                );
            }
        }
        assert_eq!(self.sink.tables.lock().latest, self.latest);
    }

    /// All goes well until there is nothing more to do.
    pub(crate) fn drain(&mut self) {
        self.fail_sink(None);
        self.flush();
        let mut idle = 0;
        for _ in 0..10_000 {
            let progress = self.export().expect("nothing fails");
            self.check();
            idle = if progress.more { 0 } else { idle + 1 };
            if idle > self.export_limits.latest_steps {
                break;
            }
        }
        assert!(idle > 0, "it ends");
        assert_eq!((self.spool.events(), self.spool.bytes()), (0, 0));
        let streams = self.spool.streams(9).expect("read");
        assert_eq!(streams, [self.spool.current()], "others are forgotten");
        use ampora_storage::kv::Kv;
        let left = self.disk.range(b"a", b"z", 99).expect("read");
        let left: Vec<u8> = left.into_iter().map(|(key, _)| key[0]).collect();
        let of_stream = left.iter().filter(|letter| !b"nx".contains(letter));
        assert!(of_stream.eq(b"is") && left.len() <= 4, "{left:?} is left");
        if self.whole {
            let mut all = Latest::new();
            for (place, event) in &self.appended {
                keep_later(&mut all, *place, event);
            }
            assert_eq!(self.sink.tables.lock().latest, all);
        }
    }
}
