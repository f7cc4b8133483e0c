//! The handle through which everybody else speaks to the log. It stamps proposals with fleet time, bounds
//! every wait, and turns openraft's errors into five that say what the caller may do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::storage::RaftLogStorage;
use openraft::{BasicNode, Raft};
use parking_lot::Mutex;

use super::keep::{Kept, LogLimits};
use super::machine::Machine;
use super::network::Network;
use super::ports::{EffectSink, NoPeers, PeerNetwork, RowStore, Timings};
use super::propose::PROPOSE_DEADLINE;
use super::renewals::Renewals;
use super::serve::Incoming;
use super::settings::settings;
use super::type_config::{Runtime, TypeConfig};
use crate::fleet::Fleet;
use crate::ids::NodeId;
use crate::planted::{self, Bug};
use crate::time::{Clock, Stamper};

/// Steps of a purge in one period: with 4 MiB or 512 entries each, more than a log can grow in it.
const PURGE_STEPS: usize = 16;

/// How often fleet time is stamped while nothing is proposed, so that a stall is told from quiet.
const STAMP_PERIOD: Duration = Duration::from_millis(500);

/// What consensus needs to know of its node.
#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    /// The node.
    pub node: NodeId,
    /// Where peers reach it.
    pub address: String,
    /// For election timers: any number.
    pub seed: u64,
    /// How much of the log stays.
    pub log: LogLimits,
    /// What a node without a log does.
    pub begin: Begin,
    /// `dispatch.ownership_ttl_seconds`: how long a node is live without a renewal.
    pub liveness_ttl: Duration,
    /// How other nodes are reached.
    pub network: Arc<dyn PeerNetwork>,
}

impl ConsensusConfig {
    /// A node that founds a cluster and has no peers.
    pub fn alone(node: NodeId, address: String, seed: u64, log: LogLimits) -> Self {
        Self {
            node,
            address,
            seed,
            log,
            begin: Begin::Found,
            liveness_ttl: Duration::from_secs(10),
            network: Arc::new(NoPeers),
        }
    }
}

/// What a node without a log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Becomes a cluster of one.
    Found,
    /// Waits for the leader of the cluster that it was admitted to.
    Join,
}

/// Why the log did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The rows could not be loaded.
    #[error("cannot load the fleet from its rows")]
    Load(#[source] io::Error),
    /// The log could not be read.
    #[error("cannot read the log")]
    Log(#[source] io::Error),
    /// openraft refused.
    #[error("cannot start consensus: {0}")]
    Raft(String),
}

/// The fleet at an index.
#[derive(Debug)]
pub struct View {
    /// Everything that is replicated.
    pub fleet: Fleet,
    /// The last entry in it.
    pub applied_index: u64,
}

/// The handle; clones speak to the same log.
#[derive(Clone)]
pub struct Consensus {
    pub(super) raft: Raft<TypeConfig, Machine>,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) store: Arc<dyn RowStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timings: Arc<dyn Timings>,
    pub(super) network: Arc<dyn PeerNetwork>,
    /// Renewals of liveness leases that wait for the next tick of this leader.
    pub(super) renewals: Arc<Renewals>,
    pub(super) incoming: Arc<Mutex<Incoming>>,
    /// Boot time at which the leader spoke to this node last, or a quorum confirmed this leader; 0 before either.
    pub(super) contact_ms: Arc<AtomicU64>,
    kept: Arc<Mutex<Kept>>,
    stamper: Arc<Mutex<Option<(u64, Stamper)>>>,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus")
            .field("applied", &self.view.load().applied_index)
            .finish_non_exhaustive()
    }
}

