//! What a server refused although it looked storable: other encodings, other versions, limits of its own. The body
//! that it is about is found by halves and escaped; the batch goes on with all its rows.

use std::borrow::Cow;

use tokio_postgres::types::Type;

use super::days;
use super::jsonb::Jsonb;
use super::storable::{escaped, storable, with_time};
use super::{Connection, Error, Purpose};
use crate::history::event::Spooled;

/// Bodies of a batch that are looked for one by one; beyond that all of it is escaped.
const FOUND_MAX: usize = 8;

/// The events of a batch and which of them are escaped because the server would not have them.
pub(super) struct Bodies<'a> {
    events: &'a [Spooled],
    forced: Vec<bool>,
    found: usize,
}

impl<'a> Bodies<'a> {
    pub(super) fn of(events: &'a [Spooled]) -> Self {
        Self {
            events,
            forced: vec![false; events.len()],
            found: 0,
        }
    }

    /// The body of an event as its row has it, which stands at this time.
    pub(super) fn body(&self, at: usize, placed_ms: u64) -> Cow<'a, str> {
        let event = &self.events[at].event;
        let is_moved = placed_ms != event.at_ms;
        match (self.forced[at], is_moved) {
            (false, false) => storable(&event.body),
            (false, true) => Cow::Owned(with_time(&event.body, event.at_ms)),
            (true, false) => Cow::Owned(escaped(&event.body, None)),
            (true, true) => Cow::Owned(escaped(&event.body, Some(&days::text(event.at_ms)))),
        }
    }

    fn own(&self, at: usize) -> Cow<'a, str> {
        self.body(at, self.events[at].event.at_ms)
    }

    /// Escapes one more body, or all. Gives the error back when there is nothing left to escape.
    pub(super) async fn repair(
        &mut self,
        connection: &mut Connection,
        error: Error,
    ) -> Result<(), Error> {
        if !error.is_about_data() || self.forced.iter().all(|forced| *forced) {
            return Err(error);
        }
        self.found += 1;
        match self.refused(connection).await? {
            Some(at) if self.found <= FOUND_MAX => self.forced[at] = true,
            Some(_) | None => self.forced.fill(true),
        }
        Ok(())
    }

    /// One body that the server refuses.
    async fn refused(&self, connection: &mut Connection) -> Result<Option<usize>, Error> {
        let (mut from, mut to) = (0, self.events.len());
        if self.takes(connection, from, to).await? {
            return Ok(None);
        }
        while to - from > 1 {
            let middle = from.midpoint(to);
            if self.takes(connection, from, middle).await? {
                from = middle;
            } else {
                to = middle;
            }
        }
        Ok(Some(from))
    }

    async fn takes(
        &self,
        connection: &mut Connection,
        from: usize,
        to: usize,
    ) -> Result<bool, Error> {
        let bodies: Vec<_> = (from..to).map(|at| Jsonb(self.own(at))).collect();
        let tx = connection.begin(Purpose::Write).await?;
        let (sql, bodies) = ("SELECT cardinality($1)", (&bodies as _, Type::JSONB_ARRAY));
        match tx.query("probe", sql, &[bodies]).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_about_data() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
