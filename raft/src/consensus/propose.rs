//! How a proposal becomes an entry: stamped and written by the node that leads, forwarded to it once by every
//! other, and answered when this node has applied it. Every wait is bounded, and every error says whether the
//! proposal may have taken effect.

use std::io;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, RaftError};
use serde::{Deserialize, Serialize};

use super::handle::Consensus;
use super::wire::{RaftRequest, Request, Response};
use crate::fleet::limits::{ENTRY_BYTES_MAX, ENTRY_HEAD_BYTES};
use crate::fleet::sizes::entry_bytes;
use crate::ids::NodeId;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{Entry, Origin, Proposal};

/// A proposal that was handed to the log and is not answered by then has an unknown outcome.
pub(super) const PROPOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a node that was called goes on being waited for when another one leads: an answer may be on its way.
const FOLLOWED_AFTER: Duration = Duration::from_secs(1);

/// How long a leader without a lease, or without having heard of its own election, is tried again.
const LEASE_DEADLINE: Duration = Duration::from_secs(2);

/// How long a proposal waits for somebody to lead: an election and the first entry of the new leader.
const ELECTION_DEADLINE_MS: u64 = 4_000;

/// The first pause between tries; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_LAST: Duration = Duration::from_millis(200);

/// A proposal that became an entry and was applied here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// What `apply` answered.
    pub outcome: Outcome,
}

/// Why a proposal has no outcome. Variants are append-only: nodes tell one another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
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

impl Consensus {
    /// Asks the log, on this node or through the one that leads, and answers when this node has applied the entry.
    ///
    /// # Errors
    /// [`ProposeError`] says whether the proposal may have taken effect.
    pub async fn propose(
        &self,
        origin: Origin,
        proposal: Proposal,
    ) -> Result<Committed, ProposeError> {
        let began_ms = self.clock.boot_ms();
        let mut pause = RETRY_FIRST;
        let written = loop {
            let tried = match self.elsewhere() {
                Some(leader) => self.forward(leader, &origin, &proposal).await,
                None => self.propose_here(origin.clone(), proposal.clone()).await,
            };
            // nothing has happened: whoever is elected meanwhile is asked
            let passing = matches!(tried, Err(ProposeError::NotLeader { .. }));
            let waited_ms = self.clock.boot_ms().saturating_sub(began_ms);
            if !passing || waited_ms >= ELECTION_DEADLINE_MS {
                break tried;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        };
        if let Ok(committed) = &written {
            self.applied(committed.index).await;
        }
        let took_ms = self.clock.boot_ms().saturating_sub(began_ms);
        self.timings.proposed(Duration::from_millis(took_ms));
        written
    }

    /// The other node that leads, as far as this one knows.
    pub(super) fn elsewhere(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .filter(|leader| *leader != metrics.id);
        leader.map(NodeId)
    }

    async fn forward(
        &self,
        leader: NodeId,
        origin: &Origin,
        proposal: &Proposal,
    ) -> Result<Committed, ProposeError> {
        let request = RaftRequest(Request::Propose {
            origin: origin.clone(),
            proposal: Box::new(proposal.clone()),
        });
        let answer = self.call(leader, request).await?;
        if let Response::Proposed(written) = answer {
            return written;
        }
        Err(strange(&answer))
    }

    /// A request to the leader whose effect matters.
    pub(super) async fn call(
        &self,
        leader: NodeId,
        request: RaftRequest,
    ) -> Result<Response, ProposeError> {
        let called = self.network.call(leader, request, PROPOSE_DEADLINE);
        let called = tokio::select! {
            called = tokio::time::timeout(PROPOSE_DEADLINE, called) => called,
            () = self.followed(leader) => return Err(ProposeError::OutcomeUnknown),
        };
        match called {
            Ok(Ok(response)) => Ok(response.0),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                Err(ProposeError::NotLeader { hint: None })
            }
            Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Waits until another node has led for a while than the one that was called, which may be cut off and not know it.
    async fn followed(&self, leader: NodeId) {
        let mut metrics = self.raft.metrics();
        loop {
            let leads = metrics.borrow_watched().current_leader;
            if leads.is_some_and(|leads| leads != leader.0) {
                tokio::time::sleep(FOLLOWED_AFTER).await;
                return;
            }
            if metrics.changed().await.is_err() {
                // the log has stopped: the call has its own end
                std::future::pending::<()>().await;
            }
        }
    }

    /// Asks the log of this node, which has to lead; answers when this node has applied the entry.
    pub(super) async fn propose_here(
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
        let level = self.view.load().fleet.meta().feature_level;
        if proposal.level() > level.max(1) {
            return Err(ProposeError::Unavailable(format!(
                "the cluster is at feature level {level} and this needs {}: update every node, then run `ampora cluster finalize-upgrade`",
                proposal.level()
            )));
        }
        let entry = self.entry(origin, proposal);
        if entry_bytes(&entry) > ENTRY_BYTES_MAX + ENTRY_HEAD_BYTES {
            // the log would refuse it, and a log that refuses has failed
            return Ok(Committed {
                index: self.view.load().applied_index,
                outcome: Outcome::Rejected(Rejection::TooLarge("entry".into())),
            });
        }
        let written = tokio::time::timeout(PROPOSE_DEADLINE, self.write(entry)).await;
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
            // without a lease, or while leadership moves, this node may lead the next moment
            let passing = forward.reason != ForwardReason::NotLeader && elsewhere.is_none();
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

    /// Waits until this node has applied `index`, so that whoever reads here sees what was written elsewhere. It may
    /// be behind for longer than anybody waits: then it answers all the same.
    pub(super) async fn applied(&self, index: u64) {
        let caught_up = async {
            let mut metrics = self.raft.metrics();
            while self.view.load().applied_index < index {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(PROPOSE_DEADLINE, caught_up)
            .await
            .is_err()
        {
            tracing::warn!(
                index,
                "this node has not applied what was committed elsewhere"
            );
        }
    }
}

/// The answer to another question: whether anything happened is not known.
pub(super) fn strange(response: &Response) -> ProposeError {
    if let Response::Refused(why) = response {
        return ProposeError::Unavailable(why.to_string());
    }
    ProposeError::OutcomeUnknown
}
