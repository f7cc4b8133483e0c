//! Claims, releases and reports of this node on their way to the log.
//!
//! One numbered batch at a time, so that no retry overtakes and the fleet never holds an older word of an
//! agent than its owner proposed last. What waits is bounded by the agents of this node: one update and a few session changes for each.

mod drive;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::fleet::limits::{ENTRY_BYTES_MAX, OPS_PROPOSED_MAX};
use ampora_raft::fleet::sizes::op_bytes;
use ampora_raft::ids::{Epoch, Fence, InstanceUid, NodeId};
use ampora_raft::outcome::OpOutcome;
use ampora_raft::proposal::SessionOp;
use ampora_raft::records::{AgentRecord, AgentUpdate, ReleaseReason, Transport};
use ampora_raft::time::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::drive::drive;
use super::pace::Pace;
use super::reports::Reports;
use crate::telemetry::names;

/// What a batch is filled to: one operation more, at most a record with its tags, stays under the limit.
const BATCH_BYTES_MAX: usize = ENTRY_BYTES_MAX - 2 * AgentRecord::BYTES_MAX;

/// Rows that one operation may touch: a rename moves a record and its place of an enrollment token.
const ROWS_OF_AN_OP_MAX: usize = 4;

/// The time at which everything is due and nothing is paced: the node stops.
const AT_THE_END: u64 = u64::MAX;

/// How long reports wait before the pace is looked at again.
const PACE_PAUSE_MS: u64 = 10;

/// This node as the author of what it proposes; in which incarnation says [`super::liveness`].
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// The node.
    pub node: NodeId,
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
    /// The incarnation that what waits here is proposed in.
    epoch: Epoch,
    /// That incarnation is over, and the next one has not begun.
    suspended: bool,
    session_ops: VecDeque<Waiting>,
    /// Who waits for a place of a token or another uid: each asks once, however often its agent speaks meanwhile.
    asking: BTreeSet<Asking>,
    reports: Reports,
    /// Agents of whom something was dropped with an incarnation: they have to say it again.
    unsaid: BTreeSet<InstanceUid>,
    pace: Pace,
}

/// What an agent waits for, besides its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asking {
    Place(InstanceUid),
    OtherUid(InstanceUid),
}

/// A batch with the incarnation that it belongs to.
#[derive(Debug)]
struct Batch {
    epoch: Epoch,
    ops: Vec<Waiting>,
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

    fn asking(&self) -> Option<Asking> {
        match self.op {
            SessionOp::Enroll { uid, .. } => Some(Asking::Place(uid)),
            SessionOp::Rename { from, .. } => Some(Asking::OtherUid(from)),
            SessionOp::Claim { .. } | SessionOp::Release { .. } | SessionOp::Report { .. } => None,
        }
    }

    /// Whether it may be proposed in another incarnation than the one it was decided in: a report or release says
    /// something of a session that is over.
    fn outlives(&self) -> bool {
        match self.op {
            SessionOp::Claim { .. } | SessionOp::Rename { .. } | SessionOp::Enroll { .. } => true,
            SessionOp::Release { .. } | SessionOp::Report { .. } => false,
        }
    }
}

impl Batches {
    /// What is decided from here on belongs to this incarnation.
    pub fn new(epoch: Epoch) -> Self {
        let batches = Self::default();
        batches.queue.lock().epoch = epoch;
        batches
    }

    /// The incarnation is over: nothing is proposed until the next begins.
    pub fn suspend(&self) {
        let mut queue = self.queue.lock();
        queue.suspended = true;
        queue.purge();
    }

    /// A new incarnation has begun, and the agents have forgotten their fences. Agents of whom something was dropped.
    pub fn resume(&self, epoch: Epoch) -> BTreeSet<InstanceUid> {
        let mut queue = self.queue.lock();
        queue.purge();
        queue.epoch = epoch;
        queue.suspended = false;
        let unsaid = std::mem::take(&mut queue.unsaid);
        drop(queue);
        self.wake.notify_one();
        unsaid
    }

    /// The session is another node's: nothing that waits here may be said of the agent any more. Whether there was
    /// anything.
    pub fn forget(&self, uid: InstanceUid) -> bool {
        let mut queue = self.queue.lock();
        let ops =
            queue.drop_ops(|waiting| waiting.outlives() || (waiting.reports_of() != Some(uid)));
        queue.reports.forget(uid);
        queue.reports.drop_pending(uid) || ops.contains(&uid)
    }

