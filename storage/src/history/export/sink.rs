//! Where history goes. A sink is transactional: of a batch everything takes effect together with the cursor, or
//! nothing does.

use std::error::Error;

use futures_util::future::BoxFuture;

use crate::history::event::{Document, Spooled};
use crate::history::spool::Stream;

/// Why a sink did not answer. What it was asked may have taken effect.
pub type SinkError = Box<dyn Error + Send + Sync>;

/// How far a sink has got in one stream: the last number that it has, 0 where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    /// Of the events.
    pub events: u64,
    /// Of the latest state of each agent.
    pub latest: u64,
}

/// Some of a stream, in the order of its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Which stream, and the node that wrote it.
    pub stream: Stream,
    /// The cursor as the exporter knows it: all numbers of `events` are larger.
    pub from: u64,
    /// The cursor afterwards: no number of `events` is larger. Numbers in between that are not in `events` are gone.
    pub upto: u64,
    /// The events: of [`Sink::write_events`] all that are left; of [`Sink::write_latest`] the last of each agent and
    /// kind, by fence, time and number.
    pub events: &'a [Spooled],
    /// The documents that `events` name, each once, as far as they are there; none with [`Sink::write_latest`].
    pub documents: &'a [Document],
}

/// Where history goes, with two cursors of its own for each stream.
///
/// Both writes lock the cursor of the stream and look at it first:
/// - it is `from`: everything is written, the cursor becomes `upto`;
/// - it is beyond `from` (a batch whose answer was lost): events up to it are skipped, the others written, and the
///   cursor becomes the larger of itself and `upto`;
/// - it is before `from` (the sink was set back): nothing is written.
///
/// They answer the cursor as it then is. Whoever asks trims its spool by that answer.
pub trait Sink: Send + Sync {
    /// The cursors of a stream, zeros where it was never heard of.
    ///
    /// # Errors
    /// Fails when the sink does not answer.
    fn cursors(&self, stream: Stream) -> BoxFuture<'_, Result<Cursors, SinkError>>;

    /// Adds events, and documents that are not there yet; answers the cursor of the events.
    ///
    /// # Errors
    /// Fails when the sink does not answer; the batch may have been written.
    fn write_events<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>>;

    /// Replaces what is known of agents where the batch has newer, by fence, then time; equal ones count as newer.
    /// Answers the cursor of the latest state.
    ///
    /// # Errors
    /// Fails when the sink does not answer; the batch may have been written.
    fn write_latest<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>>;
}
