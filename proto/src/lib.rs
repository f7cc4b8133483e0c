//! OpAMP on the wire, and the pure conversation with one agent. It knows no socket, no clock, no
//! randomness, no runtime and no other crate of ours: time and chance are arguments, effects are values.

pub mod wire;
