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
mod members;
mod network;
mod offload;
mod ports;
mod propose;
mod reads;
mod renewals;
mod serve;
mod settings;
mod snapshot;
mod status;
pub mod type_config;
mod wire;

pub use handle::{Begin, Consensus, ConsensusConfig, StartError, View};
pub use keep::LogLimits;
pub use machine::Machine;
pub use members::{MemberStep, Standing};
pub use ports::{
    AppliedState, Change, EffectSink, Loaded, NoPeers, PeerNetwork, RowStore, Timings,
};
pub use propose::{Committed, ProposeError};
pub use snapshot::SnapshotData;
pub use status::{CONTACT_MAX_MS, Progress, RaftStatus};
pub use wire::{MESSAGE_BYTES_MAX, RaftRequest, RaftResponse};
