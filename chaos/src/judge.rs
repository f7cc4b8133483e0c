//! What the world says of its run: a look at everybody every half second, whether all is well, and the verdict at the
//! end.

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::consensus::{RowStore, View};
use ampora_raft::ids::NodeId;
use ampora_raft::time::Clock;

use crate::invariants::Sizes;
use crate::invariants::liveness::{self, Rest};
use crate::machine::Machine;
use crate::seat::Seat;
use crate::world::World;

impl World {
    /// Looks at what is there of everything, and notes where each node stands.
    pub(crate) fn look(&self) {
        for (seat, machine) in self.seats.iter().zip(&self.machines) {
            self.look_at(seat, machine);
        }
    }

    fn look_at(&self, seat: &Seat, machine: &Machine) {
        let Some(consensus) = seat.consensus() else {
            return;
        };
        let status = consensus.status();
        let (rows, room) = seat.with(|doors| (doors.rows.clone(), doors.room.clone()));
        if let Some(rows) = rows {
            let durable = rows.durable_index();
            self.oracle.purged(seat.node, status.purged_index, durable);
        }
        let Some(room) = room else {
            return;
        };
        self.book.note(
            &seat.name(),
            format_args!(
                "term {} leader {:?} log {} committed {} applied {} boot {}",
                status.term,
                status.leader.map(|leader| leader.0),
                status.last_log_index,
                status.committed_index,
                status.applied_index,
                seat.clocks().boot_ms(),
            ),
        );
        let inbox = seat.with(|doors| doors.inbox.clone());
        let entries = status.last_log_index.saturating_sub(status.purged_index);
        let sizes = Sizes {
            node: seat.node,
            calls: self.network.calls(),
            agents: room.registry.uids().len(),
            timers: room.timers.lock().len(),
            unasked: room.unasked.lock().len(),
            marks: room.evidence.waiting(),
            changes: room.batches.waiting(),
            inbox: inbox.map_or(0, |inbox| inbox.max_capacity() - inbox.capacity()),
            tasks: machine.tasks(),
            unflushed: machine.disk.unflushed(),
            entries: usize::try_from(entries).unwrap_or(usize::MAX),
        };
        self.oracle.sizes(&sizes);
    }

    fn views(&self) -> Vec<(NodeId, Arc<View>)> {
        let views = self.seats.iter().map(|seat| {
            let consensus = seat.consensus()?;
            Some((seat.node, consensus.view()))
        });
        views.flatten().collect()
    }

    fn complaint(&self) -> Option<String> {
        if !self.people.is_calm() {
            return Some("the run is not over".to_owned());
        }
        let leaders: BTreeSet<_> = self
            .seats
            .iter()
            .filter_map(|seat| Some(seat.consensus()?.status().leader))
            .collect();
        liveness::complaint(&Rest {
            nodes: self.machines.len(),
            views: &self.views(),
            leaders: &leaders,
            agents: &self.people.agents.lock(),
            bad: &self.oracle.bad(),
        })
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_well(&self) -> bool {
        self.complaint().is_none()
    }

    /// The verdict on a run that has come to its end.
    pub(crate) fn judge(&self) {
        if let Some(complaint) = self.complaint() {
            self.book.violation("liveness", format_args!("{complaint}"));
        }
        self.oracle.at_end(&self.views());
        let (lines, hash) = self.book.summary();
        let index = self
            .views()
            .first()
            .map_or(0, |(_, view)| view.applied_index);
        self.book.note(
            "world",
            format_args!("ends at {index} after {lines} lines, {hash:016x}"),
        );
    }
}
