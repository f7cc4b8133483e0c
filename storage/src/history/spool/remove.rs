//! Events that go because they are exported, or too old.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::change::{Change, Placed};
use super::keys::{self, Place};
use super::open::{Spool, Writer, forget, is_empty};
use crate::codec::{Kind, decode};
use crate::history::event::{Event, StreamId};
use crate::parts;

/// Events that are removed before appends get their turn.
const CHUNK_EVENTS: usize = 256;

/// Bytes of events that are held to be removed, unless one has more.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What a bounded step of removing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events that went.
    pub events: u64,
    /// Whether another step would find more.
    pub more: bool,
}

/// An event that is about to go.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) place: Place,
    pub(super) event: Event,
    /// As it is stored.
    pub(super) bytes: usize,
}

/// What becomes of an event that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Take,
    Leave,
    Stop,
}

impl Spool {
    /// Removes the events of a stream up to `upto`: they are elsewhere. A bounded step. An earlier stream that
    /// becomes empty is forgotten.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn trim(&self, stream: StreamId, upto: u64) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let Some(ordinal) = self.ordinal(stream)? else {
            return Ok(removed);
        };
        let from = Place { ordinal, seq: 0 };
        let upto = Place {
            ordinal,
            seq: upto.min(self.readable(ordinal)),
        };
        for _ in 0..self.chunks() {
            let mut writer = self.writer.lock();
            let going = self.oldest(from, upto, self.chunk(), |_| Pick::Take)?;
            removed.more = !going.is_empty();
            if !removed.more {
                self.forget_empty(&mut writer, ordinal)?;
                break;
            }
            removed.events += going.len() as u64;
            self.remove(&mut writer, &going)?;
        }
        Ok(removed)
    }

    /// Removes events whose wall time is before `before_ms`, by their time, whatever their number. A bounded step.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn expire(&self, before_ms: u64) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let (from, to) = keys::times(before_ms);
        for _ in 0..self.chunks() {
            let mut writer = self.writer.lock();
            let page = self.kv.range(&from, &to, self.chunk())?;
            removed.more = !page.is_empty();
            if !removed.more {
                break;
            }
            let mut going = Vec::new();
            for (key, _) in page {
                let (_, place) = keys::time_of(&key)?;
                going.push(self.going(place)?.ok_or_else(missing)?);
            }
            removed.events += going.len() as u64;
            self.remove(&mut writer, &going)?;
        }
        Ok(removed)
    }

    /// Events of one chunk.
    pub(super) fn chunk(&self) -> usize {
        CHUNK_EVENTS.min(self.limits.step_events).max(1)
    }

    /// Chunks of one step.
    pub(super) fn chunks(&self) -> usize {
        self.limits.step_events.div_ceil(self.chunk()).max(1)
    }

    /// The event of a place, to be removed.
    pub(super) fn going(&self, place: Place) -> io::Result<Option<Going>> {
        let found = self.event_of(place)?;
        Ok(found.map(|(event, bytes)| Going {
            place,
            event,
            bytes,
        }))
    }

    /// The first events from `from` up to `upto`, of those that `pick` takes: a chunk, or fewer when they are large.
    /// Whoever removes them has the writer from here on.
    pub(super) fn oldest(
        &self,
        from: Place,
        upto: Place,
        limit: usize,
        mut pick: impl FnMut(&Going) -> Pick,
    ) -> io::Result<Vec<Going>> {
        let mut going = Vec::new();
        let mut held = 0;
        let to = Place {
            seq: upto.seq.saturating_add(1),
            ..upto
        };
        parts::walk(
            &*self.kv,
            &keys::event(from),
            &keys::event(to),
            |key, value| {
                let one = Going {
                    place: keys::event_place(key)?,
                    event: decode(Kind::SpooledEvent, &value)?,
                    bytes: value.len(),
                };
                match pick(&one) {
                    Pick::Take => {
                        held += one.bytes;
                        going.push(one);
                    }
                    Pick::Leave => {}
                    Pick::Stop => return Ok(false),
                }
                Ok(going.len() < limit && held < CHUNK_BYTES)
            },
        )?;
        Ok(going)
    }

    /// Removes events, and streams that become empty by that.
    pub(super) fn remove(&self, writer: &mut Writer, going: &[Going]) -> io::Result<()> {
        writer.removals += 1;
        let mut streams = BTreeMap::new();
        let mut change = Change::new(self, writer);
        for one in going {
            let ordinal = one.place.ordinal;
            let stream = match streams.get(&ordinal) {
                Some(stream) => *stream,
                None => {
                    let stream = self.stream(ordinal)?.ok_or_else(missing)?.id;
                    streams.insert(ordinal, stream);
                    stream
                }
            };
            let document = match one.event.document {
                Some(hash) => change.goes(hash)?,
                None => None,
            };
            if change.is_full(Change::cost(one.bytes, document)) {
                self.commit_removal(&mut change, writer)?;
            }
            change.remove(&Placed {
                place: one.place,
                stream,
                event: &one.event,
                bytes: one.bytes,
            })?;
        }
        self.commit_removal(&mut change, writer)?;
        let ordinals: BTreeSet<u32> = streams.into_keys().collect();
        for ordinal in ordinals {
            self.forget_empty(writer, ordinal)?;
        }
        Ok(())
    }

    fn commit_removal(&self, change: &mut Change<'_>, writer: &mut Writer) -> io::Result<()> {
        let _alone = self.reading.write();
        change.commit(writer)
    }

    fn forget_empty(&self, writer: &mut Writer, ordinal: u32) -> io::Result<()> {
        if ordinal == self.ordinal || !is_empty(&*self.kv, ordinal)? {
            return Ok(());
        }
        if let Some(stream) = self.stream(ordinal)? {
            let mut ops = Vec::new();
            forget(&*self.kv, &mut ops, ordinal, stream.id)?;
            self.kv.batch(ops)?;
        }
        writer.sent.remove(&ordinal);
        Ok(())
    }
}

fn missing() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "an index of the history spool names what is not there",
    )
}
