//! What the node says about itself: names of metrics, logs.

pub mod metrics;
pub mod names;
