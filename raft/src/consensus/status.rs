//! Where the log of a node stands, as far as the node itself knows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, RaftMetrics};
use serde::{Deserialize, Serialize};

use super::handle::Consensus;
use super::type_config::TypeConfig;
use super::wire::{RaftRequest, RaftResponse, Request, Response};
use crate::fleet::MEMBERS_LEVEL;
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

/// How far the members of a cluster are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last entry known to be committed.
    pub committed_index: u64,
    /// The last entry that each member has: of followers as far as the leader knows, of the leader what it applied.
    pub reached: Vec<(NodeId, u64)>,
}

impl Consensus {
    /// Where the log stands.
    pub fn status(&self) -> RaftStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        self.status_of(&metrics)
    }

    pub(super) fn status_of(&self, metrics: &RaftMetrics<TypeConfig>) -> RaftStatus {
        let index = |id: &Option<openraft::alias::LogIdOf<TypeConfig>>| {
            id.as_ref().map_or(0, |id| id.index)
        };
        let contact_ms = self.contact(metrics);
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

    /// How far all members are, as whoever leads knows it; `None` when nobody does, or says so within this time.
    pub async fn progress(&self, within: Duration) -> Option<Progress> {
        let status = self.status();
        let leader = status.leader?;
        if leader == status.node {
            return Some(self.progress_here());
        }
        // an older program could not read the question
        let view = self.view();
        view.fleet
            .peer(leader)
            .filter(|peer| peer.level >= MEMBERS_LEVEL)?;
        let asked = self
            .network
            .call(leader, RaftRequest(Request::Progress), within);
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(RaftResponse(Response::Progress(progress)))) => progress,
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }

    /// What this node answers to others: nothing unless it leads.
    pub(super) fn progress_if_leader(&self) -> Option<Progress> {
        let status = self.status();
        (status.leader == Some(status.node)).then(|| self.progress_here())
    }

    fn progress_here(&self) -> Progress {
        let status = self.status();
        let others = status.matched.into_iter();
        let others = others.filter(|(node, _)| *node != status.node);
        let own = (status.node, status.applied_index);
        Progress {
            committed_index: status.committed_index,
            reached: others.chain([own]).collect(),
        }
    }

    /// Milliseconds since a quorum confirmed this leader, or since the leader spoke to this node.
    fn contact(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<u64> {
        let now_ms = self.clock.boot_ms();
        if metrics.current_leader == Some(metrics.id) {
            let passed = if metrics.membership_config.voter_ids().eq([metrics.id]) {
                Some(Duration::ZERO)
            } else {
                metrics.last_quorum_acked.map(|acked| acked.elapsed())
            };
            // with new voters nothing is known of them at first, and whoever leads no more was in contact as well
            if let Some(passed) = passed {
                let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
                let acked_ms = now_ms.saturating_sub(passed_ms).max(1);
                self.contact_ms.fetch_max(acked_ms, Ordering::Relaxed);
            }
        }
        let contact_ms = self.contact_ms.load(Ordering::Relaxed);
        (contact_ms > 0).then(|| now_ms.saturating_sub(contact_ms))
    }
}
