//! Claims, releases and reports of this node on their way to the log.
//!
//! One numbered batch at a time, so that no retry overtakes and the fleet never holds an older word of an
//! agent than its owner proposed last. What waits is bounded by the agents of this node: one update and a few session changes for each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{Consensus, ProposeError};
use ampora_raft::fleet::limits::{ENTRY_BYTES_MAX, OPS_PROPOSED_MAX};
use ampora_raft::fleet::sizes::op_bytes;
use ampora_raft::ids::{Epoch, Fence, InstanceUid, NodeId};
use ampora_raft::outcome::{OpOutcome, Outcome, Rejection};
use ampora_raft::proposal::{NodeBatch, Proposal, SessionOp};
use ampora_raft::records::{AgentRecord, AgentUpdate, ReleaseReason, Transport};
use ampora_raft::time::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::reports::Reports;
use crate::node::origin;
use crate::telemetry::names;

/// What a batch is filled to: one operation more, at most a record with its tags, stays under the limit.
const BATCH_BYTES_MAX: usize = ENTRY_BYTES_MAX - 2 * AgentRecord::BYTES_MAX;

/// Rows that one operation may touch: a rename moves a record and its place of an enrollment token.
const ROWS_OF_AN_OP_MAX: usize = 4;

/// How long to wait before the same batch is proposed again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The time at which everything is due and nothing is paced: the node stops.
const AT_THE_END: u64 = u64::MAX;

/// How long reports wait before the pace is looked at again.
const PACE_PAUSE_MS: u64 = 10;

/// This node as the author of its batches.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// The node.
    pub node: NodeId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// New agents beyond this many are refused (`agents.max`).
    pub agents_max: u32,
}

/// The queue in front of the log.
#[derive(Debug, Default)]
pub struct Batches {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    session_ops: VecDeque<Waiting>,
    reports: Reports,
    pace: Pace,
}

/// An operation with whoever waits for its answer.
#[derive(Debug)]
struct Waiting {
    op: SessionOp,
    answer: Option<oneshot::Sender<OpOutcome>>,
}

impl Waiting {
    /// The agent, when this is a report.
    fn reports_of(&self) -> Option<InstanceUid> {
        match self.op {
            SessionOp::Report { uid, .. } => Some(uid),
            SessionOp::Claim { .. }
            | SessionOp::Release { .. }
            | SessionOp::Rename { .. }
            | SessionOp::Enroll { .. } => None,
        }
    }
}

