//! How a starting node takes its place: the log on a small runtime of its own, the lineage at the very
//! first start, a new epoch at each, and the admin token.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{Consensus, ConsensusConfig, ProposeError, Timings};
use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::{Origin, Proposal, RegisterNode};
use ampora_raft::records::RolloutRules;
use ampora_raft::time::Clock;
use ampora_storage::store::Store;
use tokio::runtime::{Builder, Handle, Runtime};

use super::cluster::{Peering, Place};
use super::doors::{AgentsDoor, Doors};
use super::identity::Identity;
use super::run::RunError;
use super::{admin_token, origin};
use crate::agents::changes::Changes;
use crate::config::Config;
use crate::entropy;
use crate::telemetry::names;

/// A starting node may be ahead of its own leadership by a moment: how often and how long it tries.
const FIRST_PROPOSAL_TRIES: u32 = 50;
const FIRST_PROPOSAL_PAUSE: Duration = Duration::from_millis(100);

/// The first word about a cluster that does not answer comes after so long, each next one after twice the time,
const BELONG_WORD: Duration = Duration::from_secs(2);

/// and none after longer than this.
const BELONG_WORD_MAX: Duration = Duration::from_secs(32);

/// Where the log says how long things took.
struct Measured;

impl Timings for Measured {
    fn proposed(&self, took: Duration) {
        metrics::histogram!(names::RAFT_PROPOSE_DURATION).record(took.as_secs_f64());
    }
}

/// The log with the runtime that nothing else holds: heartbeats of the log wait for nobody (design §3).
#[derive(Debug)]
pub(super) struct Log {
    /// The handle.
    pub(super) consensus: Consensus,
    threads: Threads,
}

/// The threads of the log and of what it says to other nodes: nothing else holds them up.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn start() -> Result<Self, RunError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("raft")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| RunError::File {
            what: "the threads of the replicated log",
            source,
        })?;
        Ok(Self(Some(runtime)))
    }

    /// What starts tasks there; none once they have ended.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // a runtime must not be dropped inside another one's task
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Log {
    /// Opens the log of `store` on its own runtime.
    ///
    /// # Errors
    /// Fails when the runtime or the log does not start.
    pub(super) async fn start(
        config: ConsensusConfig,
        threads: Threads,
        store: &Store,
        clock: Arc<dyn Clock>,
        changes: Arc<Changes>,
    ) -> Result<Self, RunError> {
        let log = store.log();
        let rows = store.rows();
        let runtime = threads.handle().ok_or(ProposeError::Stopped)?.clone();
        let consensus = runtime
            .spawn(async move {
                Consensus::start(config, log, rows, clock, changes, Arc::new(Measured)).await
            })
            .await
            .map_err(|source| RunError::Panicked { source })??;
        runtime.spawn(consensus.clone().keep_time());
        runtime.spawn(consensus.clone().keep_leases());
        let watched = consensus.clone();
        runtime.spawn(async move {
            if let Some(why) = watched.failed().await {
                super::fatal("the replicated log failed", &why);
            }
        });
        Ok(Self { consensus, threads })
    }

    /// Ends the log after everything acknowledged is durable.
    pub(super) async fn stop(self) {
        self.consensus.shutdown().await;
        drop(self.threads);
    }
}

/// How the log begins on this node.
pub(super) fn consensus(
    config: &Config,
    place: Place,
    doors: &Doors,
    peering: &Peering,
) -> ConsensusConfig {
    ConsensusConfig {
        node: place.identity.node,
        address: doors.opamp_address.to_string(),
        seed: entropy::number(),
        log: config.cluster.log,
        begin: place.begin,
        liveness_ttl: config.dispatch.ownership_ttl,
        network: Arc::new(peering.peers.clone()),
    }
}

