//! The command line: what was typed, turned into a call of the room that does it, and its end into an exit code.

pub mod args;
pub mod client_args;
