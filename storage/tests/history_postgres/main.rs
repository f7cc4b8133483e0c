//! What history writes into real Postgres servers and reads from them.

mod chain;
mod data;
mod days;
mod exactly_once;
mod hostile;
mod newest;
mod pages;
#[path = "../../../tests/support/postgres/mod.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod postgres;
mod proxy;
mod retention;
