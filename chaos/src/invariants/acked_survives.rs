//! `acked_survives` (design §9, 2): what was acknowledged to an operator is there after any crash.
//!
//! Judged where it is decided: at the true instant at which an operator is told, the entry is on the disks of a majority
//! such that no crash takes it, in the log or in the rows. Whether one of these crashes then happens is luck, and hides a
//! breach for long. A disk whose log goes further is taken to hold the entry, and so is one whose log is empty.
//!
//! Entries go from the log only when the rows on the disk stand for them. What a node says of its log is older than
//! what its disk says right after, and both only grow, so that a purge beyond the rows is never seen by mistake.
//!
//! And by what it comes to: each acknowledgement is kept with what must be found later, and is looked for on every node
//! after all has healed. A lost one cannot come back by itself, so that the end sees whatever was lost on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::consensus::{RowStore, View};
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{ConfigHash, DispatchId, NodeId};
use ampora_storage::log::durable_index;

use crate::book::Book;
use crate::seat::Seat;

/// Something that an operator was told.
#[derive(Clone, Debug)]
pub enum Acked {
    /// A version exists.
    Version(Arc<str>, u32, ConfigHash),
    /// A dispatch was accepted.
    Dispatch(DispatchId),
    /// A group has this revision or a later one.
    Group(Arc<str>, u64),
}

impl Acked {
    fn is_in(&self, fleet: &Fleet) -> bool {
        match self {
            Self::Version(name, number, hash) => {
                fleet.configuration(name).is_some_and(|configuration| {
                    let found = configuration.versions.iter().find(|v| v.number == *number);
                    found.is_some_and(|version| version.hash == *hash)
                })
            }
            Self::Dispatch(id) => fleet.dispatch(*id).is_some(),
            Self::Group(name, revision) => fleet
                .group(name)
                .is_some_and(|group| group.revision >= *revision),
        }
    }
}

/// A node has purged its log up to an entry, while its rows on the disk stand for another.
pub(super) fn purged(book: &Book, node: NodeId, purged: u64, durable: u64) {
    if purged > durable {
        book.violation(
            "acked_survives",
            format_args!(
                "n{node} purged its log up to {purged}, its rows are durable up to {durable}"
            ),
        );
    }
}

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Check {
    acked: Vec<Acked>,
    /// How far the rows on each disk have been seen to stand for entries: they never go back.
    rows: BTreeMap<NodeId, u64>,
}

impl Check {
    /// An operator is told at this moment that the entry at this index has happened.
    pub(super) fn told(&mut self, book: &Book, seats: &[Seat], index: u64) {
        let holders = seats.iter().filter(|seat| self.holds(seat, index)).count();
        if holders * 2 <= seats.len() {
            book.violation(
                "acked_survives",
                format_args!(
                    "entry {index} is acknowledged and on {holders} disks of {}",
                    seats.len()
                ),
            );
        }
    }

    fn holds(&mut self, seat: &Seat, index: u64) -> bool {
        let rows = seat.with(|doors| doors.rows.clone());
        let rows = rows.map_or(0, |rows| rows.durable_index());
        let seen = self.rows.entry(seat.node).or_default();
        *seen = rows.max(*seen);
        *seen >= index || durable_index(seat.disk()).is_none_or(|last| last >= index)
    }

    pub(super) fn acked(&mut self, what: Acked) {
        self.acked.push(what);
    }

    pub(super) fn at_end(&self, book: &Book, views: &[(NodeId, Arc<View>)]) {
        // who is behind lacks what comes later, which is for `liveness` to say
        let newest = views.iter().map(|(_, view)| view.applied_index).max();
        let level = views
            .iter()
            .filter(|(_, view)| Some(view.applied_index) == newest);
        for (node, view) in level {
            for acked in &self.acked {
                if !acked.is_in(&view.fleet) {
                    book.violation("acked_survives", format_args!("n{node} has no {acked:?}"));
                }
            }
        }
    }
}
