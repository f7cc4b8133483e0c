//! The openraft adapter: proposals in, applied entries out. The only room of this crate that names openraft,
//! and none of its types leaves through [`Consensus`].
//!
//! ```text
//! propose ─▶ stamp ─▶ openraft ─▶ log (ampora-storage, flushed) ─▶ machine: Fleet::apply
//!                                        view ◀─ published ◀────────┤ rows staged for the store
//!                                        sink ◀─ effects ◀──────────┘ then the answer
//! ```

mod handle;
mod keep;
mod machine;
mod network;
mod ports;
mod snapshot;
pub mod type_config;

pub use handle::{
    Committed, Consensus, ConsensusConfig, ProposeError, RaftStatus, StartError, View,
};
pub use keep::LogLimits;
pub use machine::Machine;
pub use ports::{AppliedState, Change, EffectSink, Loaded, RowStore, Timings};
pub use snapshot::SnapshotData;
