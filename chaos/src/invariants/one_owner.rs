//! `one_owner` (design §9, 3): at most one live owner acts for an agent; a stale fence never takes effect.
//!
//! Two sides. In the log: fences of a session only grow, and a batch takes effect only for the incarnation that is
//! live when it is applied. Towards agents: a node writes an act only while it has a session. That two owners hold
//! each other's sockets for a moment is allowed; that one acts without a lease is not.

use std::collections::BTreeMap;

use ampora_raft::ids::{Fence, InstanceUid, NodeId};
use ampora_raft::rows::Row;

use super::Changed;
use crate::book::Book;

/// The fences under which agents were owned.
#[derive(Debug, Default)]
pub(super) struct Check {
    newest: BTreeMap<InstanceUid, Fence>,
}

impl Check {
    pub(super) fn changed(&mut self, changed: &Changed<'_>) {
        if let Some(Row::Agent(agent)) = &changed.after
            && let Some(session) = agent.session
        {
            let newest = self.newest.entry(agent.uid).or_insert(session.fence);
            if session.fence < *newest {
                changed.book.violation(
                    "one_owner",
                    format_args!("{} goes back from {newest} to {}", agent.uid, session.fence),
                );
            }
            *newest = session.fence.max(*newest);
        }
        if let (Some(Row::Node(before)), Some(Row::Node(after))) = (&changed.before, &changed.after)
            && before.batch != after.batch
            && before.epoch == after.epoch
            && !before.live
        {
            changed.book.violation(
                "one_owner",
                format_args!(
                    "a batch of n{} in epoch {} that is over took effect",
                    after.id, after.epoch
                ),
            );
        }
    }
}

pub(super) fn acted(book: &Book, node: NodeId, uid: InstanceUid, fence: Option<Fence>) {
    if fence.is_none() {
        book.violation(
            "one_owner",
            format_args!("n{node} acts for {uid} without a session"),
        );
    }
}
