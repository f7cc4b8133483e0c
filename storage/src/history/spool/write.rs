//! Events come in.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;

use ampora_raft::ids::BodyHash;

use super::change::{Change, Placed};
use super::keys::Place;
use super::open::Spool;
use crate::codec::{Kind, encode};
use crate::history::event::{DOCUMENT_BYTES_MAX, Document, EVENT_BYTES_MAX, Event};

impl Spool {
    /// Adds events to the stream, in their order. They can be read after [`Spool::flush`]; a crash before it takes
    /// the last ones, never one before another that stays.
    ///
    /// `documents` are those that `events` name, as far as whoever calls has them: one that is there already costs a
    /// look, one that no event names is not kept.
    ///
    /// # Errors
    /// Fails when the store does; then the first of `events` may have been added. Fails on an event or document over
    /// its limit, and an empty document, before anything is added.
    pub fn append(&self, events: &[Event], documents: &[Document]) -> io::Result<()> {
        check(events, documents)?;
        let documents: BTreeMap<BodyHash, &Document> = documents
            .iter()
            .map(|document| (document.hash, document))
            .collect();
        let mut writer = self.writer.lock();
        let mut change = Change::new(self, &writer);
        let mut seq = writer.appended;
        for event in events {
            let sealed = encode(Kind::SpooledEvent, event)?;
            let mut document = None;
            if let Some(hash) = event.document
                && !change.is_kept(hash)?
            {
                document = documents.get(&hash).copied();
            }
            let cost = Change::cost(sealed.len(), document.map(|it| it.body.len()));
            if change.is_full(cost) {
                change.commit(&mut writer)?;
                writer.appended = seq;
            }
            seq += 1;
            let placed = Placed {
                place: Place {
                    ordinal: self.ordinal,
                    seq,
                },
                stream: self.current.id,
                event,
                bytes: sealed.len(),
            };
            change.add(&placed, &sealed, document)?;
        }
        change.commit(&mut writer)?;
        writer.appended = seq;
        Ok(())
    }

    /// Waits until all events so far have reached the disk, and answers the number of the last one.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn flush(&self) -> io::Result<u64> {
        let appended = self.writer.lock().appended;
        self.kv.flush()?;
        self.flushed.fetch_max(appended, Ordering::AcqRel);
        Ok(self.flushed())
    }
}

fn check(events: &[Event], documents: &[Document]) -> io::Result<()> {
    let largest = events.iter().map(|event| event.body.len()).max();
    if let Some(bytes) = largest.filter(|bytes| *bytes > EVENT_BYTES_MAX) {
        return Err(refused(format!("an event of {bytes} bytes")));
    }
    let mut sizes = documents.iter().map(|document| document.body.len());
    if let Some(bytes) = sizes.find(|bytes| *bytes == 0 || *bytes > DOCUMENT_BYTES_MAX) {
        return Err(refused(format!("a document of {bytes} bytes")));
    }
    Ok(())
}

fn refused(what: String) -> io::Error {
    let message = format!("{what} is not kept in history");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
