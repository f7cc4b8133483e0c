//! Liveness leases: every node sends its renewals to the leader, which folds them into one entry for all, and lets
//! those end that were not renewed (design §3).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::handle::Consensus;
use super::propose::{ProposeError, strange};
use super::wire::{RaftRequest, Request, Response};
use crate::ids::{Epoch, NodeId};
use crate::outcome::Outcome;
use crate::proposal::{Origin, Proposal};

/// Between two entries that carry renewals.
const TICK_PERIOD: Duration = Duration::from_millis(500);

/// Nobody's lease ends so soon after a new leader has begun: renewals were on the way to the old one.
const GRACE_MS: u64 = 2_000;

/// Renewals that wait for one entry: some for each member that there may be.
const WAITING_MAX: usize = 256;

/// How long a renewal waits for its entry.
const RENEW_DEADLINE: Duration = Duration::from_secs(5);

/// What waits for the next tick.
#[derive(Debug)]
pub(super) struct Renewals {
    node: NodeId,
    ttl_ms: u64,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    node: NodeId,
    epoch: Epoch,
    answer: oneshot::Sender<Result<bool, ProposeError>>,
}

impl Renewals {
    pub(super) fn new(node: NodeId, ttl: Duration) -> Self {
        Self {
            node,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            waiting: Mutex::default(),
        }
    }

    /// Waits until a tick has renewed this incarnation; false when it is over.
    pub(super) async fn add(&self, node: NodeId, epoch: Epoch) -> Result<bool, ProposeError> {
        let (answer, renewed) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                return Err(ProposeError::Overloaded);
            }
            waiting.push(Waiting {
                node,
                epoch,
                answer,
            });
        }
        match tokio::time::timeout(RENEW_DEADLINE, renewed).await {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Tells everybody who waits.
    fn refuse_all(&self, error: &ProposeError) {
        for waiting in self.waiting.lock().drain(..) {
            drop(waiting.answer.send(Err(error.clone())));
        }
    }
}

impl Consensus {
    /// Renews the liveness lease of this node in this incarnation; false when the incarnation is over.
    ///
    /// # Errors
    /// Fails when no leader answers in time. Whether the lease was renewed is not known then, and counts as no.
    pub async fn renew(&self, epoch: Epoch) -> Result<bool, ProposeError> {
        let status = self.status();
        match status.leader {
            None => Err(ProposeError::NotLeader { hint: None }),
            Some(leader) if leader == status.node => self.renewals.add(leader, epoch).await,
            Some(leader) => {
                let request = RaftRequest(Request::Renew { epoch });
                match self.call(leader, request).await? {
                    Response::Renewed(renewed) => renewed,
                    other => Err(strange(&other)),
                }
            }
        }
    }
}
