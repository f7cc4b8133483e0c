//! Where the log of a node stands, as far as the node itself knows.

use std::sync::atomic::Ordering;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, RaftMetrics};

use super::handle::Consensus;
use super::type_config::TypeConfig;
use crate::ids::NodeId;

/// A leader that was not confirmed, or a follower that was not spoken to, for so long has no quorum as far as it knows.
pub const CONTACT_MAX_MS: u64 = 2_000;

/// Where the log of this node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Whether the log takes entries, as far as this node knows.
    pub quorum: bool,
    /// Boot milliseconds since a leader spoke to this node, or a quorum to this leader.
    pub leader_contact_ms: Option<u64>,
    /// How far each member is, as far as this leader knows; empty on others.
    pub matched: Vec<(NodeId, u64)>,
}

impl Consensus {
    /// Where the log stands.
    pub fn status(&self) -> RaftStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<openraft::alias::LogIdOf<TypeConfig>>| {
            id.as_ref().map_or(0, |id| id.index)
        };
        let contact_ms = self.contact(&metrics);
        let progress = metrics.replication.iter().flatten();
        let matched = progress
            .map(|(id, log_id)| (NodeId(*id), index(log_id)))
            .collect();
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
            quorum: metrics.current_leader.is_some()
                && contact_ms.is_some_and(|passed_ms| passed_ms <= CONTACT_MAX_MS),
            leader_contact_ms: contact_ms,
            matched,
        }
    }

    /// Milliseconds since a quorum confirmed this leader, or since the leader spoke to this node.
    fn contact(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<u64> {
        if metrics.current_leader == Some(metrics.id) {
            if metrics.membership_config.voter_ids().eq([metrics.id]) {
                return Some(0);
            }
            let passed = metrics.last_quorum_acked.map(|acked| acked.elapsed());
            return passed.map(|passed| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        }
        let spoke_ms = self.contact_ms.load(Ordering::Relaxed);
        (spoke_ms > 0).then(|| self.clock.boot_ms().saturating_sub(spoke_ms))
    }
}
