//! The work of the hot path, the same for benches and for counting instructions: heartbeats through a session, and
//! batches of reports through the fleet. It depends on the two pure crates alone, so that it builds quickly.

pub mod apply;
pub mod session;
