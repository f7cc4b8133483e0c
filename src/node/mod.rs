//! A node from start to stop: opens its store, joins its log, registers its incarnation, serves agents and
//! operators, and leaves in order. The one place where the rooms are wired together.

pub mod admin_token;
mod backend;
mod banner;
mod doors;
mod drain;
mod gauges;
mod health;
pub mod identity;
mod join;
pub mod origin;
mod run;

pub use backend::NodeBackend;
pub use run::{RunError, run};
