//! A spool opens: what earlier starts left stays, and this start writes a stream of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ampora_raft::ids::NodeId;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::keys::{self, Place, Sent, Totals};
use super::shrink::Shrinking;
use crate::codec::{Kind, decode, encode};
use crate::history::event::StreamId;
use crate::history::query::Position;
use crate::kv::{Kv, Op};
use crate::parts;

/// Heads that are read at a time.
const HEADS_PAGE: usize = 256;

/// How much is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changes in a batch, if not one event alone takes more (it takes at most 300). The store holds a lock of the
    /// whole process while it applies one.
    pub batch_ops: usize,
    /// Events that one call of [`Spool::trim`], [`Spool::expire`] or [`Spool::shrink_to`] looks at.
    pub step_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_ops: 512,
            step_events: 4096,
        }
    }
}

/// A stream and the node that wrote it. As it is stored: no field is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its name.
    pub id: StreamId,
    /// Who wrote it.
    pub node: NodeId,
}

/// What one start of a node keeps of history, and what earlier starts left. One process has it.
#[derive(Debug)]
pub struct Spool {
    pub(super) kv: Arc<dyn Kv>,
    pub(super) limits: Limits,
    pub(super) current: Stream,
    pub(super) ordinal: u32,
    /// The last number that no crash takes.
    pub(super) flushed: AtomicU64,
    /// Whoever changes the store has it, because counts and totals are read and written.
    pub(super) writer: Mutex<Writer>,
    /// Whoever reads what is in parts has it, whoever removes has it alone. Appends need it not.
    pub(super) reading: RwLock<()>,
}

/// What changes with the store.
#[derive(Debug)]
pub(super) struct Writer {
    /// The last number of the stream that is written.
    pub(super) appended: u64,
    /// How often something went.
    pub(super) removals: u64,
    pub(super) totals: Totals,
    pub(super) shrinking: Shrinking,
    /// What is known of the sink, by stream: as it is stored.
    pub(super) sent: BTreeMap<u32, Sent>,
}

impl Spool {
    /// Opens the spool in `kv` and begins a stream. Its first number is 1; a number is given to one event only,
    /// because a stream is begun once.
    ///
    /// # Errors
    /// Fails when the store does, and when `stream` was begun before.
    pub fn open(
        kv: Arc<dyn Kv>,
        node: NodeId,
        stream: StreamId,
        limits: Limits,
    ) -> io::Result<Self> {
        if kv.get(&keys::id(stream))?.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("the history spool has a stream {stream} already"),
            ));
        }
        let ordinal = prepare(&*kv)?;
        let current = Stream { id: stream, node };
        let mut ops = vec![Op::Put(keys::id(stream), keys::id_value(ordinal))];
        let head = encode(Kind::HistoryStream, &current)?;
        parts::put_new(&mut ops, &keys::head(ordinal), &head)?;
        kv.batch(ops)?;
        // what the process before wrote may be read: it must not vanish after it was exported
        kv.flush()?;
        let totals = match kv.get(keys::TOTALS)? {
            Some(totals) => Totals::read(&totals)?,
            None => Totals::default(),
        };
        let sent = read_sent(&*kv)?;
        Ok(Self {
            kv,
            limits,
            current,
            ordinal,
            flushed: AtomicU64::new(0),
            writer: Mutex::new(Writer {
                appended: 0,
                removals: 0,
                totals,
                shrinking: Shrinking::default(),
                sent,
            }),
            reading: RwLock::default(),
        })
    }

    /// The stream that is written.
    pub fn current(&self) -> Stream {
        self.current
    }

    /// At most `limit` streams, oldest first; the last one may be empty, the others are not.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn streams(&self, limit: usize) -> io::Result<Vec<Stream>> {
        let mut streams = Vec::new();
        for_each_head(&*self.kv, |_, stream| {
            streams.push(stream);
            Ok(streams.len() < limit)
        })?;
        Ok(streams)
    }

    /// The last number of the current stream that was flushed.
    pub fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Roughly the bytes that keys and values have: of events, their places in indexes, and documents. sled takes three
    /// to nine times as much on the disk, and gives little of it back.
    pub fn bytes(&self) -> u64 {
        self.writer.lock().totals.bytes
    }

    /// How often events went, for whatever reason.
    pub(crate) fn removals(&self) -> u64 {
        self.writer.lock().removals
    }

    /// How many events there are, with those that are not flushed.
    pub fn events(&self) -> u64 {
        self.writer.lock().totals.events
    }

    /// The wall time of the oldest event that is there, in milliseconds since 1970.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn oldest_at_ms(&self) -> io::Result<Option<u64>> {
        let (from, to) = keys::all_times();
        let first = self.kv.range(&from, &to, 1)?;
        first
            .first()
            .map(|(key, _)| keys::time_of(key).map(|(at_ms, _)| at_ms))
            .transpose()
    }

    /// Where the event stands that was flushed last.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn latest(&self) -> io::Result<Option<Position>> {
        let end = keys::event(Place {
            ordinal: self.ordinal,
            seq: self.flushed() + 1,
        });
        let Some((key, _)) = self.kv.last(&keys::events().0, &end)? else {
            return Ok(None);
        };
        let place = keys::event_place(&key)?;
        // none as well when it goes at this moment
        let (event, stream) = (self.event(place)?, self.stream(place.ordinal)?);
        Ok(event.zip(stream).map(|(event, stream)| Position {
            at_ms: event.at_ms,
            stream: stream.id,
            seq: place.seq,
        }))
    }

    /// The stream of an ordinal.
    pub(super) fn stream(&self, ordinal: u32) -> io::Result<Option<Stream>> {
        let head = parts::get(&*self.kv, &keys::head(ordinal))?;
        head.map(|head| decode(Kind::HistoryStream, &head))
            .transpose()
    }

    /// The ordinal of a stream.
    pub(super) fn ordinal(&self, stream: StreamId) -> io::Result<Option<u32>> {
        let value = self.kv.get(&keys::id(stream))?;
        value.map(|value| keys::id_ordinal(&value)).transpose()
    }

    /// The last number of a stream that is read: the flushed one of this start, the last of others.
    pub(super) fn readable(&self, ordinal: u32) -> u64 {
        if ordinal == self.ordinal {
            self.flushed()
        } else {
            u64::MAX - 1
        }
    }
}

