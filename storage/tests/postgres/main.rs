//! History in Postgres, against real servers of every version that is supported.

mod harness;
#[path = "../../../tests/support/postgres/mod.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod postgres;
