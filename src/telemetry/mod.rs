//! How a node speaks about itself: logs and the names of its metrics.

pub mod logs;
