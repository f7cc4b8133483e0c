//! The handle through which everybody else speaks to the log. It stamps proposals with fleet time, bounds
//! every wait, and turns openraft's errors into five that say what the caller may do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardReason, RaftError};
use openraft::storage::RaftLogStorage;
use openraft::{BasicNode, Config, Raft, SnapshotPolicy};
use parking_lot::Mutex;

use super::keep::{Kept, LogLimits};
use super::machine::Machine;
use super::network::Alone;
use super::ports::{EffectSink, RowStore, Timings};
use super::type_config::{Runtime, TypeConfig};
use crate::fleet::Fleet;
use crate::fleet::limits::{ENTRY_BYTES_MAX, ENTRY_HEAD_BYTES};
use crate::fleet::sizes::entry_bytes;
use crate::ids::{ConfigHash, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{Entry, Origin, Proposal};
use crate::records::AuditRecord;
use crate::rows::{Row, RowKey};
use crate::time::{Clock, Stamper};

/// A proposal that was handed to the log and is not answered by then has an unknown outcome.
const PROPOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a leader without a lease, or without having heard of its own election, is tried again.
const LEASE_DEADLINE: Duration = Duration::from_secs(2);

/// The first pause between such tries; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_LAST: Duration = Duration::from_millis(200);

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

/// A proposal that became an entry and was applied here.
#[derive(Debug)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// What `apply` answered.
    pub outcome: Outcome,
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead; nothing happened.
    #[error("this node does not lead")]
    NotLeader {
        /// Who leads, as far as is known.
        hint: Option<NodeId>,
    },
    /// Nothing may be written at the moment; nothing happened.
    #[error("{0}")]
    Unavailable(String),
    /// Too much waits to be written; nothing happened.
    #[error("too much waits to be written")]
    Overloaded,
    /// It may have happened or may still happen.
    #[error("the outcome is not known")]
    OutcomeUnknown,
    /// The log has stopped; nothing happened.
    #[error("the log has stopped")]
    Stopped,
}

/// Where the log of this node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// This node.
    pub node: NodeId,
    /// Who leads, if anybody does.
    pub leader: Option<NodeId>,
    /// The current term.
    pub term: u64,
    /// The last entry in the log.
    pub last_log_index: u64,
    /// The last entry known to be committed.
    pub committed_index: u64,
    /// The last entry applied.
    pub applied_index: u64,
    /// The last entry in the last snapshot.
    pub snapshot_index: u64,
    /// The last entry that left the log.
    pub purged_index: u64,
    /// Members that vote, ascending.
    pub voters: Vec<NodeId>,
    /// Members that do not, ascending.
    pub learners: Vec<NodeId>,
}

