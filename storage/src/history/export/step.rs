//! The loop over a sink: what to send next, and what may go from the spool.

use std::collections::BTreeMap;
use std::io;

use ampora_raft::ids::InstanceUid;

use super::sink::{Batch, Cursors, Sink, SinkError};
use crate::history::event::{EventKind, Spooled, StreamId};
use crate::history::spool::{Spool, Stream};

/// Streams that are looked at in a step: the oldest come first and are forgotten when they are done.
const STREAMS_MAX: usize = 64;

/// A batch that fails is halved so often at most.
const HALVINGS_MAX: u32 = 6;

/// How much goes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportLimits {
    /// Events of a batch.
    pub events: usize,
    /// Bytes of the events and documents of a batch, unless the first has more.
    pub bytes: usize,
    /// Events that are folded into one write of the latest state.
    pub latest_events: u64,
    /// Steps after which the latest state of a stream is written though fewer events wait for it.
    pub latest_steps: u32,
}

impl Default for ExportLimits {
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 8 * 1024 * 1024,
            latest_events: 100_000,
            latest_steps: 8,
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events that the sink has now and had not before.
    pub exported: u64,
    /// Events that the sink had and has no more, and that the spool has not either; at most: some may have been dropped
    /// and counted before.
    pub set_back: u64,
    /// Whether the next step finds something to do at once.
    pub more: bool,
}

/// What is known of one stream.
#[derive(Clone, Copy, Debug)]
struct Known {
    cursors: Cursors,
    /// Steps since the latest state was behind.
    waited: u32,
}

/// Exports one spool into one sink. It remembers the cursors of the sink while all goes well, and asks again after
/// every error.
#[derive(Debug)]
pub struct Exporter {
    limits: ExportLimits,
    known: BTreeMap<StreamId, Known>,
    /// Events that the sink has, and that no step has told of.
    untold: u64,
    /// The same of those that are gone from there.
    set_back: u64,
    /// Where the cursor of each stream stood last, also before an error.
    stood: BTreeMap<StreamId, u64>,
    /// Batches are smaller by so many halvings: one may have been too large for the time that it has.
    halvings: u32,
    /// The numbers of a batch whose answer was lost: the cursor will say which of them the sink has.
    unsure: Option<(StreamId, Vec<u64>)>,
}

impl Exporter {
    /// Knows nothing yet.
    pub fn new(limits: ExportLimits) -> Self {
        Self {
            limits,
            known: BTreeMap::new(),
            untold: 0,
            set_back: 0,
            stood: BTreeMap::new(),
            halvings: 0,
            unsure: None,
        }
    }

    /// What waits for the latest state goes with the next steps, however little it is.
    pub fn settle(&mut self) {
        for known in self.known.values_mut() {
            known.waited = self.limits.latest_steps;
        }
    }

    /// Does the next thing: sends one batch of the oldest stream that has something flushed to send, or the latest
    /// state where enough waits for it, and trims what the sink has of both. Reads of the spool block for some
    /// milliseconds.
    ///
    /// The latest state is never ahead of the events. Whoever also shrinks the spool does it between steps.
    ///
    /// # Errors
    /// Fails when the sink or the spool does. The next step then asks for the cursors again, because what failed may
    /// have been written.
    pub async fn step(&mut self, spool: &Spool, sink: &dyn Sink) -> Result<Progress, SinkError> {
        match self.try_step(spool, sink).await {
            Ok(more) => Ok(Progress {
                exported: std::mem::take(&mut self.untold),
                set_back: std::mem::take(&mut self.set_back),
                more,
            }),
            Err(error) => {
                self.known.clear();
                Err(error)
            }
        }
    }