/// Forgets streams without events, and answers the ordinal of the next stream.
fn prepare(kv: &dyn Kv) -> io::Result<u32> {
    let mut next = 0;
    let mut ops = Vec::new();
    for_each_head(kv, |ordinal, stream| {
        next = ordinal
            .checked_add(1)
            .ok_or_else(|| io::Error::other("no stream may follow"))?;
        if is_empty(kv, ordinal)? {
            forget(kv, &mut ops, ordinal, stream.id)?;
        }
        if ops.len() >= HEADS_PAGE {
            kv.batch(std::mem::take(&mut ops))?;
        }
        Ok(true)
    })?;
    kv.batch(ops)?;
    Ok(next)
}

/// Whether a stream has no event.
pub(super) fn is_empty(kv: &dyn Kv, ordinal: u32) -> io::Result<bool> {
    let first = keys::event(Place { ordinal, seq: 0 });
    Ok(kv.range(&first, &keys::events_end(ordinal), 1)?.is_empty())
}

/// Adds the changes that forget a stream.
pub(super) fn forget(
    kv: &dyn Kv,
    ops: &mut Vec<Op>,
    ordinal: u32,
    stream: StreamId,
) -> io::Result<()> {
    parts::remove(kv, ops, &keys::head(ordinal))?;
    ops.push(Op::Remove(keys::id(stream)));
    ops.push(Op::Remove(keys::sent(ordinal)));
    Ok(())
}

fn for_each_head(
    kv: &dyn Kv,
    mut each: impl FnMut(u32, Stream) -> io::Result<bool>,
) -> io::Result<()> {
    let (from, to) = keys::heads();
    parts::walk(kv, &from, &to, |key, value| {
        each(keys::ordinal(key)?, decode(Kind::HistoryStream, &value)?)
    })
}

fn read_sent(kv: &dyn Kv) -> io::Result<BTreeMap<u32, Sent>> {
    let (mut from, to) = keys::all_sent();
    let mut sent = BTreeMap::new();
    loop {
        let page = kv.range(&from, &to, HEADS_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(sent);
        };
        from = [&last[..], &[0]].concat();
        for (key, value) in page {
            sent.insert(keys::ordinal(&key)?, Sent::read(&value)?);
        }
    }
}
