//! How a node speaks about itself: logs, and its metrics with their names.

pub mod dispatches;
pub mod frames;
pub mod history;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod peers;
