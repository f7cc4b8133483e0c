//! OpAMP on the wire, and the pure conversation with one agent. It knows no socket, no clock, no
//! randomness, no runtime and no other crate of ours: time and chance are arguments, effects are values.

pub mod attributes;
pub mod capabilities;
pub mod config;
pub mod frame;
pub mod identity;
pub mod session;
pub mod wire;

/// The 16 bytes by which an agent is known; any value but zero.
pub type InstanceUid = uuid::Uuid;
