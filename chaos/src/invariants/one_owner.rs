//! `one_owner` (design §9, 3): at most one live owner acts for an agent; a stale fence never takes effect.
//!
//! In the log: fences of a session only grow, and a batch takes effect only for the incarnation that is live when it is
//! applied.
//!
//! At the agents, at the true instant at which an act goes into a socket: the node has a session, is within its lease,
//! and has read nothing in the log that ends it. What another node has claimed meanwhile, and this one has not applied
//! yet, does not count against it: the design lets a stale owner act for the rest of its lease, and fences what comes of
//! it. An incarnation whose end is committed has no lease left while clocks keep to the bound, applied or not.

use std::collections::BTreeMap;

use ampora::agents::room::Room;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Fence, InstanceUid};
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

/// A node has given an act to the socket of an agent; `newest` is the fleet of whoever has applied most.
pub(super) fn acted(
    book: &Book,
    room: &Room,
    uid: InstanceUid,
    newest: &Fleet,
    within_bound: bool,
) {
    let (node, epoch) = (room.author.node, room.liveness.epoch());
    let agent = room.registry.get(uid);
    let Some(fence) = agent.and_then(|agent| agent.with(|state| state.fence)) else {
        let why = format_args!("n{node} acts for {uid} without a session");
        return book.violation("one_owner", why);
    };
    if !room.may_act() {
        let why = format_args!("n{node} acts for {uid} past its lease");
        return book.violation("one_owner", why);
    }
    let known = room.consensus.view();
    let session = known
        .fleet
        .agent(uid)
        .and_then(|record| known.fleet.valid_session(record));
    let is_known = session.is_some_and(|session| {
        (session.node, session.epoch, session.fence) == (node, epoch, fence)
    });
    if !is_known {
        book.violation(
            "one_owner",
            format_args!(
                "n{node} acts for {uid} under {fence}, which it knows to be over: {session:?}"
            ),
        );
    }
    let live = newest
        .node(node)
        .is_some_and(|known| known.live && known.epoch == epoch);
    if within_bound && !live {
        book.violation(
            "one_owner",
            format_args!("n{node} acts for {uid} in epoch {epoch}, whose end is committed"),
        );
    }
}
