//! What the node says about itself: names of metrics, logs.

pub mod names;