/// Waits until this node knows the cluster that it belongs to and who leads it. A founder has nobody to wait for.
///
/// # Errors
/// The cluster is another one, or this node was removed from it.
pub(super) async fn belong(consensus: &Consensus, place: Place) -> Result<(), RunError> {
    let Some(cluster) = place.identity.cluster else {
        return Ok(());
    };
    let (mut waited, mut word) = (Duration::ZERO, BELONG_WORD);
    loop {
        let (view, status) = (consensus.view(), consensus.status());
        let lineage = view.fleet.meta().lineage;
        if lineage != 0 && lineage != cluster {
            return Err(RunError::OtherCluster {
                kept: cluster,
                found: lineage,
            });
        }
        if view.fleet.is_removed(status.node) {
            return Err(RunError::Removed(status.node));
        }
        if lineage == cluster && status.leader.is_some() {
            return Ok(());
        }
        if waited >= word {
            (waited, word) = (Duration::ZERO, (word * 2).min(BELONG_WORD_MAX));
            tracing::warn!(
                applied = view.applied_index,
                "no leader of the cluster speaks to this node yet"
            );
        }
        tokio::time::sleep(FIRST_PROPOSAL_PAUSE).await;
        waited += FIRST_PROPOSAL_PAUSE;
    }
}

/// Adds to deadline time what passed while nobody led, before anything is judged by it.
///
/// # Errors
/// Fails when the proposal is not committed.
pub(super) async fn begin(consensus: &Consensus, node: NodeId) -> Result<(), RunError> {
    let outcome = first(consensus, node, Proposal::NoteWallTime { begins: true }).await?;
    if outcome == Outcome::Done {
        return Ok(());
    }
    Err(RunError::Refused(Box::new(outcome)))
}

/// Adds the downtime to deadline time, founds the fleet if it has no lineage, and gives this node its
/// incarnation.
///
/// # Errors
/// Fails when the proposals are not committed or are refused.
pub(super) async fn register(
    config: &Config,
    consensus: &Consensus,
    node: NodeId,
    doors: &AgentsDoor,
) -> Result<Epoch, RunError> {
    let status = consensus.status();
    if status.leader.is_none_or(|leader| leader == node) {
        begin(consensus, node).await?;
    }
    if consensus.view().fleet.meta().lineage == 0 {
        let lineage = u128::from_be_bytes(entropy::bytes());
        let outcome = first(consensus, node, Proposal::Found { lineage }).await?;
        let founded = Outcome::Rejected(Rejection::AlreadyFounded);
        if outcome != Outcome::Done && outcome != founded {
            return Err(RunError::Refused(Box::new(outcome)));
        }
        let level = FEATURE_LEVEL;
        first(consensus, node, Proposal::SetFeatureLevel { level }).await?;
    }
    let proposal = Proposal::RegisterNode(RegisterNode {
        node,
        name: name(config),
        version: env!("CARGO_PKG_VERSION").into(),
        opamp_address: advertised(config.opamp.advertise.as_deref(), doors.opamp_address),
        admin_address: doors.admin_address.to_string().into(),
    });
    // a repetition that comes late must not end the incarnation that an earlier try was given
    let origin = origin::of_node_once(node, entropy::bytes());
    let outcome = tried(consensus, node, origin, proposal).await?;
    if let Outcome::Registered { epoch } = outcome {
        return Ok(epoch);
    }
    Err(RunError::Refused(Box::new(outcome)))
}

/// Keeps the cluster beside the id, once it is known.
///
/// # Errors
/// The file cannot be written, or the log is of another cluster.
pub(super) fn keep_cluster(
    consensus: &Consensus,
    place: Place,
    data_dir: &Path,
) -> Result<(), RunError> {
    let lineage = consensus.view().fleet.meta().lineage;
    let identity = Identity {
        node: place.identity.node,
        cluster: Some(lineage),
    };
    if identity == place.identity {
        return Ok(());
    }
    Ok(identity.write(data_dir)?)
}

