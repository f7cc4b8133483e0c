//! The admin listener's content: REST, health and metrics over a [`backend::Backend`].
//!
//! Handlers extract, parse to the domain, authorise, propose once and map the outcome; they know neither
//! the consensus adapter nor sled nor OpAMP messages. The fleet decides everything; nothing here keeps
//! state of its own.

pub mod backend;
