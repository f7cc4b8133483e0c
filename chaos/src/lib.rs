//! Deterministic simulation of a whole cluster: the production code of three or five nodes with simulated machines,
//! networks, agents and operators, in one process, from one seed.
//!
//! [`world`] is a run, [`machine`], [`clocks`] and [`network`] what fails in it by [`nemesis`]; [`cluster`] starts the
//! production code on it, [`people`] use it, and [`invariants`] says what must be true. [`sweep`] runs many, and
//! [`same`] one twice.

pub mod book;
pub mod clocks;
pub mod cluster;
pub mod dice;
pub mod invariants;
mod judge;
pub mod machine;
pub mod nemesis;
pub mod network;
pub mod people;
pub mod planted;
pub mod same;
pub mod seat;
pub mod sweep;
pub mod world;