/// The handle; clones speak to the same log.
#[derive(Clone)]
pub struct Consensus {
    raft: Raft<TypeConfig, Machine>,
    view: Arc<ArcSwap<View>>,
    store: Arc<dyn RowStore>,
    clock: Arc<dyn Clock>,
    timings: Arc<dyn Timings>,
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
    /// without a log becomes a cluster of one.
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
        let raft = Runtime::scope(config.seed, async move {
            Raft::new(node, settings, Alone, log, machine).await
        })
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
        if fresh {
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
            kept,
            stamper: Arc::default(),
        })
    }

    /// Asks the log, and answers when this node has applied the entry.
    ///
    /// # Errors
    /// [`ProposeError`] says whether the proposal may have taken effect.
    pub async fn propose(
        &self,
        origin: Origin,
        proposal: Proposal,
    ) -> Result<Committed, ProposeError> {
        if self.store.overloaded() {
            return Err(ProposeError::Overloaded);
        }
        if let Some(reason) = self.store.refusal() {
            return Err(ProposeError::Unavailable(reason));
        }
        let entry = self.entry(origin, proposal);
        if entry_bytes(&entry) > ENTRY_BYTES_MAX + ENTRY_HEAD_BYTES {
            // the log would refuse it, and a log that refuses has failed
            return Ok(Committed {
                index: self.view.load().applied_index,
                outcome: Outcome::Rejected(Rejection::TooLarge("entry".into())),
            });
        }
        let began_ms = self.clock.boot_ms();
        let written = tokio::time::timeout(PROPOSE_DEADLINE, self.write(entry)).await;
        let took_ms = self.clock.boot_ms().saturating_sub(began_ms);
        self.timings.proposed(Duration::from_millis(took_ms));
        written.unwrap_or(Err(ProposeError::OutcomeUnknown))
    }

    fn entry(&self, origin: Origin, proposal: Proposal) -> Entry {
        Entry {
            time_ms: self.fleet_time_ms(),
            wall_ms: self.clock.wall_ms(),
            origin,
            proposal,
        }
    }

    async fn write(&self, entry: Entry) -> Result<Committed, ProposeError> {
        let mut pause = RETRY_FIRST;
        let mut waited = Duration::ZERO;
        loop {
            let entry = self.entry(entry.origin.clone(), entry.proposal.clone());
            let forward = match self.raft.client_write(entry).await {
                Ok(response) => {
                    return Ok(Committed {
                        index: response.log_id.index,
                        outcome: response.data,
                    });
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => forward,
                Err(RaftError::APIError(
                    ClientWriteError::LogEntryDiscarded(_)
                    | ClientWriteError::ChangeMembershipError(_)
                    | ClientWriteError::PreconditionFailed(_),
                )) => return Err(ProposeError::OutcomeUnknown),
                Err(RaftError::Fatal(_)) => return Err(ProposeError::Stopped),
            };
            let own = self.raft.metrics().borrow_watched().id;
            let elsewhere = forward.leader_id.filter(|leader| *leader != own);
            let passing = forward.reason != ForwardReason::NotLeader || elsewhere.is_none();
            if !passing || waited >= LEASE_DEADLINE {
                return Err(ProposeError::NotLeader {
                    hint: elsewhere.map(NodeId),
                });
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(RETRY_LAST);
        }
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
        let status = self.status();
        let mut purged = status.purged_index;
        for _ in 0..PURGE_STEPS {
            let Some(upto) = self.kept.lock().surplus(purged) else {
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

    /// Where the log stands.
    pub fn status(&self) -> RaftStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<openraft::alias::LogIdOf<TypeConfig>>| {
            id.as_ref().map_or(0, |id| id.index)
        };
        let membership = metrics.membership_config.membership();
        RaftStatus {
            node: NodeId(metrics.id),
            leader: metrics.current_leader.map(NodeId),
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            committed_index: index(&metrics.local_committed),
            applied_index: self.view.load().applied_index,
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
        }
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

    /// The canonical bytes of a stored configuration body, parts put together; `None` when it is not whole.
    ///
    /// # Errors
    /// Fails when a row cannot be read.
    pub async fn read_body(&self, hash: ConfigHash) -> io::Result<Option<Vec<u8>>> {
        let Some(meta) = self.view().fleet.body(&hash).cloned() else {
            return Ok(None);
        };
        let store = self.store.clone();
        // the rows are in the page cache or near it, but a cold one would hold its thread
        tokio::task::spawn_blocking(move || {
            let mut body = Vec::new();
            for part in 0..meta.parts {
                match store.read(&RowKey::BodyPart(hash, part))? {
                    Some(Row::BodyPart(bytes)) => body.extend_from_slice(&bytes),
                    Some(_) | None => return Ok(None),
                }
            }
            Ok(Some(body))
        })
        .await
        .map_err(io::Error::other)?
    }

    /// The audit records of these numbers, one answer for each in order.
    ///
    /// `None` where there is none; each that cannot be read is an error of its own.
    pub async fn read_audit(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> Vec<io::Result<Option<Arc<AuditRecord>>>> {
        let (store, wanted) = (self.store.clone(), numbers.clone());
        let read = move || wanted.map(|seq| read_record(&*store, seq)).collect();
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| {
            let failed = |_| Err(io::Error::other(error.to_string()));
            numbers.map(failed).collect()
        })
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

fn read_record(store: &dyn RowStore, seq: u64) -> io::Result<Option<Arc<AuditRecord>>> {
    match store.read(&RowKey::Audit(seq))? {
        None => Ok(None),
        Some(Row::Audit(record)) => Ok(Some(record)),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the row of an audit record holds something else",
        )),
    }
}

/// Timers of design §3.
fn settings() -> Result<Config, StartError> {
    Config {
        cluster_name: "ampora".to_owned(),
        heartbeat_interval: 100,
        election_timeout_min: 300,
        election_timeout_max: 500,
        enable_pre_vote: Some(true),
        // both by [`Consensus::keep_time`], which counts bytes
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 256,
        ..Config::default()
    }
    .validate()
    .map_err(|error| StartError::Raft(error.to_string()))
}
