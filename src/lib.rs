//! Ampora: a control plane for fleets of telemetry agents that speak OpAMP. This crate is the edges and the
//! wiring of one node; what is decided is decided in the rooms below it.

pub mod agents;
pub mod api;
pub mod attempts;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doors;
pub mod entropy;
pub mod history;
pub mod node;
pub mod opamp;
pub mod peer;
pub mod secrets;
pub mod simulate;
pub mod sockets;
pub mod tasks;
pub mod telemetry;
pub mod trust;
