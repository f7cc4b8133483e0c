//! `one_holder` (design §9, 4): at most one holder of a named lease acts at any true instant while clocks keep to the
//! bound; a stale token never writes, whatever clocks do.
//!
//! The first is looked at in every step of true time, on all machines that run: each says whether it may act. The
//! second is judged by the log: fences under which something was written only grow with the index.

use ampora_raft::ids::{Fence, NodeId};

use crate::book::Book;
use crate::seat::Seat;

/// The newest entry that was written under the lease.
#[derive(Debug, Default)]
pub(super) struct Check {
    writes: std::collections::BTreeMap<u64, (Fence, NodeId)>,
}

impl Check {
    pub(super) fn wrote(&mut self, book: &Book, node: NodeId, fence: Fence, index: u64) {
        let before = self.writes.range(..index).next_back();
        let after = self.writes.range(index..).next();
        let newer = before.filter(|(_, (held, _))| *held > fence);
        let older = after.filter(|(_, (held, _))| *held < fence);
        if let Some((other, (held, by))) = newer.or(older) {
            book.violation(
                "one_holder",
                format_args!(
                    "n{node} wrote {index} under {fence}, n{by} wrote {other} under {held}"
                ),
            );
        }
        self.writes.insert(index, (fence, node));
    }
}

/// Looks at everybody at one instant.
pub(super) fn look<'a>(book: &Book, running: impl Iterator<Item = &'a Seat>) {
    let holders: Vec<_> = running
        .filter_map(|seat| {
            let tenure = seat.with(|doors| doors.tenure.clone())?;
            tenure.holds().then(|| (seat.node, tenure.fence()))
        })
        .collect();
    if holders.len() > 1 {
        book.violation(
            "one_holder",
            format_args!("all of these may act: {holders:?}"),
        );
    }
}
