//! The past of agents: what they reported and when they came and went.
//!
//! ```text
//! sessions ─▶ Event ─▶ spool (this node, durable) ─▶ export ─▶ Postgres
//!                        └─ answers queries itself while there is no Postgres
//! ```
//! [`event`] is what is kept, [`query`] what is asked, [`mod@spool`] where it lies on this node, [`export`] how it leaves.

pub mod event;
pub mod export;
pub mod query;
pub mod spool;
