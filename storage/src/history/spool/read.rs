//! Events go out, in the order of their stream.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use ampora_raft::ids::BodyHash;

use super::keys::{self, Place};
use super::open::Spool;
use crate::codec::{Kind, decode};
use crate::history::event::{Document, Event, Spooled, StreamId};
use crate::parts;

/// Some of a stream, with the documents that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their numbers.
    pub events: Vec<Spooled>,
    /// Each once, as far as they are there.
    pub documents: Vec<Document>,
}

impl Spool {
    /// Flushed events of a stream behind `after`: at most `events_max`, and no more than `bytes_max` unless the first
    /// is larger. None of a stream that is gone.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn read(
        &self,
        stream: StreamId,
        after: u64,
        events_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<Spooled>> {
        Ok(self
            .page(stream, after, events_max, bytes_max, false)?
            .events)
    }

    /// Like [`Spool::read`], with the documents, whose bytes count as well.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn read_whole(
        &self,
        stream: StreamId,
        after: u64,
        events_max: usize,
        bytes_max: usize,
    ) -> io::Result<Page> {
        self.page(stream, after, events_max, bytes_max, true)
    }

    fn page(
        &self,
        stream: StreamId,
        after: u64,
        events_max: usize,
        bytes_max: usize,
        with_documents: bool,
    ) -> io::Result<Page> {
        let mut page = Page::default();
        let Some(ordinal) = self.ordinal(stream)? else {
            return Ok(page);
        };
        let end = self.readable(ordinal);
        if events_max == 0 || after >= end {
            return Ok(page);
        }
        let from = keys::event(Place {
            ordinal,
            seq: after + 1,
        });
        let to = keys::event(Place {
            ordinal,
            seq: end + 1,
        });
        let mut bytes = 0;
        let mut seen = BTreeSet::new();
        let _reading = self.reading.read();
        parts::walk(&*self.kv, &from, &to, |key, value| {
            let place = keys::event_place(key)?;
            let event: Event = decode(Kind::SpooledEvent, &value)?;
            bytes += value.len();
            let mut document = None;
            if let (true, Some(hash)) = (with_documents, event.document)
                && !seen.contains(&hash)
            {
                document = self.document_of(hash)?;
                bytes += document.as_ref().map_or(0, |it| it.body.len());
            }
            if bytes > bytes_max && !page.events.is_empty() {
                return Ok(false);
            }
            seen.extend(event.document);
            page.documents.extend(document);
            page.events.push(Spooled {
                seq: place.seq,
                event,
            });
            Ok(page.events.len() < events_max)
        })?;
        Ok(page)
    }

    /// A document that an event names.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn document(&self, hash: BodyHash) -> io::Result<Option<Document>> {
        let _reading = self.reading.read();
        self.document_of(hash)
    }

    fn document_of(&self, hash: BodyHash) -> io::Result<Option<Document>> {
        let Some(text) = parts::get(&*self.kv, &keys::document(hash))? else {
            return Ok(None);
        };
        let body = String::from_utf8(text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Document {
            hash,
            body: Arc::from(body),
        }))
    }

    /// The event of a place.
    pub(super) fn event(&self, place: Place) -> io::Result<Option<Event>> {
        let _reading = self.reading.read();
        Ok(self.event_of(place)?.map(|(event, _)| event))
    }

    /// The event of a place with the bytes that it has in the store.
    pub(super) fn event_of(&self, place: Place) -> io::Result<Option<(Event, usize)>> {
        let Some(sealed) = parts::get(&*self.kv, &keys::event(place))? else {
            return Ok(None);
        };
        Ok(Some((decode(Kind::SpooledEvent, &sealed)?, sealed.len())))
    }
}
