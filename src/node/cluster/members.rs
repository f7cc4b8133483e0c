//! The duty of the leader about its members: whoever was let in learns, and votes when it has caught up and the
//! number of voters stays odd; whoever is to listen stops voting; whoever was removed follows no more.
//!
//! No named lease is needed: only the leader can change members, and its term and the membership that it saw fence each
//! step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ampora_raft::consensus::{Consensus, MemberStep, RaftStatus};
use ampora_raft::fleet::{Fleet, MEMBERS_LEVEL};
use ampora_raft::ids::NodeId;
use ampora_raft::records::MemberRole;
use tokio_util::sync::CancellationToken;

use super::duty::{self, Members, Step};
use super::quorum::Voters;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// A removed node follows for so many looks at least, so that it hears of it,
const LEAVING_LOOKS_MIN: u32 = 3;

/// and for so many at most, when it does not answer.
const LEAVING_LOOKS_MAX: u32 = 12;

/// How long a change of who votes is waited for: some looks, a handover of leadership and two entries.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_LOOK: Duration = Duration::from_millis(10);

/// What the leader remembers from one look to the next.
#[derive(Debug, Default)]
struct Memory {
    /// Who voted at the last look.
    voters: BTreeSet<NodeId>,
    /// Who was told to listen in a fleet whose level does not let it note that: forgotten with the leadership.
    held: BTreeSet<NodeId>,
    /// Looks at which a removed node still followed.
    leaving: BTreeMap<NodeId, u32>,
}

impl Memory {
    fn look(&mut self, status: &RaftStatus) {
        let learners = status.learners.iter().copied();
        let told: Vec<NodeId> = learners.filter(|node| self.voters.contains(node)).collect();
        self.held.extend(told);
        self.held.retain(|node| status.learners.contains(node));
        self.leaving
            .retain(|node, _| status.learners.contains(node));
        self.voters = status.voters.iter().copied().collect();
    }

    /// Whether a removed node has had its time to hear of it.
    fn has_heard(&mut self, node: NodeId, lag: Option<u64>) -> bool {
        let looks = self.leaving.entry(node).or_default();
        *looks += 1;
        let caught_up = lag == Some(0) && *looks >= LEAVING_LOOKS_MIN;
        caught_up || *looks >= LEAVING_LOOKS_MAX
    }
}

/// Waits until a member votes, or only listens, as the fleet wants it; false when it does not in time.
pub async fn settled(consensus: &Consensus, node: NodeId, role: MemberRole) -> bool {
    let mut waited = Duration::ZERO;
    loop {
        let status = consensus.status();
        if status.voters.contains(&node) == (role == MemberRole::Voter) {
            return true;
        }
        if waited >= SETTLE_WITHIN {
            return false;
        }
        tokio::time::sleep(SETTLE_LOOK).await;
        waited += SETTLE_LOOK;
    }
}

/// Who votes and who is live, as the fleet knows it.
#[must_use]
pub fn voters(status: &RaftStatus, fleet: &Fleet) -> Voters {
    let live = fleet.nodes().filter(|node| node.live).map(|node| node.id);
    Voters {
        voters: status.voters.iter().copied().collect(),
        live: live.collect(),
    }
}

/// Runs until `stop`.
pub async fn drive(consensus: Consensus, voters_max: u32, stop: CancellationToken) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut memory = Memory::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let (status, standing) = consensus.look();
        let Some(standing) = standing.filter(|_| status.quorum) else {
            memory = Memory::default();
            continue;
        };
        memory.look(&status);
        let view = consensus.view();
        let members = seen(&status, &view.fleet, &memory, voters_max);
        let Some(step) = duty::next(&members) else {
            continue;
        };
        let step = match step {
            Step::AddLearner(node) => MemberStep::AddLearner {
                node,
                address: view
                    .fleet
                    .peer(node)
                    .map(|peer| peer.address.to_string())
                    .unwrap_or_default(),
            },
            Step::Vote(voters) => MemberStep::Vote(voters),
            Step::Remove(node) if memory.has_heard(node, members.lag.get(&node).copied()) => {
                MemberStep::Remove(node)
            }
            Step::Remove(_) => continue,
            Step::HandOver => MemberStep::Lead(None),
        };
        // a leader that is none any more, or saw members that are others by now, changes nothing
        match consensus.step_if(step.clone(), standing).await {
            Ok(()) => tracing::info!(?step, "the membership changed"),
            Err(error) => tracing::warn!(?step, %error, "the membership could not be changed yet"),
        }
    }
}

fn seen(status: &RaftStatus, fleet: &Fleet, memory: &Memory, voters_max: u32) -> Members {
    let lag = status.matched.iter().map(|(node, index)| {
        let behind = status.committed_index.saturating_sub(*index);
        (*node, behind)
    });
    Members {
        now: voters(status, fleet),
        learners: status.learners.iter().copied().collect(),
        peers: fleet.peers().map(|peer| peer.id).collect(),
        lag: lag.collect(),
        leader: status.node,
        held: if fleet.meta().feature_level >= MEMBERS_LEVEL {
            fleet.held_back().collect()
        } else {
            memory.held.clone()
        },
        voters_max: usize::try_from(voters_max).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(voters: &[u64], learners: &[u64]) -> RaftStatus {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        RaftStatus {
            node: NodeId(1),
            leader: Some(NodeId(1)),
            term: 1,
            last_log_index: 0,
            committed_index: 0,
            applied_index: 0,
            snapshot_index: 0,
            purged_index: 0,
            voters: ids(voters),
            learners: ids(learners),
            quorum: true,
            leader_contact_ms: Some(0),
            matched: Vec::new(),
        }
    }

    #[test]
    fn who_was_told_to_listen_is_not_promoted_again() {
        let mut memory = Memory::default();
        memory.look(&status(&[1], &[2]));
        assert!(memory.held.is_empty(), "a newcomer is not held back");
        memory.look(&status(&[1, 2, 3], &[]));
        memory.look(&status(&[1, 2], &[3]));
        memory.look(&status(&[1, 2], &[3]));
        assert_eq!(memory.held, [NodeId(3)].into());
        memory.look(&status(&[1, 2, 3], &[]));
        assert!(memory.held.is_empty(), "an operator promoted it");
    }

    #[test]
    fn a_removed_node_hears_of_it_or_is_waited_for_no_longer() {
        let mut memory = Memory::default();
        let heard = |memory: &mut Memory, lag| {
            (1..=LEAVING_LOOKS_MAX).find(|_| memory.has_heard(NodeId(2), lag))
        };
        assert_eq!(heard(&mut memory, Some(0)), Some(LEAVING_LOOKS_MIN));
        memory.look(&status(&[1], &[]));
        assert_eq!(heard(&mut memory, Some(5)), Some(LEAVING_LOOKS_MAX));
    }
}
