//! The start of a node. It wires rooms together and decides nothing itself.

use std::future::{Future, ready};

use crate::config::Config;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// This build holds no node.
    #[error("this build of ampora holds no node")]
    NotBuilt,
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// When it cannot start, or ends otherwise than by a signal.
pub fn run(_config: Config) -> impl Future<Output = Result<(), RunError>> {
    ready(Err(RunError::NotBuilt))
}