impl Consensus {
    /// Starts the log of one node on the current runtime, which should have nothing else to do. A store
    /// without a log becomes a cluster of one, or waits to be told of the one that it joins.
    ///
    /// # Errors
    /// Fails when the log or the rows cannot be read.
    pub async fn start<L>(
        config: ConsensusConfig,
        mut log: L,
        store: Arc<dyn RowStore>,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn EffectSink>,
        timings: Arc<dyn Timings>,
    ) -> Result<Self, StartError>
    where
        L: RaftLogStorage<TypeConfig>,
    {
        let state = log.get_log_state().await.map_err(StartError::Log)?;
        let last = state.last_log_id.as_ref().map_or(0, |id| id.index);
        let fresh = state.last_log_id.is_none();
        let mut machine = Machine::load(store.clone(), sink, last).map_err(StartError::Load)?;
        let kept = machine.keep(config.log);
        let view = machine.view();
        let settings = Arc::new(settings()?);
        let node = config.node.0;
        let network = Network(config.network.clone());
        let raft = Runtime::scope(config.seed, async move {
            Raft::new(node, settings, network, log, machine).await
        })
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
        if fresh && config.begin == Begin::Found {
            let members = BTreeMap::from([(node, BasicNode::new(config.address))]);
            raft.initialize(members)
                .await
                .map_err(|error| StartError::Raft(error.to_string()))?;
        } else if raft
            .metrics()
            .borrow_watched()
            .membership_config
            .voter_ids()
            .eq([node])
        {
            // nobody else can lead: there is no election to wait for
            raft.trigger()
                .elect(false)
                .await
                .map_err(|error| StartError::Raft(error.to_string()))?;
        }
        Ok(Self {
            raft,
            view,
            store,
            clock,
            timings,
            network: config.network,
            renewals: Arc::new(Renewals::new(config.node, config.liveness_ttl)),
            incoming: Arc::default(),
            contact_ms: Arc::default(),
            kept,
            stamper: Arc::default(),
        })
    }

    /// The fleet as this node has applied it.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Fleet time as an entry would be stamped at this moment; stands still while this node does not lead.
    pub fn fleet_time_ms(&self) -> u64 {
        let applied_ms = self.view.load().fleet.meta().time_ms;
        let (term, leads) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            (
                metrics.current_term,
                metrics.current_leader == Some(metrics.id),
            )
        };
        let mut stamper = self.stamper.lock();
        if !leads {
            *stamper = None;
            return applied_ms;
        }
        if planted::is(Bug::WallClock) {
            return self.clock.wall_ms();
        }
        let boot_ms = self.clock.boot_ms();
        match &mut *stamper {
            Some((of_term, stamper)) if *of_term == term => stamper.stamp(boot_ms),
            other => {
                let mut fresh = Stamper::new(applied_ms, boot_ms);
                let stamp = fresh.stamp(boot_ms);
                *other = Some((term, fresh));
                stamp
            }
        }
    }

    /// Lets fleet time pass while nothing is proposed, and the log be no longer than it may. Never ends; the
    /// caller drops it.
    pub async fn keep_time(self) {
        let mut period = tokio::time::interval(STAMP_PERIOD);
        loop {
            period.tick().await;
            self.fleet_time_ms();
            if self.purge_surplus().await.is_err() {
                // whoever waits for the failure of consensus hears of it
                return;
            }
        }
    }

    /// Purges in steps, each behind what the log has to do otherwise. Rows that are flushed up to there are
    /// a snapshot already, which costs a flush at most.
    async fn purge_surplus(&self) -> Result<(), Fatal<TypeConfig>> {
        if planted::is(Bug::LogKept) {
            return Ok(());
        }
        let status = self.status();
        let mut purged = status.purged_index;
        for _ in 0..PURGE_STEPS {
            let surplus = self.kept.lock().surplus(purged);
            let surplus = if planted::is(Bug::PurgeBeyondRows) {
                // as if a snapshot were durable once it is taken
                self.raft.trigger().snapshot().await?;
                Some(status.snapshot_index).filter(|taken| *taken > purged)
            } else {
                surplus
            };
            let Some(upto) = surplus else {
                return Ok(());
            };
            if status.snapshot_index < upto {
                return self.raft.trigger().snapshot().await;
            }
            self.raft.trigger().purge_log(upto).await?;
            purged = upto;
        }
        Ok(())
    }

    /// Waits until consensus has failed, and says why: the process should then end. `None` when it was told
    /// to stop.
    pub async fn failed(&self) -> Option<String> {
        let mut metrics = self.raft.metrics();
        loop {
            match &metrics.borrow_watched().running_state {
                Ok(()) => {}
                Err(Fatal::Stopped) => return None,
                Err(fatal) => return Some(fatal.to_string()),
            }
            if metrics.changed().await.is_err() {
                return Some("consensus is gone".to_owned());
            }
        }
    }

    /// Stops after what was acknowledged is durable.
    pub async fn shutdown(&self) {
        let applied = self.view.load().applied_index;
        let durable = self.store.wait_durable(applied);
        if !matches!(
            tokio::time::timeout(PROPOSE_DEADLINE, durable).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("rows were not flushed before the end: the log has them");
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end in order");
        }
    }
}
