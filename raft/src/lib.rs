//! The replicated fleet: a pure state machine and its openraft adapter.
//!
//! [`fleet`] is the machine: `apply(entry)` is a function of state and entry. [`records`], [`proposal`],
//! [`outcome`] and [`effect`] are its vocabulary, [`selector`] the language that chooses agents, [`time`]
//! the stamping of entries. [`consensus`] is the only room that names openraft. Nothing here knows that
//! OpAMP, HTTP or sled exist.

pub mod consensus;
pub mod effect;
pub mod fleet;
pub mod ids;
pub mod outcome;
pub mod planted;
pub mod proposal;
pub mod records;
pub mod rows;
pub mod selector;
pub mod time;
