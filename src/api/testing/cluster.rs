//! A node in memory among others: who votes, and what it was told to do about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_raft::proposal::{Origin, Proposal, RegisterNode};
use ampora_raft::records::{MemberRole, Peer};

use super::{Memory, Site};
use crate::api::backend::{ClusterError, MemberStep, Progress};

/// What a node is among others, and was told to do about it.
#[derive(Default)]
pub(super) struct Among {
    /// Who votes, who listens; node 1 leads at first.
    pub(super) members: Option<(Vec<NodeId>, Vec<NodeId>)>,
    pub(super) steps: Vec<MemberStep>,
    /// Who leads since, and how often that changed.
    pub(super) leader: Option<NodeId>,
    pub(super) terms: u64,
    /// What the leader says of how far all are.
    pub(super) progress: Option<Progress>,
    /// Where this node was told to move.
    pub(super) moved: Option<(String, String)>,
    pub(super) refuses: Option<ClusterError>,
}

/// A node as others reach it.
fn peer(id: u64) -> Peer {
    Peer {
        id: NodeId(id),
        key: [u8::try_from(id).unwrap(); 32],
        address: format!("127.0.0.{id}:4322").into(),
        level: FEATURE_LEVEL,
    }
}

impl Memory {
    pub(super) fn opened(&self) -> Result<(), ClusterError> {
        let mut state = self.state.lock();
        if let Some(refuses) = state.among.refuses.clone() {
            return Err(refuses);
        }
        let origin = Origin {
            actor: Arc::from("node:1"),
            request_id: Arc::from("test"),
            idempotency: None,
        };
        state.apply(origin, Proposal::PutPeer { peer: peer(1) });
        Ok(())
    }

    pub(super) fn stepped(&self, step: MemberStep) {
        let mut state = self.state.lock();
        if let MemberStep::Vote(after) = &step {
            let (voters, learners) = state.among.members.clone().unwrap_or_default();
            let all = voters.into_iter().chain(learners);
            let (voters, learners) = all.partition(|node| after.contains(node));
            state.among.members = Some((voters, learners));
        }
        if let MemberStep::Lead(to) = &step {
            state.among.leader = to.or(Some(NodeId(2)));
            state.among.terms += 1;
        }
        state.among.steps.push(step);
    }

    /// What the leader's duty does about what the fleet says.
    pub(super) fn settles(&self, node: NodeId, role: MemberRole) -> bool {
        let (voters, _) = self.state.lock().among.members.clone().unwrap_or_default();
        let mut after: BTreeSet<NodeId> = voters.into_iter().collect();
        match role {
            MemberRole::Voter => after.insert(node),
            MemberRole::Learner => after.remove(&node),
        };
        let may = role == MemberRole::Learner || !after.len().is_multiple_of(2);
        if may {
            self.stepped(MemberStep::Vote(after));
        }
        may
    }

    pub(super) fn moved_to(&self, address: String, token: String) -> Result<(), ClusterError> {
        let mut state = self.state.lock();
        if let Some(refuses) = state.among.refuses.clone() {
            return Err(refuses);
        }
        state.among.moved = Some((address, token));
        Ok(())
    }
}

impl Site {
    /// The fleet says that this node has the agent's session, and its registry does not know the agent.
    pub(crate) fn absent(&self, uid: InstanceUid) {
        self.memory.state.lock().presence.remove(&uid);
    }

    /// Nodes 1 to `voters` vote, and those after them listen; all are live.
    pub(crate) fn members(&self, voters: u64, learners: u64) {
        let level = FEATURE_LEVEL;
        self.apply(Proposal::SetFeatureLevel { level });
        self.members_as_they_are(voters, learners);
    }

    /// The same in a fleet that was not told that every node knows more.
    pub(crate) fn members_as_they_are(&self, voters: u64, learners: u64) {
        for id in 2..=voters + learners {
            self.apply(Proposal::RegisterNode(RegisterNode {
                node: NodeId(id),
                name: format!("node-{id}").into(),
                version: Arc::from("0.1.0"),
                opamp_address: Arc::from(""),
                admin_address: Arc::from(""),
            }));
            self.apply(Proposal::PutPeer { peer: peer(id) });
        }
        let ids = |ids: std::ops::RangeInclusive<u64>| ids.map(NodeId).collect();
        let members = (ids(1..=voters), ids(voters + 1..=voters + learners));
        self.memory.state.lock().among.members = Some(members);
    }

    /// The steps of membership that were asked for.
    pub(crate) fn steps(&self) -> Vec<MemberStep> {
        self.memory.state.lock().among.steps.clone()
    }

    /// The leader is another node, which says how far all are.
    pub(crate) fn says(&self, progress: Progress) {
        self.memory.state.lock().among.progress = Some(progress);
    }

    /// Where the node was told to move.
    pub(crate) fn moved(&self) -> Option<(String, String)> {
        self.memory.state.lock().among.moved.clone()
    }

    /// What concerns other nodes fails so.
    pub(crate) fn refuse(&self, error: ClusterError) {
        self.memory.state.lock().among.refuses = Some(error);
    }
}
