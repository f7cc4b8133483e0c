//! The admin listener's content: REST, health and metrics over a [`backend::Backend`].
//!
//! Handlers extract, parse to the domain, authorise, propose once and map the outcome; they know neither
//! the consensus adapter nor sled nor OpAMP messages. The fleet decides everything; nothing here keeps
//! state of its own.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::attempts::Attempts;

mod agents;
mod answer;
mod audit;
pub mod auth;
pub mod backend;
mod cluster;
mod configurations;
mod dispatches;
mod enrollment_tokens;
mod extract;
mod freshness;
mod gauges;
mod groups;
pub mod idempotency;
mod openapi;
pub mod paging;
#[cfg(test)]
mod paging_tests;
mod precondition;
mod probes;
pub mod problem;
pub mod redact;
mod reject;
mod router;
mod serve;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod timestamp;
mod tokens;

pub(crate) use agents::shape::{status_name, transport_name};
pub(crate) use dispatches::{delivery_error, delivery_state};
pub use openapi::reference;
pub use router::{admin, probes_only};
pub use serve::serve;

/// What every handler has.
#[derive(Clone)]
pub struct Api {
    backend: Arc<dyn backend::Backend>,
    settings: Arc<settings::Settings>,
    /// One permit for each call under way; see `Limits::concurrent_calls`.
    calls: Arc<Semaphore>,
    snapshots: Arc<cluster::snapshots::Snapshots>,
    /// Clients that showed tokens which do not work.
    attempts: Arc<Attempts>,
}

impl Api {
    /// REST over a node.
    #[must_use]
    pub fn new(backend: Arc<dyn backend::Backend>, settings: settings::Settings) -> Api {
        let calls = Arc::new(Semaphore::new(settings.limits.concurrent_calls));
        let snapshots = Arc::new(cluster::snapshots::Snapshots::new(&settings.limits));
        Api {
            backend,
            settings: Arc::new(settings),
            calls,
            snapshots,
            attempts: Arc::default(),
        }
    }

    /// Drops snapshots whose time is over, until `stop`.
    pub async fn sweep_snapshots(self, stop: CancellationToken) {
        cluster::snapshots::sweep(self, stop).await;
    }
}
