//! Changes of a spool, put into batches: an event goes in and out with its places in the indexes, the count of its
//! document, and the totals.

use std::collections::BTreeMap;
use std::io;

use ampora_raft::ids::BodyHash;

use super::keys::{self, Named, Place, Totals};
use super::open::{Spool, Writer};
use crate::history::event::{Document, Event, StreamId};
use crate::history::query::Position;
use crate::kv::Op;
use crate::parts;

/// What an event takes besides its text: keys, envelopes, its place in both indexes.
const EVENT_BYTES: u64 = 160;

/// What a document takes besides its text.
const DOCUMENT_BYTES: u64 = 90;

/// An event and where it lies.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) place: Place,
    pub(super) stream: StreamId,
    pub(super) event: &'a Event,
    /// As it is stored.
    pub(super) bytes: usize,
}

/// A batch that is being put together.
#[derive(Debug)]
pub(super) struct Change<'a> {
    spool: &'a Spool,
    ops: Vec<Op>,
    named: BTreeMap<BodyHash, Named>,
    /// The count that was read last, if it is not in `named`.
    looked: Option<(BodyHash, Named)>,
    totals: Totals,
}

impl<'a> Change<'a> {
    pub(super) fn new(spool: &'a Spool, writer: &Writer) -> Self {
        Self {
            spool,
            ops: Vec::new(),
            named: BTreeMap::new(),
            looked: None,
            totals: writer.totals,
        }
    }

    /// Changes so far, with the counts that [`Change::commit`] adds.
    pub(super) fn len(&self) -> usize {
        self.ops.len() + self.named.len()
    }

    /// Whether another `ops` changes should wait for the next batch.
    pub(super) fn is_full(&self, ops: usize) -> bool {
        self.len() > 0 && self.len() + ops > self.spool.limits.batch_ops
    }

    fn named(&mut self, hash: BodyHash) -> io::Result<Named> {
        if let Some(named) = self.named.get(&hash) {
            return Ok(*named);
        }
        if let Some((looked, named)) = self.looked
            && looked == hash
        {
            return Ok(named);
        }
        let value = self.spool.kv.get(&keys::count(hash))?;
        let named = value.map_or(Ok(Named::default()), |value| Named::read(&value))?;
        self.looked = Some((hash, named));
        Ok(named)
    }

    fn set_named(&mut self, hash: BodyHash, named: Named) {
        self.looked = None;
        self.named.insert(hash, named);
    }

    /// Changes of an event at most: its parts, its places, its count, and its document when that comes or goes.
    pub(super) fn cost(bytes: usize, document: Option<usize>) -> usize {
        parts::count(bytes) + 3 + document.map_or(0, parts::count)
    }

    /// Whether a document is there.
    pub(super) fn is_kept(&mut self, hash: BodyHash) -> io::Result<bool> {
        Ok(self.named(hash)?.bytes.is_some())
    }

    /// The bytes of a document that goes with one event more.
    pub(super) fn goes(&mut self, hash: BodyHash) -> io::Result<Option<usize>> {
        let named = self.named(hash)?;
        let bytes = named.bytes.filter(|_| named.events == 1);
        Ok(bytes.and_then(|bytes| usize::try_from(bytes).ok()))
    }

    /// Adds an event, `sealed` as it is stored, and its document unless that is there.
    pub(super) fn add(
        &mut self,
        placed: &Placed<'_>,
        sealed: &[u8],
        document: Option<&Document>,
    ) -> io::Result<()> {
        let event = placed.event;
        parts::put_new(&mut self.ops, &keys::event(placed.place), sealed)?;
        let value = keys::agent_value(placed.place.ordinal, event.fence);
        self.ops.push(Op::Put(agent_key(placed), value));
        let time = keys::time(event.at_ms, placed.place);
        self.ops.push(Op::Put(time, Vec::new()));
        self.totals.events += 1;
        self.totals.bytes += EVENT_BYTES + placed.bytes as u64;
        let Some(hash) = event.document else {
            return Ok(());
        };
        let mut named = self.named(hash)?;
        named.events += 1;
        if let (None, Some(document)) = (named.bytes, document) {
            let text = document.body.as_bytes();
            let bytes = u32::try_from(text.len()).map_err(io::Error::other)?;
            parts::put_new(&mut self.ops, &keys::document(hash), text)?;
            named.bytes = Some(bytes);
            self.totals.bytes += DOCUMENT_BYTES + u64::from(bytes);
        }
        self.set_named(hash, named);
        Ok(())
    }

    /// Removes an event, and its document if no other event names it.
    pub(super) fn remove(&mut self, placed: &Placed<'_>) -> io::Result<()> {
        let event = placed.event;
        let key = keys::event(placed.place);
        for part in 0..parts::count(placed.bytes) {
            self.ops.push(Op::Remove(parts::part_key(&key, part)?));
        }
        self.ops.push(Op::Remove(agent_key(placed)));
        let time = keys::time(event.at_ms, placed.place);
        self.ops.push(Op::Remove(time));
        self.totals.events = self.totals.events.saturating_sub(1);
        self.forget_bytes(EVENT_BYTES + placed.bytes as u64);
        let Some(hash) = event.document else {
            return Ok(());
        };
        let mut named = self.named(hash)?;
        named.events = named.events.saturating_sub(1);
        if let (0, Some(bytes)) = (named.events, named.bytes) {
            parts::remove(&*self.spool.kv, &mut self.ops, &keys::document(hash))?;
            self.forget_bytes(DOCUMENT_BYTES + u64::from(bytes));
        }
        self.set_named(hash, named);
        Ok(())
    }

    fn forget_bytes(&mut self, bytes: u64) {
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
    }

    /// Makes the changes, and begins the next batch.
    pub(super) fn commit(&mut self, writer: &mut Writer) -> io::Result<()> {
        if self.ops.is_empty() {
            return Ok(());
        }
        let mut ops = std::mem::take(&mut self.ops);
        for (hash, named) in std::mem::take(&mut self.named) {
            let key = keys::count(hash);
            ops.push(match named.events {
                0 => Op::Remove(key),
                _ => Op::Put(key, named.value()),
            });
        }
        ops.push(Op::Put(keys::TOTALS.to_vec(), self.totals.value()));
        self.spool.kv.batch(ops)?;
        writer.totals = self.totals;
        Ok(())
    }
}

fn agent_key(placed: &Placed<'_>) -> Vec<u8> {
    let position = Position {
        at_ms: placed.event.at_ms,
        stream: placed.stream,
        seq: placed.place.seq,
    };
    keys::agent(placed.event.agent, placed.event.kind, position)
}
