//! Ampora: a control plane for fleets of telemetry agents that speak OpAMP. This crate is the edges and the
//! wiring of one node; what is decided is decided in the rooms below it.

pub mod cli;
pub mod config;
pub mod node;
pub mod telemetry;
