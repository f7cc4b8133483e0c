//! The past of agents: what they reported and when they came and went.
//!
//! ```text
//! sessions ─▶ Event ─▶ spool (this node, durable) ─▶ export ─▶ Postgres
//!                        └─ answers queries itself while there is no Postgres
//! ```
//! [`event`] is what is kept, [`query`] what is asked.

pub mod event;
pub mod query;
