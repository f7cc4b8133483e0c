//! What must hold at every step, after every entry, and at the end.

use std::collections::BTreeSet;

use ampora_raft::fleet::Fleet;

use super::{AGENTS, Broken, LEASES, Thing, World};
use crate::leader::id;

/// Each leadership rounds its base down, by less than a millisecond.
const ROUNDING_US: i64 = 100_000;

impl World {
    /// I1.
    pub(super) fn check_owners(&mut self) {
        let mut acted_for = BTreeSet::new();
        let mut twice = 0;
        for node in &self.nodes {
            if node.is_awake(self.now) && node.may_act(self.left) {
                let owns = node.owns.keys();
                twice += owns.filter(|thing| !acted_for.insert(**thing)).count();
            }
        }
        for _ in 0..twice {
            self.breach(Broken::TwoAct);
        }
    }

    /// I3: a replica that applied the log later, or came from rows in between, is the same.
    pub(super) fn compare_replicas(&mut self) {
        for (index, entry) in self.behind.drain(..) {
            self.replica.apply(index, &entry);
        }
        if self.chance.happens(300_000) {
            let fleet = &self.replica;
            let rows = fleet.row_keys();
            let rows = rows.filter_map(|key| fleet.row(&key).map(|row| (key, row)));
            self.replica = Fleet::load(rows).expect("rows of a fleet");
        }
        if self.replica.digest_now() != self.fleet.digest_now() {
            self.breach(Broken::ReplicasDiffer);
        }
    }

    /// I4, by the clock of the holder itself.
    pub(super) fn check_deaths(&mut self, before: &Fleet) {
        for of in 0..self.nodes.len() {
            let (old, new) = (before.node(id(of)), self.fleet.node(id(of)));
            let (Some(old), Some(new)) = (old, new) else {
                continue;
            };
            let died = old.live && !new.live && self.nodes[of].epoch == Some(old.epoch);
            if died && self.nodes[of].may_act(self.left) {
                self.breach(Broken::DeadWhileValid);
            }
        }
    }

    /// I6.
    pub(super) fn check_time(&mut self, before: &Fleet, stamped_at: u64) {
        let (old, new) = (before.meta().time_ms, self.fleet.meta().time_ms);
        let fastest_us = stamped_at * (1_000_000 + self.drift_ppm) / 1_000;
        let slack_us = (new * 1_000).cast_signed() - fastest_us.cast_signed();
        if new < old || slack_us > self.slack_us.saturating_add(ROUNDING_US) {
            self.breach(Broken::TimeRuns);
        }
        self.slack_us = self.slack_us.min(slack_us);
    }

    /// I5.
    pub(super) fn check_healed(&mut self) {
        let acting = self.nodes.iter().filter(|node| node.may_act(self.left));
        let owned: BTreeSet<_> = acting.flat_map(|node| node.owns.keys().copied()).collect();
        let agents = (1..=AGENTS).map(Thing::Agent);
        let all = agents.chain(LEASES.map(Thing::Lease));
        let live = self.fleet.nodes().filter(|node| node.live).count();
        if live != self.nodes.len() || all.into_iter().any(|thing| !owned.contains(&thing)) {
            self.breach(Broken::NotHealed);
        }
    }
}
