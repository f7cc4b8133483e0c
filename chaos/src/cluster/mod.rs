//! A node as a process: the production code of the log, the fleet, its rows and its agents, started on a simulated
//! machine with seams instead of sockets, threads and files.

mod disk;
mod duty;
mod peers;
mod process;
mod sockets;
mod watched;

pub use process::{Place, live};