    /// Asks for the session of an agent, whose reports wait for [`Self::claim_settled`]: a grant may find the connection
    /// gone on which they came. The receiver fails when the node stops first.
    pub fn claim(
        &self,
        uid: InstanceUid,
        expect: Option<Fence>,
        transport: Transport,
    ) -> oneshot::Receiver<OpOutcome> {
        let (answer, outcome) = oneshot::channel();
        let mut queue = self.queue.lock();
        queue.reports.hold(uid);
        queue.session_ops.push_back(Waiting {
            op: SessionOp::Claim {
                uid,
                expect,
                transport,
            },
            answer: Some(answer),
        });
        drop(queue);
        self.wake.notify_one();
        outcome
    }

    /// It is known what came of the claim of an agent.
    pub fn claim_settled(&self, uid: InstanceUid) {
        self.queue.lock().reports.let_on(uid);
        self.wake.notify_one();
    }

    /// The agent is gone without a session: it may have told another node newer things by the time its claim is granted.
    /// Whether anything it said is dropped.
    pub fn unsay(&self, uid: InstanceUid) -> bool {
        self.queue.lock().reports.drop_pending(uid)
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

    /// How many session changes wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().session_ops.len()
    }

    /// Whether everything has reached the log.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.session_ops.is_empty() && queue.reports.is_idle()
    }

    /// Lets nothing out, as if the log were slow, or everything again.
    #[cfg(test)]
    pub(super) fn hold_back(&self, held: bool) {
        self.queue.lock().suspended = held;
        self.wake.notify_one();
    }

    fn push(&self, waiting: Waiting) {
        let mut queue = self.queue.lock();
        if let Some(asking) = waiting.asking()
            && !queue.asking.insert(asking)
        {
            // an earlier message of the agent asks already
            return;
        }
        queue.session_ops.push_back(waiting);
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for an operation, the next due report, or the end.
    async fn wait(&self, clock: &dyn Clock, stop: &CancellationToken) {
        let due_ms = {
            let queue = self.queue.lock();
            let due_ms = queue.reports.next_due_ms();
            due_ms.filter(|_| !queue.suspended)
        };
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
    fn next_batch(&self, now_ms: u64) -> Batch {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        if queue.suspended {
            return Batch {
                epoch: queue.epoch,
                ops: batch,
            };
        }
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
        Batch {
            epoch: queue.epoch,
            ops: batch,
        }
    }

    /// A batch is in the log.
    fn landed(&self, done: &[Done]) {
        let mut queue = self.queue.lock();
        for done in done {
            match done {
                Done::Reported(uid) => queue.reports.landed(*uid),
                Done::Asked(asking) => {
                    queue.asking.remove(asking);
                }
            }
        }
    }

    /// The incarnation of a batch is over. What outlives it waits again, in its order; agents of whom something was
    /// dropped, unless the next incarnation is still to begin and asks them.
    fn refused(&self, batch: Batch) -> BTreeSet<InstanceUid> {
        let mut queue = self.queue.lock();
        for waiting in batch.ops.into_iter().rev() {
            queue.session_ops.push_front(waiting);
        }
        if queue.epoch == batch.epoch {
            queue.suspended = true;
        }
        let unsaid = queue.drop_ops(Waiting::outlives);
        queue.unsaid.extend(unsaid);
        if queue.suspended {
            BTreeSet::new()
        } else {
            std::mem::take(&mut queue.unsaid)
        }
    }
}

/// What is to be noted once an operation is in the log.
enum Done {
    Reported(InstanceUid),
    Asked(Asking),
}

impl Done {
    fn reported(&self) -> Option<InstanceUid> {
        match self {
            Self::Reported(uid) => Some(*uid),
            Self::Asked(_) => None,
        }
    }
}

impl Waiting {
    fn done(&self) -> Option<Done> {
        let asked = || self.asking().map(Done::Asked);
        self.reports_of().map(Done::Reported).or_else(asked)
    }
}

impl Queue {
    /// Drops what does not outlive an incarnation.
    fn purge(&mut self) {
        let mut unsaid = self.drop_ops(Waiting::outlives);
        unsaid.extend(self.reports.drop_all());
        self.unsaid.append(&mut unsaid);
    }

    /// Drops operations that are not to stay; whose reports went with them.
    fn drop_ops(&mut self, stays: impl Fn(&Waiting) -> bool) -> BTreeSet<InstanceUid> {
        let mut unsaid = BTreeSet::new();
        self.session_ops.retain(|waiting| {
            let stays = stays(waiting);
            if let Some(uid) = waiting.reports_of().filter(|_| !stays) {
                self.reports.landed(uid);
                unsaid.insert(uid);
            }
            if let Some(asking) = waiting.asking().filter(|_| !stays) {
                self.asking.remove(&asking);
            }
            stays
        });
        unsaid
    }

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

#[cfg(test)]
mod tests;
