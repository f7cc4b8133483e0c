//! Who votes and who only listens. Each step is carried out by the node that leads, whichever is asked; whether a
//! step is wise is the caller's judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::alias::{CommittedLeaderIdOf, LogIdOf};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::vote::RaftLeaderId;
use openraft::{BasicNode, ChangeMembers, Precondition};
use serde::{Deserialize, Serialize};

use super::handle::Consensus;
use super::propose::{PROPOSE_DEADLINE, ProposeError, strange};
use super::status::RaftStatus;
use super::type_config::TypeConfig;
use super::wire::{RaftRequest, Request, Response};
use crate::ids::NodeId;

/// How long a transfer of leadership may take before it is given up.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(5);

/// One step of membership. Variants are append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberStep {
    /// A node begins to listen; it may be behind for as long as it likes.
    AddLearner {
        /// The node.
        node: NodeId,
        /// Where peers reach it, for people.
        address: String,
    },
    /// These vote from here on, all of them members already; others that voted listen.
    Vote(BTreeSet<NodeId>),
    /// A node leaves, whether it voted or listened.
    Remove(NodeId),
    /// Another node leads: this one, or the one that is furthest.
    Lead(Option<NodeId>),
}

/// What a step was decided by: a leadership, and the membership that it saw. Once either is another, nothing is done.
#[derive(Clone, Debug)]
pub struct Standing {
    leader: CommittedLeaderIdOf<TypeConfig>,
    membership: Option<LogIdOf<TypeConfig>>,
}

impl Consensus {
    /// Where the log stands, and what this node may decide by it while it leads.
    pub fn look(&self) -> (RaftStatus, Option<Standing>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let status = self.status_of(&metrics);
        let leads = status.leader == Some(status.node) && metrics.vote.is_committed();
        let standing = leads.then(|| Standing {
            leader: metrics.vote.leader_id().to_committed(),
            membership: *metrics.membership_config.log_id(),
        });
        (status, standing)
    }

    /// Carries a step out that this node decided while it led; answers when it is committed.
    ///
    /// # Errors
    /// [`ProposeError::Unavailable`] or [`ProposeError::NotLeader`] when what it was decided by has passed.
    pub async fn step_if(&self, step: MemberStep, standing: Standing) -> Result<(), ProposeError> {
        let change = match step {
            MemberStep::AddLearner { node, address } => {
                ChangeMembers::AddNodes(BTreeMap::from([(node.0, BasicNode::new(address))]))
            }
            MemberStep::Vote(voters) => {
                ChangeMembers::ReplaceAllVoters(voters.into_iter().map(|node| node.0).collect())
            }
            MemberStep::Remove(node) => ChangeMembers::RemoveNodes(BTreeSet::from([node.0])),
            MemberStep::Lead(to) => return self.transfer(to).await,
        };
        let conditions = [
            Precondition::CommittedLeaderId {
                committed_leader_id: standing.leader,
            },
            Precondition::LastMembershipLogId {
                last_membership_log_id: standing.membership,
            },
        ];
        let changed = self.raft.change_membership_if(change, true, conditions);
        let changed = tokio::time::timeout(PROPOSE_DEADLINE, changed).await;
        changed.map_or(Err(ProposeError::OutcomeUnknown), done)
    }

    /// Carries a step out, and answers when it is committed.
    ///
    /// # Errors
    /// [`ProposeError::Unavailable`] says why a step was refused; nothing happened then.
    pub async fn step(&self, step: MemberStep) -> Result<(), ProposeError> {
        let status = self.status();
        match status.leader {
            None => Err(ProposeError::NotLeader { hint: None }),
            Some(leader) if leader == status.node => self.step_here(step).await,
            Some(leader) => {
                let answer = self
                    .call(leader, RaftRequest(Request::Member(step)))
                    .await?;
                if let Response::Member(done) = answer {
                    return done;
                }
                Err(strange(&answer))
            }
        }
    }

    pub(super) async fn step_here(&self, step: MemberStep) -> Result<(), ProposeError> {
        let changed = async {
            match step {
                MemberStep::AddLearner { node, address } => {
                    let added = self
                        .raft
                        .add_learner(node.0, BasicNode::new(address), false);
                    done(added.await)
                }
                MemberStep::Vote(voters) => {
                    let voters: BTreeSet<u64> = voters.into_iter().map(|node| node.0).collect();
                    done(self.raft.change_membership(voters, true).await)
                }
                MemberStep::Remove(node) => self.remove(node).await,
                MemberStep::Lead(to) => self.transfer(to).await,
            }
        };
        let changed = tokio::time::timeout(PROPOSE_DEADLINE, changed).await;
        changed.unwrap_or(Err(ProposeError::OutcomeUnknown))
    }

    async fn remove(&self, node: NodeId) -> Result<(), ProposeError> {
        let status = self.status();
        if status.voters.contains(&node) {
            let rest = status.voters.iter().filter(|voter| **voter != node);
            let rest: BTreeSet<u64> = rest.map(|voter| voter.0).collect();
            return done(self.raft.change_membership(rest, false).await);
        }
        if !status.learners.contains(&node) {
            return Ok(());
        }
        let gone = ChangeMembers::RemoveNodes(BTreeSet::from([node.0]));
        done(self.raft.change_membership(gone, false).await)
    }

    async fn transfer(&self, to: Option<NodeId>) -> Result<(), ProposeError> {
        let status = self.status();
        let furthest = || {
            let others = status
                .matched
                .iter()
                .filter(|(node, _)| *node != status.node);
            let voters = others.filter(|(node, _)| status.voters.contains(node));
            voters
                .max_by_key(|(node, index)| (*index, *node))
                .map(|(node, _)| *node)
        };
        let Some(to) = to.or_else(furthest) else {
            return Err(ProposeError::Unavailable("no other node votes".to_owned()));
        };
        if to == status.node {
            return Ok(());
        }
        if !status.voters.contains(&to) {
            return Err(ProposeError::Unavailable(format!(
                "node {} does not vote",
                to.0
            )));
        }
        self.raft
            .trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|_| ProposeError::Stopped)?;
        let mut metrics = self.raft.metrics();
        let led = async {
            while metrics.borrow_watched().current_leader != Some(to.0) {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        match tokio::time::timeout(TRANSFER_DEADLINE, led).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => Err(ProposeError::Unavailable(format!(
                "node {} has not taken over",
                to.0
            ))),
        }
    }
}

fn done<T>(
    written: Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>,
) -> Result<(), ProposeError> {
    match written {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            Err(ProposeError::NotLeader {
                hint: forward.leader_id.map(NodeId),
            })
        }
        Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
            Err(ProposeError::OutcomeUnknown)
        }
        Err(RaftError::APIError(error)) => Err(ProposeError::Unavailable(error.to_string())),
        Err(RaftError::Fatal(_)) => Err(ProposeError::Stopped),
    }
}