/// Tells the fleet where this node is reached by others, where its door is open.
///
/// # Errors
/// The proposal is not committed or refused.
pub(super) async fn announce(
    consensus: &Consensus,
    peering: &Peering,
    node: NodeId,
) -> Result<(), RunError> {
    let Some(own) = peering.own(node).await else {
        return Ok(());
    };
    if consensus.view().fleet.peer(node).map(|peer| &**peer) == Some(&own) {
        return Ok(());
    }
    let outcome = first(consensus, node, Proposal::PutPeer { peer: own }).await?;
    if outcome == Outcome::Done {
        return Ok(());
    }
    Err(RunError::Refused(Box::new(outcome)))
}

/// Tells the fleet when a change of configuration counts as failed, if it knows otherwise.
///
/// # Errors
/// Fails when the proposal is not committed.
pub(super) async fn tell_rules(
    config: &Config,
    consensus: &Consensus,
    node: NodeId,
) -> Result<(), RunError> {
    let timeout_ms = config.rollout.confirm_timeout.as_millis();
    let rules = RolloutRules {
        quarantine_failures: config.rollout.quarantine_failures,
        confirm_timeout_ms: u64::try_from(timeout_ms).unwrap_or(u64::MAX),
    };
    if consensus.view().fleet.rollout_rules() == rules {
        return Ok(());
    }
    let outcome = first(consensus, node, Proposal::PutRolloutRules { rules }).await?;
    if outcome == Outcome::Done {
        return Ok(());
    }
    Err(RunError::Refused(Box::new(outcome)))
}

/// Makes sure that the file of the admin token names a token that works.
///
/// # Errors
/// Fails when the file cannot be written or the proposal is not committed.
pub(super) async fn renew_token(
    config: &Config,
    consensus: &Consensus,
    node: NodeId,
    clock: &dyn Clock,
) -> Result<(), RunError> {
    let fleet = consensus.view().fleet.clone();
    let token = admin_token::renew(
        &config.node.data_dir,
        node,
        &fleet,
        clock.wall_ms(),
        entropy::bytes(),
    )
    .map_err(|source| RunError::File {
        what: "the admin token",
        source,
    })?;
    let Some(token) = token else { return Ok(()) };
    let outcome = first(consensus, node, Proposal::PutToken { token }).await?;
    if outcome == Outcome::Done {
        return Ok(());
    }
    Err(RunError::Refused(Box::new(outcome)))
}

/// Proposes what may be proposed twice, while the node is still finding its leadership. A member of a cluster of
/// several waits for as long as it takes: ending would help nobody.
async fn first(
    consensus: &Consensus,
    node: NodeId,
    proposal: Proposal,
) -> Result<Outcome, RunError> {
    tried(consensus, node, origin::of_node(node), proposal).await
}

async fn tried(
    consensus: &Consensus,
    node: NodeId,
    origin: Origin,
    proposal: Proposal,
) -> Result<Outcome, RunError> {
    let mut tries = 0;
    loop {
        match consensus.propose(origin.clone(), proposal.clone()).await {
            Ok(committed) => return Ok(committed.outcome),
            Err(
                error @ (ProposeError::NotLeader { .. }
                | ProposeError::OutcomeUnknown
                | ProposeError::Overloaded),
            ) => {
                let is_alone = consensus.status().voters == [node];
                if is_alone && tries >= FIRST_PROPOSAL_TRIES {
                    return Err(error.into());
                }
                tries += 1;
                tokio::time::sleep(FIRST_PROPOSAL_PAUSE).await;
            }
            Err(error @ (ProposeError::Unavailable(_) | ProposeError::Stopped)) => {
                return Err(error.into());
            }
        }
    }
}

fn advertised(configured: Option<&str>, real: std::net::SocketAddr) -> Arc<str> {
    configured.map_or_else(|| real.to_string().into(), Into::into)
}

/// What people call this node.
pub(super) fn name(config: &Config) -> Arc<str> {
    config.node.name.clone().unwrap_or_else(host_name).into()
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
