//! History in Postgres: how servers are reached, and what is written and read there.
//!
//! ```text
//! Options ─▶ Postgres ─┬─ primary() ─▶ Connection ─▶ Transaction ─▶ queries, each observed
//!                      ├─ reader()  ─▶ the same, on the replica while that is fresh
//!                      ├─ look()    ─▶ what is known of the replica
//!                      └─ migrate(), check() ─▶ the schema
//! ```
//! Nothing here is on the path of an agent: a server that is away, slow or full is an [`Error`] after a stated time, and
//! nothing else. No error, log line or `Debug` shows a password. Everything but migration works through a pooler that
//! gives each transaction another backend (pgbouncer in transaction mode): see [`pool::Transaction`].

pub mod address;
pub mod audit;
pub mod connect;
pub mod cursor;
pub mod days;
mod documents;
pub mod envelopes;
pub mod error;
pub mod export;
mod jsonb;
pub mod latest;
pub mod lease;
pub mod lineage;
pub mod partitions;
pub mod pool;
pub mod read;
pub mod reader;
mod refused;
mod repair;
pub mod retention;
mod rows;
pub mod schema;
pub mod sink;
pub mod storable;
pub mod tls;

use std::time::Duration;

pub use connect::Options;
pub use error::Error;
pub use pool::{Connection, PoolStatus, Postgres, Purpose, Transaction};
pub use rows::Move;
pub use tls::Tls;

/// Which server a query went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Where history is written.
    Primary,
    /// Where it is read, when that is another server.
    Replica,
}

impl Target {
    /// The value of the label `target`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Who is told of every query, and whose clock times it.
pub trait Observer: Send + Sync + 'static {
    /// Time that never goes back, from any moment on.
    fn now(&self) -> Duration;

    /// A query came to its end, well or not. Queries have few names.
    fn query(&self, name: &'static str, target: Target, seconds: f64);
}
