//! The node: edges and wiring around the protocol, the replicated fleet and their storage.

pub mod opamp;
pub mod tasks;
pub mod telemetry;
