//! The agents that this node serves: who is there, what they said, what they should run and be told.
//!
//! Transports bring messages to [`connection`]; [`exchange`] lets the pure session of
//! `ampora_proto` decide and carries out what it asks for. [`batches`] takes claims, releases and reports
//! to the log; [`reconcile`] and [`delivery`] bring the fleet's wishes to sessions; [`timers`] lets time pass.

pub mod agent;
pub mod agent_types;
pub mod batches;
pub mod bodies;
pub mod budget;
pub mod changes;
pub mod claims;
pub mod confirmed;
pub mod connection;
pub mod convert;
pub mod delivery;
pub mod enrollment;
pub mod exchange;
pub mod forward;
pub mod full_states;
pub mod identity;
pub mod liveness;
pub mod notes;
pub mod offers;
pub mod pace;
pub mod reconcile;
pub mod registry;
pub mod reported;
pub mod reports;
pub mod rollout;
pub mod room;
pub mod sockets;
pub mod sweep;
pub mod takeovers;
#[cfg(test)]
pub(crate) mod testing;
pub mod timers;
pub mod wake;