impl Batches {
    /// Asks for the session of an agent. The receiver fails when the node stops first.
    pub fn claim(
        &self,
        uid: InstanceUid,
        expect: Option<Fence>,
        transport: Transport,
    ) -> oneshot::Receiver<OpOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.push(Waiting {
            op: SessionOp::Claim {
                uid,
                expect,
                transport,
            },
            answer: Some(answer),
        });
        outcome
    }

    /// Gives a session up, after what is still pending for the agent.
    pub fn release(
        &self,
        uid: InstanceUid,
        fence: Fence,
        reason: ReleaseReason,
        last_sequence: Option<u64>,
    ) {
        let mut queue = self.queue.lock();
        while let Some(update) = queue.reports.take(uid) {
            queue.session_ops.push_back(Waiting {
                op: report(uid, update),
                answer: None,
            });
        }
        queue.reports.forget(uid);
        queue.session_ops.push_back(Waiting {
            op: SessionOp::Release {
                uid,
                fence,
                reason,
                last_sequence,
            },
            answer: None,
        });
        drop(queue);
        self.wake.notify_one();
    }

    /// Asks for a place of an enrollment token.
    pub fn enroll(
        &self,
        uid: InstanceUid,
        token: Arc<str>,
        per_token_max: Option<u32>,
    ) -> oneshot::Receiver<OpOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.push(Waiting {
            op: SessionOp::Enroll {
                uid,
                token,
                per_token_max,
            },
            answer: Some(answer),
        });
        outcome
    }

    /// Moves a record to the uid that the agent was given.
    pub fn rename(&self, from: InstanceUid, to: InstanceUid) -> oneshot::Receiver<OpOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.push(Waiting {
            op: SessionOp::Rename { from, to },
            answer: Some(answer),
        });
        outcome
    }

    /// Folds a change of deciding fields into what is pending for the agent.
    pub fn report(&self, uid: InstanceUid, update: AgentUpdate, fleet: &Consensus, now_ms: u64) {
        let mut queue = self.queue.lock();
        // under the lock: what has landed before is in this view
        let view = fleet.view();
        let record = view.fleet.agent(uid).map(|record| &**record);
        queue.reports.add(uid, update, record, now_ms);
        drop(queue);
        self.wake.notify_one();
    }

    fn push(&self, waiting: Waiting) {
        self.queue.lock().session_ops.push_back(waiting);
        self.wake.notify_one();
    }

    /// Proposes batch after batch until `stop`, then what is left, and ends.
    pub async fn drive(
        self: Arc<Self>,
        consensus: Consensus,
        author: Author,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) {
        let mut number = 1;
        loop {
            let stopping = stop.is_cancelled();
            let now_ms = if stopping {
                AT_THE_END
            } else {
                clock.boot_ms()
            };
            let batch = self.next_batch(now_ms);
            if batch.is_empty() {
                if stopping {
                    return;
                }
                self.wait(&*clock, &stop).await;
                continue;
            }
            let reported: Vec<_> = batch.iter().filter_map(Waiting::reports_of).collect();
            if !commit(&consensus, author, number, batch, &stop).await {
                return;
            }
            let mut queue = self.queue.lock();
            reported
                .into_iter()
                .for_each(|uid| queue.reports.landed(uid));
            drop(queue);
            number += 1;
        }
    }

    /// Waits for an operation, the next due report, or the end.
    async fn wait(&self, clock: &dyn Clock, stop: &CancellationToken) {
        let due_ms = self.queue.lock().reports.next_due_ms();
        let now_ms = clock.boot_ms();
        let late_ms = due_ms.map_or(0, |due_ms| now_ms.saturating_sub(due_ms));
        metrics::gauge!(names::REPORT_LAG).set(Duration::from_millis(late_ms).as_secs_f64());
        let until_due = async {
            match due_ms {
                Some(due_ms) => {
                    let ms = due_ms.saturating_sub(now_ms).max(PACE_PAUSE_MS);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = until_due => {}
            () = stop.cancelled() => {}
        }
    }

    /// Session changes in the order they came, then the reports that are due.
    fn next_batch(&self, now_ms: u64) -> Vec<Waiting> {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows + ROWS_OF_AN_OP_MAX <= OPS_PROPOSED_MAX && bytes < BATCH_BYTES_MAX {
            let next = queue.session_ops.pop_front();
            let Some(waiting) = next.or_else(|| queue.next_report(now_ms)) else {
                break;
            };
            rows += rows_of(&waiting.op);
            bytes += op_bytes(&waiting.op);
            batch.push(waiting);
        }
        batch
    }
}

impl Queue {
    /// The next report that is due and within the pace.
    fn next_report(&mut self, now_ms: u64) -> Option<Waiting> {
        if now_ms != AT_THE_END && !self.pace.allows(now_ms) {
            return None;
        }
        let (uid, update) = self.reports.next_due(now_ms)?;
        let op = report(uid, update);
        self.pace.went(op_bytes(&op), now_ms);
        Some(Waiting { op, answer: None })
    }
}

fn rows_of(op: &SessionOp) -> usize {
    match op {
        SessionOp::Claim { .. } | SessionOp::Release { .. } | SessionOp::Report { .. } => 1,
        SessionOp::Enroll { .. } => 2,
        SessionOp::Rename { .. } => ROWS_OF_AN_OP_MAX,
    }
}

fn report(uid: InstanceUid, update: AgentUpdate) -> SessionOp {
    SessionOp::Report {
        uid,
        update: Box::new(update),
    }
}

/// Proposes one batch until it is applied, and hands out the answers. False when this incarnation is over.
async fn commit(
    consensus: &Consensus,
    author: Author,
    number: u64,
    batch: Vec<Waiting>,
    stop: &CancellationToken,
) -> bool {
    let (ops, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|w| (w.op, w.answer)).unzip();
    loop {
        let proposal = Proposal::NodeBatch(NodeBatch {
            node: author.node,
            epoch: author.epoch,
            number,
            agents_max: author.agents_max,
            ops: ops.clone(),
        });
        match consensus
            .propose(origin::of_node(author.node), proposal)
            .await
        {
            Ok(committed) => {
                let outcome = committed.outcome;
                let outcomes = if let Outcome::Batch(outcomes) = outcome {
                    outcomes
                } else if matches!(outcome, Outcome::Rejected(Rejection::Gap { last }) if last >= number)
                {
                    // an earlier try was applied although its answer was lost: the fleet says what came of it
                    let outcomes = ops.iter().map(|op| read_back(consensus, author, op));
                    outcomes.collect()
                } else {
                    tracing::error!(?outcome, batch = number, "a batch of sessions was refused");
                    return false;
                };
                answer_all(answers, outcomes);
                return true;
            }
            Err(ProposeError::Stopped) => return false,
            Err(error) => {
                tracing::warn!(%error, batch = number, "a batch of sessions has to be proposed again");
                if stop.is_cancelled() {
                    return false;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn answer_all(answers: Vec<Option<oneshot::Sender<OpOutcome>>>, outcomes: Vec<OpOutcome>) {
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        if let Some(answer) = answer {
            // whoever asked may have given up after its 250 ms; the session is in the fleet all the same
            drop(answer.send(outcome));
        }
    }
}

fn read_back(consensus: &Consensus, author: Author, op: &SessionOp) -> OpOutcome {
    let uid = match op {
        SessionOp::Claim { uid, .. } => uid,
        // whoever asked looks at the fleet with its next message
        SessionOp::Enroll { .. } => return OpOutcome::NotOwner,
        SessionOp::Release { .. } | SessionOp::Report { .. } | SessionOp::Rename { .. } => {
            return OpOutcome::Done;
        }
    };
    let view = consensus.view();
    let session = view.fleet.agent(*uid).and_then(|record| record.session);
    match session {
        Some(held) if held.node == author.node && held.epoch == author.epoch => {
            OpOutcome::Granted {
                fence: held.fence,
                last_sequence: None,
                created: false,
            }
        }
        Some(held) => OpOutcome::Conflict(held),
        None => OpOutcome::AgentLimit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_never_larger_than_the_fleet_takes() {
        let batches = Batches::default();
        let uid = |n: u16| InstanceUid::from_u128(u128::from(n) + 1);
        for n in 0..2_000 {
            if n % 3 == 0 {
                drop(batches.rename(uid(n), uid(n + 10_000)));
            } else {
                drop(batches.claim(uid(n), None, Transport::WebSocket));
            }
        }
        let large = || AgentUpdate {
            components_hash: Some(vec![1; 3_000]),
            ..AgentUpdate::default()
        };
        for n in 0..300 {
            let op = report(uid(n), large());
            let mut queue = batches.queue.lock();
            queue.session_ops.push_back(Waiting { op, answer: None });
        }
        let (mut ops, mut rounds) = (0, 0);
        loop {
            let batch = batches.next_batch(u64::MAX);
            if batch.is_empty() {
                break;
            }
            assert!(batch.iter().map(|w| rows_of(&w.op)).sum::<usize>() <= OPS_PROPOSED_MAX);
            let bytes: usize = batch.iter().map(|w| op_bytes(&w.op)).sum();
            assert!(bytes <= ENTRY_BYTES_MAX, "{bytes} bytes");
            ops += batch.len();
            rounds += 1;
        }
        assert_eq!(ops, 2_300);
        assert!(rounds > 4, "{rounds} batches");
    }
}