    /// Whether there may be more to do.
    async fn try_step(&mut self, spool: &Spool, sink: &dyn Sink) -> Result<bool, SinkError> {
        let streams = spool.streams(STREAMS_MAX)?;
        self.known
            .retain(|id, _| streams.iter().any(|stream| stream.id == *id));
        self.stood
            .retain(|id, _| streams.iter().any(|stream| stream.id == *id));
        for stream in streams {
            let mut known = self.known(spool, sink, stream).await?;
            let more = self.step_of(spool, sink, stream, &mut known).await?;
            self.known.insert(stream.id, known);
            if more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn known(
        &mut self,
        spool: &Spool,
        sink: &dyn Sink,
        stream: Stream,
    ) -> Result<Known, SinkError> {
        if let Some(known) = self.known.get(&stream.id) {
            return Ok(*known);
        }
        let cursors = sink.cursors(stream).await?;
        if let Some((_, numbers)) = self.unsure.take_if(|(id, _)| *id == stream.id) {
            let there = numbers.iter().filter(|seq| **seq <= cursors.events);
            self.untold += there.count() as u64;
        }
        self.look_back(spool, stream, cursors.events)?;
        spool.sent(stream.id, cursors.events)?;
        Ok(Known { cursors, waited: 0 })
    }

    /// One batch of a stream, of events or of the latest state; true when there was one.
    async fn step_of(
        &mut self,
        spool: &Spool,
        sink: &dyn Sink,
        stream: Stream,
        known: &mut Known,
    ) -> Result<bool, SinkError> {
        let is_sent = self.send_events(spool, sink, stream, known).await?;
        let lag = known.cursors.events.saturating_sub(known.cursors.latest);
        known.waited = match lag {
            0 => 0,
            _ => known.waited.saturating_add(1),
        };
        let is_over = !is_sent && stream.id != spool.current().id;
        let is_due = lag > 0
            && (is_over
                || lag >= self.limits.latest_events
                || known.waited >= self.limits.latest_steps);
        if is_due {
            self.send_latest(spool, sink, stream, known).await?;
            known.waited = 0;
        }
        let done = known.cursors.events.min(known.cursors.latest);
        let trimmed = spool.trim(stream.id, done)?;
        Ok(is_sent || is_due || trimmed.more)
    }

    /// Sends the next events; false when there are none.
    async fn send_events(
        &mut self,
        spool: &Spool,
        sink: &dyn Sink,
        stream: Stream,
        known: &mut Known,
    ) -> Result<bool, SinkError> {
        let from = known.cursors.events;
        let events = (self.limits.events >> self.halvings).max(1);
        let bytes = self.limits.bytes >> self.halvings;
        let read = || spool.read_whole(stream.id, from, events, bytes);
        let removals = spool.removals();
        let mut page = read()?;
        let Some(last) = page.events.last() else {
            return Ok(false);
        };
        let upto = last.seq;
        spool.sending(stream.id, upto)?;
        if spool.removals() != removals {
            // some of it may have been shrunk away after it was read; from here on that is left alone
            page = read()?;
            page.events.retain(|one| one.seq <= upto);
        }
        let batch = Batch {
            stream,
            from,
            upto,
            events: &page.events,
            documents: &page.documents,
        };
        let numbers = page.events.iter().map(|event| event.seq);
        let cursor = match sink.write_events(batch).await {
            Ok(cursor) => cursor,
            Err(error) => {
                self.unsure = Some((stream.id, numbers.collect()));
                self.halvings = (self.halvings + 1).min(HALVINGS_MAX);
                return Err(error);
            }
        };
        self.halvings = self.halvings.saturating_sub(1);
        self.look_back(spool, stream, cursor)?;
        self.untold += numbers.filter(|seq| *seq <= cursor).count() as u64;
        spool.sent(stream.id, cursor)?;
        known.cursors.events = cursor;
        check_moved(from, cursor)?;
        Ok(true)
    }

    /// Notes where a cursor stands. Where it stood further, what the spool has not kept since is gone.
    fn look_back(&mut self, spool: &Spool, stream: Stream, cursor: u64) -> io::Result<()> {
        let Some(stood) = self.stood.insert(stream.id, cursor) else {
            return Ok(());
        };
        if cursor < stood {
            let rest = spool.read_whole(stream.id, cursor, 1, 0)?;
            let first = rest.events.first().map_or(stood + 1, |event| event.seq);
            self.set_back += first.min(stood + 1) - (cursor + 1);
        }
        Ok(())
    }

    /// Sends the last event of each agent and kind among those that the sink has as events.
    async fn send_latest(
        &self,
        spool: &Spool,
        sink: &dyn Sink,
        stream: Stream,
        known: &mut Known,
    ) -> Result<(), SinkError> {
        let from = known.cursors.latest;
        let (upto, events) = self.fold(spool, stream, known.cursors)?;
        let batch = Batch {
            stream,
            from,
            upto,
            events: &events,
            documents: &[],
        };
        known.cursors.latest = sink.write_latest(batch).await?;
        check_moved(from, known.cursors.latest)
    }

    /// The last event of each agent and kind behind the cursor of the latest state, in the order of their numbers,
    /// and the number up to which that is so.
    fn fold(
        &self,
        spool: &Spool,
        stream: Stream,
        cursors: Cursors,
    ) -> io::Result<(u64, Vec<Spooled>)> {
        let mut latest: BTreeMap<(InstanceUid, EventKind), Spooled> = BTreeMap::new();
        let mut at = cursors.latest;
        let (mut looked, mut bytes) = (0, 0);
        while looked < self.limits.latest_events && bytes < self.limits.bytes {
            let page = spool.read(stream.id, at, self.limits.events, self.limits.bytes)?;
            let before = at;
            for one in page {
                if one.seq > cursors.events {
                    break;
                }
                at = one.seq;
                looked += 1;
                bytes += keep_later(&mut latest, one);
            }
            if at == before {
                // what is left up to there went by rule
                at = cursors.events;
                break;
            }
        }
        let mut events: Vec<Spooled> = latest.into_values().collect();
        events.sort_unstable_by_key(|one| one.seq);
        Ok((at, events))
    }
}

/// Keeps the later event of an agent and kind, and answers by how many bytes the map grew.
fn keep_later(latest: &mut BTreeMap<(InstanceUid, EventKind), Spooled>, one: Spooled) -> usize {
    let rank = |one: &Spooled| (one.event.fence, one.event.at_ms, one.seq);
    let key = (one.event.agent, one.event.kind);
    let held = latest.get(&key);
    if held.is_some_and(|held| rank(held) > rank(&one)) {
        return 0;
    }
    let before = held.map_or(0, |held| held.event.body.len());
    let bytes = one.event.body.len();
    latest.insert(key, one);
    bytes.saturating_sub(before)
}

/// A cursor that moved neither way would be asked for ever.
fn check_moved(from: u64, cursor: u64) -> Result<(), SinkError> {
    if cursor == from {
        return Err(format!("the sink has not moved its cursor from {from}").into());
    }
    Ok(())
}
