//! From the spool into a sink, exactly once.
//!
//! How far the sink has got with a stream stands in the sink itself and changes with what it holds in one
//! transaction, so whoever asks it first never repeats and never skips. [`sink`] is what a sink must do, [`step`] the loop over it.

pub mod sink;
pub mod step;

pub use sink::{Batch, Cursors, Sink, SinkError};
pub use step::{ExportLimits, Exporter, Progress};
