//! How a node speaks about itself: logs, and its metrics with their names.

pub mod logs;
pub mod metrics;
pub mod names;
