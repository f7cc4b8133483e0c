//! `NodeBatch`: claims, releases and reports of one node, strictly in the order of their numbers, so that
//! no retry overtakes. The batch is refused whole or answered operation by operation.

mod claim;
mod enroll;
mod release;
mod rename;
mod report;

use super::Fleet;
use super::context::Context;
use super::limits::{ENTRY_BYTES_MAX, OPS_MAX};
use super::sizes::op_bytes;
use crate::ids::{Epoch, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::planted::{self, Bug};
use crate::proposal::{NodeBatch, SessionOp};
use crate::records::AgentRecord;

/// Whose batch it is, and what the node allows.
#[derive(Clone, Copy)]
struct Owner {
    node: NodeId,
    epoch: Epoch,
    agents_max: u32,
}

impl Owner {
    /// Whether the row of the agent names this node in this epoch, which is live: `node_batch` checked.
    fn owns(self, agent: &AgentRecord) -> bool {
        agent
            .session
            .is_some_and(|session| session.node == self.node && session.epoch == self.epoch)
    }
}

impl Fleet {
    pub(super) fn node_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &NodeBatch,
    ) -> Result<Outcome, Rejection> {
        if batch.ops.len() > OPS_MAX {
            return Err(Rejection::TooLarge("operations".into()));
        }
        if batch.ops.iter().map(op_bytes).sum::<usize>() > ENTRY_BYTES_MAX {
            return Err(Rejection::TooLarge("bytes of operations".into()));
        }
        let node = match self.nodes.get(&batch.node) {
            Some(node) if node.live && node.epoch == batch.epoch => node,
            Some(node) if planted::is(Bug::FenceIgnored) => node,
            Some(_) | None => return Err(Rejection::Fenced(batch.epoch)),
        };
        if node.batch.checked_add(1) != Some(batch.number) {
            return Err(Rejection::Gap { last: node.batch });
        }
        let mut node = (**node).clone();
        node.batch = batch.number;
        self.put_node(cx, node);
        let owner = Owner {
            node: batch.node,
            epoch: batch.epoch,
            agents_max: batch.agents_max,
        };
        // Rows that later operations are sure to find: a rename takes only what is beyond them.
        let mut waiting: usize = batch.ops.iter().map(rows_at_least).sum();
        let mut outcomes = Vec::with_capacity(batch.ops.len());
        for op in &batch.ops {
            waiting -= rows_at_least(op);
            outcomes.push(match op {
                SessionOp::Claim {
                    uid,
                    expect,
                    transport,
                } => self.claim(cx, owner, *uid, *expect, *transport),
                SessionOp::Release {
                    uid,
                    fence,
                    reason,
                    last_sequence,
                } => self.release(cx, owner, *uid, *fence, (*reason, *last_sequence)),
                SessionOp::Report { uid, update } => self.report(cx, owner, *uid, update),
                SessionOp::Rename { from, to } => self.rename(cx, owner, *from, *to, waiting),
                SessionOp::Enroll {
                    uid,
                    token,
                    per_token_max,
                } => self.enroll(cx, owner, *uid, token, *per_token_max),
            });
        }
        Ok(Outcome::Batch(outcomes))
    }
}

/// Rows that an operation needs if nothing is queued for its agent.
fn rows_at_least(op: &SessionOp) -> usize {
    match op {
        SessionOp::Claim { .. } | SessionOp::Release { .. } | SessionOp::Report { .. } => 1,
        SessionOp::Rename { .. } => rename::RENAME_ROWS,
        SessionOp::Enroll { .. } => enroll::ENROLL_ROWS,
    }
}
