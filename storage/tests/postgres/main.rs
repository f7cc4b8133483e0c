//! History in Postgres, against real servers of every version that is supported.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod connections;
mod harness;
mod pooled;
#[path = "../../../tests/support/postgres/mod.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod postgres;
mod reading;
mod schema;
mod tls;
mod watcher;
