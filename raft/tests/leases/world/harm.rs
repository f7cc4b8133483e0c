//! What goes wrong: suspends, isolation, jumps of the wall clock, crashes, and one leader after another.

use std::collections::VecDeque;

use ampora_raft::proposal::Proposal;

use super::{GRACE_MS, HEALED_MS, Message, NODES, World};
use crate::leader::{Leader, Waits, id};

impl World {
    fn harms(&mut self, ppm: u64) -> bool {
        self.chance.happens(ppm * self.harm / 10)
    }

    /// Some time from now, over before everything is well.
    fn until(&mut self, from: u64, to: u64) -> u64 {
        (self.now + self.chance.within(from, to)).min(HEALED_MS)
    }

    pub(super) fn harm(&mut self) {
        let node = self.chance.pick(NODES);
        let long = self.until(500, 25_000);
        if self.harms(3_000) {
            self.nodes[node].suspended_until = long;
        }
        // the machine under all of them
        if self.harms(500) {
            for node in &mut self.nodes {
                node.suspended_until = long;
            }
        }
        if self.harms(3_000) {
            self.nodes[node].cut_until = self.until(1_000, 15_000);
        }
        if self.harms(5_000) {
            let by = self.chance.within(0, 120_000) as i64 - 60_000;
            self.nodes[node].clocks.jump_wall(by);
        }
        if self.harms(1_500) {
            self.nodes[node].begin(None);
            self.nodes[node].suspended_until = self.until(100, 8_000);
        }
        if self.harms(1_000) {
            self.leave(node);
        }
    }

    /// It ends in order: it stops to act before it says so.
    fn leave(&mut self, of: usize) {
        let Some(epoch) = self.nodes[of].epoch else {
            return;
        };
        self.nodes[of].begin(None);
        self.nodes[of].registering_until = self.now + self.chance.within(500, 4_000);
        let node = id(of);
        let at_once = 10;
        for proposal in [
            Proposal::DrainNode { node, epoch },
            Proposal::LeaveNode { node, epoch },
        ] {
            self.post(at_once, Message::Propose(proposal, Waits::Nobody));
        }
    }

    /// Another one leads when the leader was not heard of for a while, and sometimes for no reason.
    pub(super) fn elect(&mut self) {
        let heard = self.heard();
        let leads = self.leader.as_ref().map(|leader| leader.node);
        if leads.is_some_and(|leader| heard.contains(&leader)) {
            self.unheard_since = None;
            if self.now >= HEALED_MS || !self.harms(1_500) {
                return;
            }
        } else {
            let patience = if self.chance.happens(200_000) && self.now < HEALED_MS {
                self.chance.within(1_500, 30_000)
            } else {
                self.chance.within(500, 1_500)
            };
            let (since, patience) = *self.unheard_since.get_or_insert((self.now, patience));
            let patience = if self.now < HEALED_MS { patience } else { 500 };
            if self.now < since + patience {
                return;
            }
        }
        if heard.len() * 2 <= NODES {
            return;
        }
        let next = heard[self.chance.pick(heard.len())];
        // what a majority had already is committed by the next one, and nobody hears the answer
        let mut kept = self
            .leader
            .take()
            .map_or(VecDeque::new(), |old| old.pending);
        let known = self.chance.pick(kept.len() + 1);
        for mut pending in kept.drain(..known) {
            if !matches!(pending.waits, Waits::Write(..)) {
                pending.waits = Waits::Nobody;
            }
            self.apply(pending);
        }
        let clock_ms = self.clock_of_stamps(next);
        let fleet_ms = self.fleet.meta().time_ms;
        self.leader = Some(Leader::new(next, fleet_ms, clock_ms, self.left));
        self.unheard_since = None;
        let start = Proposal::LeaderStart { grace_ms: GRACE_MS };
        self.propose(start, Waits::Nobody);
    }
}
