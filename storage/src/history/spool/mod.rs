//! What happened on this node, on its own disk: a queue to Postgres, or the history itself where there is none.
//!
//! ```text
//!  append ─▶ [ stream 3 │ 1 2 3 … appended ]   one stream a start of the node, numbers from 1
//!  flush  ─▶             ╰── flushed ──╯        only these are read, exported and found
//!  trim, expire, shrink_to ─▶ what goes, by rule; a document goes with the last event that names it
//! ```
//! Nothing is kept in memory but the end of the stream that is written: whatever is asked comes from the keys of
//! `keys`. An event, its places in the indexes and the count of its document are one batch, and batches reach
//! the disk in order, so a crash takes an end of the stream and never leaves a hole or a half.

mod change;
mod keys;
mod open;
mod query;
mod read;
mod remove;
mod shrink;
mod write;

pub use open::{Limits, Spool, Stream};
pub use read::Page;
pub use remove::Removed;
pub use shrink::{Keep, Shrunk};
