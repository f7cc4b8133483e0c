//! Brings batch after batch to the log, numbered within an incarnation, until the node stops. Without a quorum it
//! waits and says so once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::ProposeError;
use ampora_raft::ids::{Epoch, InstanceUid};
use ampora_raft::outcome::{OpOutcome, Outcome, Rejection};
use ampora_raft::planted::{self, Bug};
use ampora_raft::proposal::{NodeBatch, Proposal, SessionOp};
use ampora_raft::records::Session;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{AT_THE_END, Batch, Done, Waiting};
use crate::agents::room::Room;
use crate::node::origin;

/// How long to wait before the same batch is proposed again after a failure; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Proposes batch after batch until `stop`, then what is left, and ends.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let batches = &room.batches;
    let (mut epoch, mut number) = (room.liveness.epoch(), 1);
    let mut late = Vec::new();
    loop {
        let stopping = stop.is_cancelled();
        let now_ms = if stopping {
            AT_THE_END
        } else {
            room.clock.boot_ms()
        };
        let batch = batches.next_batch(now_ms);
        if batch.ops.is_empty() {
            if stopping {
                return;
            }
            batches.wait(&*room.clock, &stop).await;
            continue;
        }
        if batch.epoch != epoch {
            (epoch, number) = (batch.epoch, 1);
        }
        match commit(&room, number, batch, &mut late, &stop).await {
            Went::Landed(done, unheard) => {
                room.ask_again(unheard);
                batches.landed(&done);
                number += 1;
                let ops = come_late(&done, &mut late);
                if !ops.is_empty() {
                    let batch = Batch { epoch, ops };
                    drop(commit(&room, number, batch, &mut late, &stop).await);
                    number += 1;
                }
            }
            Went::Over(batch) => {
                room.ask_again(batches.refused(batch));
                room.liveness.doubt(epoch);
            }
            Went::Unwelcome(done) => {
                batches.landed(&done);
                room.ask_again(done.iter().filter_map(Done::reported).collect());
            }
            Went::Stopped => return,
        }
    }
}

/// What became of a batch.
enum Went {
    /// It is applied; agents of whom the fleet took no report, because their claim is still on its way.
    Landed(Vec<Done>, BTreeSet<InstanceUid>),
    /// Its incarnation is over, and nothing of it happened.
    Over(Batch),
    /// The fleet will never take it: a fault of ours, and agents say everything again.
    Unwelcome(Vec<Done>),
    Stopped,
}

/// A bug on purpose: reports that were left behind come again behind what is newer.
fn come_late(done: &[Done], late: &mut Vec<Waiting>) -> Vec<Waiting> {
    let newer: BTreeSet<_> = done.iter().filter_map(Done::reported).collect();
    let is_due = |op: &mut Waiting| op.reports_of().is_some_and(|uid| newer.contains(&uid));
    late.extract_if(.., is_due).collect()
}

/// Proposes one batch until it is applied, and hands out the answers.
async fn commit(
    room: &Room,
    number: u64,
    mut batch: Batch,
    late: &mut Vec<Waiting>,
    stop: &CancellationToken,
) -> Went {
    let (consensus, author) = (&room.consensus, room.author);
    let mut pause = RETRY_FIRST;
    loop {
        let proposal = Proposal::NodeBatch(NodeBatch {
            node: author.node,
            epoch: batch.epoch,
            number,
            agents_max: author.agents_max,
            ops: batch.ops.iter().map(|waiting| waiting.op.clone()).collect(),
        });
        let proposed = consensus.propose(origin::of_node(author.node), proposal);
        match proposed.await {
            Ok(committed) => {
                if pause != RETRY_FIRST {
                    tracing::info!(batch = number, "batches of sessions reach the log again");
                }
                let outcome = committed.outcome;
                let outcomes = if let Outcome::Batch(outcomes) = outcome {
                    outcomes
                } else if matches!(outcome, Outcome::Rejected(Rejection::Gap { last }) if last >= number)
                {
                    // an earlier try was applied although its answer was lost: the fleet says what came of it
                    let ops = batch.ops.iter();
                    ops.map(|waiting| read_back(room, batch.epoch, &waiting.op))
                        .collect()
                } else if matches!(outcome, Outcome::Rejected(Rejection::Fenced(_))) {
                    return Went::Over(batch);
                } else {
                    tracing::error!(?outcome, batch = number, "a batch of sessions was refused");
                    return Went::Unwelcome(done(&batch));
                };
                let done = done(&batch);
                let unheard = unheard(&batch, &outcomes);
                let answers = batch.ops.into_iter().map(|waiting| waiting.answer);
                answer_all(answers, outcomes);
                return Went::Landed(done, unheard);
            }
            Err(ProposeError::Stopped) => return Went::Stopped,
            Err(error) => {
                if pause == RETRY_FIRST {
                    tracing::warn!(%error, batch = number, "batches of sessions wait for the log");
                }
                if stop.is_cancelled() {
                    return Went::Stopped;
                }
                if planted::is(Bug::ReportsOutOfOrder) {
                    let ops = batch.ops.drain(..);
                    let (reports, rest) = ops.partition(|op| op.reports_of().is_some());
                    late.extend::<Vec<_>>(reports);
                    batch.ops = rest;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
            }
        }
    }
}

fn answer_all(
    answers: impl Iterator<Item = Option<oneshot::Sender<OpOutcome>>>,
    outcomes: Vec<OpOutcome>,
) {
    for (answer, outcome) in answers.zip(outcomes) {
        if let Some(answer) = answer {
            // whoever asked may have given up after its 250 ms; the session is in the fleet all the same
            drop(answer.send(outcome));
        }
    }
}

fn read_back(room: &Room, epoch: Epoch, op: &SessionOp) -> OpOutcome {
    let view = room.consensus.view();
    let session = |uid| view.fleet.agent(uid).and_then(|record| record.session);
    let is_ours = |held: &Session| held.node == room.author.node && held.epoch == epoch;
    let uid = match op {
        SessionOp::Claim { uid, .. } => *uid,
        // whoever asked looks at the fleet with its next message
        SessionOp::Enroll { .. } => return OpOutcome::NotOwner,
        SessionOp::Report { uid, .. } => {
            return match session(*uid) {
                Some(held) if is_ours(&held) => OpOutcome::Done,
                Some(_) | None => OpOutcome::NotOwner,
            };
        }
        SessionOp::Release { .. } | SessionOp::Rename { .. } => return OpOutcome::Done,
    };
    match session(uid) {
        Some(held) if is_ours(&held) => OpOutcome::Granted {
            fence: held.fence,
            last_sequence: None,
            created: false,
        },
        Some(held) => OpOutcome::Conflict(held),
        None => OpOutcome::AgentLimit,
    }
}

fn unheard(batch: &Batch, outcomes: &[OpOutcome]) -> BTreeSet<InstanceUid> {
    let answered = batch.ops.iter().zip(outcomes);
    answered
        .filter(|(_, outcome)| **outcome == OpOutcome::NotOwner)
        .filter_map(|(waiting, _)| waiting.reports_of())
        .collect()
}

fn done(batch: &Batch) -> Vec<Done> {
    batch.ops.iter().filter_map(Waiting::done).collect()
}
