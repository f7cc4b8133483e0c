//! Simulated agents over real sockets: load, and a fleet to try things on.
//!
//! They speak as a supervisor does, apply
//! what they are offered, and restart when told. They know nothing of the server but its address.

mod agent;
mod crowd;
mod plan;
mod socket;
mod tally;

pub use crowd::{Crowd, Progress};
pub use plan::{BAD, Plan, PlanError, Profile};
pub use tally::Summary;
