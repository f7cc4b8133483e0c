//! History in Postgres.

pub mod cursor;
pub mod days;
mod documents;
pub mod error;
pub mod export;
mod jsonb;
pub mod latest;
pub mod lease;
pub mod partitions;
mod repair;
pub mod storable;
