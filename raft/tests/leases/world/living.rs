//! What a node does: it renews, takes what nobody owns, writes, and gives up.

use ampora_raft::ids::{Epoch, Fence};
use ampora_raft::proposal::{Proposal, RegisterNode, SessionOp};
use ampora_raft::records::{ReleaseReason, Transport};

use super::{AGENTS, HEALED_MS, LEASES, LOCK_DELAY_MS, Left, Message, TTL_MS, World, uid};
use crate::leader::{Waits, id};
use crate::nodes::Thing;

impl World {
    /// One step of a node that is awake.
    pub(super) fn live(&mut self, of: usize) {
        let node = &self.nodes[of];
        if !node.is_awake(self.now) {
            return;
        }
        let Some(epoch) = node.epoch else {
            self.register(of);
            return;
        };
        let boot_ms = node.clocks.boot_ms();
        if boot_ms >= node.next_renewal_ms {
            let sent = node.sent(self.left);
            self.nodes[of].next_renewal_ms = boot_ms + TTL_MS / 4;
            self.send(of, Message::Renew(of, epoch, sent));
        }
        if self.nodes[of].may_act(self.left) {
            if boot_ms >= self.nodes[of].next_try_ms {
                self.nodes[of].next_try_ms = boot_ms + 1_000;
                self.settle(of, epoch);
                self.ask(of, epoch);
            }
            self.act(of, epoch);
        }
    }

    fn register(&mut self, of: usize) {
        if self.now < self.nodes[of].registering_until {
            return;
        }
        self.nodes[of].registering_until = self.now + 3_000;
        let register = Proposal::RegisterNode(RegisterNode {
            node: id(of),
            name: self.nodes[of].wishes.to_string().into(),
            version: "1".into(),
            opamp_address: "".into(),
            admin_address: "".into(),
        });
        self.send(of, Message::Propose(register, Waits::Registration(of)));
    }

    /// Gives up what the log says is its own and it does not know of: an answer, or a release, got lost.
    fn settle(&mut self, of: usize, epoch: Epoch) {
        let mine = (id(of), epoch);
        let agents = (1..=AGENTS).filter_map(|n| {
            let session = self.fleet.agent(uid(n))?.session?;
            let own = (session.node, session.epoch) == mine;
            own.then_some((Thing::Agent(n), session.fence))
        });
        let leases = LEASES.into_iter().filter_map(|name| {
            let lease = self.fleet.lease(name)?;
            let own = (lease.node, lease.epoch) == mine;
            own.then_some((Thing::Lease(name), lease.fence))
        });
        let all: Vec<_> = agents.chain(leases).collect();
        for (thing, fence) in all {
            if !self.nodes[of].owns.contains_key(&thing) {
                self.give_up(of, epoch, thing, fence);
            }
        }
    }

    /// Asks for what nobody seems to own.
    fn ask(&mut self, of: usize, epoch: Epoch) {
        let free = (1..=AGENTS).filter(|n| {
            let agent = self.fleet.agent(uid(*n));
            agent.is_none_or(|agent| !self.fleet.session_valid(agent))
        });
        let claims = free.map(|n| SessionOp::Claim {
            uid: uid(n),
            expect: None,
            transport: Transport::WebSocket,
        });
        let claims: Vec<_> = claims.collect();
        if !claims.is_empty() {
            self.send(of, Message::Claim(of, epoch, claims));
        }
        let name = LEASES[self.chance.pick(LEASES.len())];
        if !self.nodes[of].owns.contains_key(&Thing::Lease(name)) {
            let acquire = Proposal::AcquireLease {
                name: name.into(),
                node: id(of),
                epoch,
                lock_delay_ms: LOCK_DELAY_MS,
            };
            self.send(of, Message::Propose(acquire, Waits::Lease(of, epoch, name)));
        }
    }

    /// Does what it owns allows, or gives something up. What it wrote may be long on its way.
    fn act(&mut self, of: usize, epoch: Epoch) {
        let owns: Vec<_> = self.nodes[of].owns.iter().map(|(k, v)| (*k, *v)).collect();
        for (thing, fence) in owns {
            if self.now < HEALED_MS && self.chance.happens(2_000) {
                self.give_up(of, epoch, thing, fence);
                continue;
            }
            let Thing::Lease(name) = thing else {
                continue;
            };
            if self.chance.happens(20_000) {
                let slow = self.chance.happens(100_000);
                let delay_ms = self.chance.within(1, if slow { 20_000 } else { 500 });
                let note = Proposal::NoteWallTime { begins: false };
                let note = if self.left == Left::Fences {
                    note
                } else {
                    note.under_lease(name.into(), fence)
                };
                self.post(
                    delay_ms,
                    Message::Propose(note, Waits::Write(name, fence.0)),
                );
            }
        }
    }

    fn give_up(&mut self, of: usize, epoch: Epoch, thing: Thing, fence: Fence) {
        self.nodes[of].owns.remove(&thing);
        self.given_up.insert((thing, fence));
        match thing {
            Thing::Agent(n) => {
                let release = SessionOp::Release {
                    uid: uid(n),
                    fence,
                    reason: ReleaseReason::Lost,
                    last_sequence: None,
                };
                self.send(of, Message::Claim(of, epoch, vec![release]));
            }
            Thing::Lease(name) => {
                let name = name.into();
                let release = Proposal::ReleaseLease { name, fence };
                self.send(of, Message::Propose(release, Waits::Nobody));
            }
        }
    }
}
