//! Liveness leases: every node sends its renewals to the leader, which folds them into one entry for all, and lets
//! those end that were not renewed (design §3).

use std::collections::BTreeMap;
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

/// The feature level at which every member knows leases.
const LEASES_LEVEL: u16 = 2;

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

    /// Takes what waits. Of two incarnations of a node, the older is told that it is over.
    fn newest(&self) -> Vec<Waiting> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut newest: BTreeMap<NodeId, Epoch> = BTreeMap::new();
        for one in &waiting {
            let epoch = newest.entry(one.node).or_insert(one.epoch);
            *epoch = one.epoch.max(*epoch);
        }
        let is_newest = |one: &Waiting| newest.get(&one.node) == Some(&one.epoch);
        let (newest, older): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_newest);
        for one in older {
            drop(one.answer.send(Ok(false)));
        }
        newest
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
                let answer = self.call(leader, request).await?;
                if let Response::Renewed(renewed) = answer {
                    return renewed;
                }
                Err(strange(&answer))
            }
        }
    }

    /// While this node leads a fleet of several nodes: one entry for all renewals, twice a second. Never ends; the
    /// caller drops it.
    pub async fn keep_leases(self) {
        let mut period = tokio::time::interval(TICK_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut begun = None;
        loop {
            period.tick().await;
            let status = self.status();
            if status.leader != Some(status.node) {
                begun = None;
                self.renewals.refuse_all(&ProposeError::NotLeader {
                    hint: status.leader,
                });
                continue;
            }
            if begun != Some(status.term) {
                let start = Proposal::LeaderStart { grace_ms: GRACE_MS };
                if self.has_peers() && self.lead(start).await.is_err() {
                    continue;
                }
                begun = Some(status.term);
            }
            self.tick().await;
        }
    }

    /// Whether leases can end: a node alone has nobody to lose them to.
    fn has_peers(&self) -> bool {
        let view = self.view.load();
        view.fleet.nodes().nth(1).is_some() && view.fleet.meta().feature_level >= LEASES_LEVEL
    }

    async fn tick(&self) {
        let waiting = self.renewals.newest();
        if !self.has_peers() {
            let fleet = &self.view.load().fleet;
            for one in waiting {
                let live = fleet
                    .node(one.node)
                    .is_some_and(|node| node.live && node.epoch == one.epoch);
                drop(one.answer.send(Ok(live)));
            }
            return;
        }
        let renewals = waiting.iter().map(|one| (one.node, one.epoch)).collect();
        let proposal = Proposal::Tick {
            ttl_ms: self.renewals.ttl_ms,
            renewals,
        };
        let outcome = self.lead(proposal).await;
        for one in waiting {
            let answer = match &outcome {
                Ok(Outcome::Ticked { fenced }) => Ok(!fenced.contains(&one.node)),
                Ok(_) => Err(ProposeError::OutcomeUnknown),
                Err(error) => Err(error.clone()),
            };
            drop(one.answer.send(answer));
        }
    }

    /// A proposal of this leader's own.
    async fn lead(&self, proposal: Proposal) -> Result<Outcome, ProposeError> {
        let origin = Origin {
            actor: format!("node:{}", self.renewals.node.0).into(),
            request_id: "".into(),
            idempotency: None,
        };
        let committed = self.propose_here(origin, proposal).await?;
        Ok(committed.outcome)
    }
}
