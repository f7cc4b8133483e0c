//! What agents say, and when they come and go, on its way to history.
//!
//! ```text
//! sessions ──note──▶ [`queue`] (memory, bounded) ──▶ [`writer`] (a thread) ──[`said`] makes JSON──▶ spool (disk)
//! spool ──▶ [`mod@postgres`], where there is one       operators ◀── [`past`] ◀── Postgres, and the spools of all nodes
//! ```
//! Nothing here is on the path of an agent: a session leaves a note and goes on, whatever becomes of it.

pub mod past;
pub mod postgres;
pub mod queue;
pub mod said;
pub mod writer;
