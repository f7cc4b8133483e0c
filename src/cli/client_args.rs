//! Arguments of the commands that talk to a running node.

use clap::Subcommand;

/// A command for a running node.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {}
