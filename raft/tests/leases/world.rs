//! The world: true time in steps, a network that delays and loses, one log, and what must hold of it all.

mod checks;
mod harm;
mod living;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Epoch, Fence, InstanceUid};
use ampora_raft::outcome::{OpOutcome, Outcome, Rejection};
use ampora_raft::proposal::{Entry, NodeBatch, Proposal, SessionOp};
use ampora_raft::time::Sent;

use crate::clocks::Chance;
use crate::leader::{Leader, Pending, Waits, id};
use crate::nodes::{Node, Thing};

pub(crate) const TTL_MS: u64 = 9_000;
const TICK_MS: u64 = 500;
const GRACE_MS: u64 = 2_000;
const LOCK_DELAY_MS: u64 = 3_000;
const STEP_MS: u64 = 25;
const NODES: usize = 5;
const AGENTS: u64 = 6;
const LEASES: [&str; 2] = ["rollout", "retention"];
/// Nothing goes wrong from here on.
const HEALED_MS: u64 = 60_000;
/// Everything is owned again by then: an election, a TTL, a lock delay and some tries.
const END_MS: u64 = 90_000;

/// Which rule is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Stamps are made by boot time.
    BootStamps,
    /// What a stall cost is lost.
    Rebase,
    /// The holder does without the last part of its TTL.
    Margin,
    /// The holder counts from before its renewal left.
    SentTime,
    /// The holder's clock runs through suspend.
    BootTime,
    /// What is written under a lease carries its fence.
    Fences,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// I1: two nodes act for one thing.
    TwoAct,
    /// I2: something was written under an older fence than before.
    StaleWrite,
    /// I3: two replicas at one index are not the same.
    ReplicasDiffer,
    /// I4: a node was flagged dead while it may act.
    DeadWhileValid,
    /// I5: something is not owned long after everything is well.
    NotHealed,
    /// I6: fleet time went back, or ran faster than any clock.
    TimeRuns,
}

#[derive(Debug)]
enum Message {
    Renew(usize, Epoch, Sent),
    Propose(Proposal, Waits),
    Claim(usize, Epoch, Vec<SessionOp>),
    Registered(usize, Epoch),
    Renewed(usize, Epoch, Sent, bool),
    Granted(usize, Epoch, Vec<(Thing, Fence)>),
}

impl Message {
    /// The node that it is for; `None` for whoever leads.
    fn to(&self) -> Option<usize> {
        match self {
            Self::Renew(..) | Self::Propose(..) | Self::Claim(..) => None,
            Self::Registered(to, ..) | Self::Renewed(to, ..) | Self::Granted(to, ..) => Some(*to),
        }
    }
}

pub(crate) struct World {
    chance: Chance,
    drift_ppm: u64,
    left: Left,
    /// How much goes wrong, in tenths: calm worlds let a lease run out undisturbed.
    harm: u64,
    now: u64,
    nodes: Vec<Node>,
    leader: Option<Leader>,
    unheard_since: Option<(u64, u64)>,
    messages: BTreeMap<(u64, u64), Message>,
    sent: u64,
    fleet: Fleet,
    index: u64,
    replica: Fleet,
    behind: VecDeque<(u64, Entry)>,
    /// The furthest back that fleet time was behind the fastest clock.
    slack_us: i64,
    written: BTreeMap<&'static str, u64>,
    given_up: BTreeSet<(Thing, Fence)>,
    broken: BTreeMap<Broken, usize>,
}

impl World {
    pub(crate) fn new(seed: u64, drift_ppm: u64, left: Left) -> Self {
        let mut chance = Chance::new(seed);
        let nodes = (0..NODES)
            .map(|_| Node::new(&mut chance, drift_ppm))
            .collect();
        let harm = chance.within(2, 11);
        Self {
            chance,
            drift_ppm,
            left,
            harm,
            now: 0,
            nodes,
            leader: None,
            unheard_since: None,
            messages: BTreeMap::new(),
            sent: 0,
            fleet: Fleet::default(),
            index: 0,
            replica: Fleet::default(),
            behind: VecDeque::new(),
            slack_us: i64::MAX,
            written: BTreeMap::new(),
            given_up: BTreeSet::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Lives to the end; answers what broke, and how often.
    pub(crate) fn run(mut self) -> BTreeMap<Broken, usize> {
        while self.now < END_MS {
            self.now += STEP_MS;
            for node in &mut self.nodes {
                let suspended = !node.is_awake(self.now);
                node.clocks.pass(STEP_MS, suspended);
            }
            if self.now < HEALED_MS {
                self.harm();
            }
            self.elect();
            self.deliver();
            self.lead();
            self.commit();
            for node in 0..NODES {
                self.live(node);
            }
            self.check_owners();
            if self.chance.happens(2_000) {
                self.compare_replicas();
            }
        }
        self.compare_replicas();
        self.check_healed();
        self.broken
    }

    fn breach(&mut self, broken: Broken) {
        *self.broken.entry(broken).or_default() += 1;
    }

    fn clock_of_stamps(&self, node: usize) -> u64 {
        let clocks = &self.nodes[node].clocks;
        if self.left == Left::BootStamps {
            clocks.wall_ms()
        } else {
            clocks.boot_ms()
        }
    }

    fn heard(&self) -> Vec<usize> {
        let heard = (0..NODES).filter(|node| self.nodes[*node].is_heard(self.now));
        heard.collect()
    }

    /// The leader stamps it now.
    fn propose(&mut self, proposal: Proposal, waits: Waits) {
        let takes_ms = if self.chance.happens(20_000) {
            self.chance.within(500, 4_000)
        } else {
            self.chance.within(5, 150)
        };
        let Some(node) = self.leader.as_ref().map(|leader| leader.node) else {
            return;
        };
        let clock_ms = self.clock_of_stamps(node);
        if let Some(leader) = &mut self.leader {
            leader.propose(self.now, clock_ms, takes_ms, proposal, waits);
        }
    }

    fn post(&mut self, delay_ms: u64, message: Message) {
        self.sent += 1;
        self.messages
            .insert((self.now + delay_ms, self.sent), message);
    }

    /// From a node: lost when it is cut off.
    fn send(&mut self, from: usize, message: Message) {
        let lost = self.now < HEALED_MS && self.chance.happens(20_000);
        if self.nodes[from].is_heard(self.now) && !lost {
            let delay_ms = self.chance.within(1, 300);
            self.post(delay_ms, message);
        }
    }

    fn deliver(&mut self) {
        let later = self.messages.split_off(&(self.now + 1, 0));
        let due = std::mem::replace(&mut self.messages, later);
        for message in due.into_values() {
            let to = message
                .to()
                .or(self.leader.as_ref().map(|leader| leader.node));
            let Some(to) = to else {
                continue;
            };
            let node = &self.nodes[to];
            if !node.is_awake(self.now) {
                let until = node.suspended_until - self.now + 1;
                self.post(until, message);
            } else if node.is_heard(self.now) {
                self.arrive(message);
            }
        }
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Renew(from, epoch, sent) => {
                if let Some(leader) = &mut self.leader {
                    leader.renewals.retain(|(known, ..)| *known != from);
                    leader.renewals.push((from, epoch, sent));
                }
            }
            Message::Propose(proposal, waits) => self.propose(proposal, waits),
            Message::Claim(from, epoch, ops) => self.propose_batch(from, epoch, ops),
            Message::Registered(to, epoch) => self.nodes[to].begin(Some(epoch)),
            Message::Renewed(to, epoch, sent, live) => {
                let node = &mut self.nodes[to];
                if node.epoch == Some(epoch) && live {
                    node.answered(sent, self.left);
                } else if node.epoch == Some(epoch) {
                    node.begin(None);
                }
            }
            Message::Granted(to, epoch, granted) => {
                let node = &mut self.nodes[to];
                if node.epoch == Some(epoch) {
                    let kept = |given: &(Thing, Fence)| !self.given_up.contains(given);
                    node.owns.extend(granted.into_iter().filter(kept));
                }
            }
        }
    }

    fn propose_batch(&mut self, from: usize, epoch: Epoch, ops: Vec<SessionOp>) {
        let uids = ops.iter().filter_map(|op| match op {
            SessionOp::Claim { uid, .. } => Some(uid.as_u64_pair().1),
            SessionOp::Release { .. }
            | SessionOp::Report { .. }
            | SessionOp::Rename { .. }
            | SessionOp::Enroll { .. } => None,
        });
        let waits = Waits::Claims(from, epoch, uids.collect());
        let last = self.fleet.node(id(from)).map_or(0, |node| node.batch);
        let batch = NodeBatch {
            node: id(from),
            epoch,
            number: last + 1,
            agents_max: u32::MAX,
            ops,
        };
        self.propose(Proposal::NodeBatch(batch), waits);
    }

    fn lead(&mut self) {
        let Some(leader) = &mut self.leader else {
            return;
        };
        let node = &self.nodes[leader.node];
        if node.is_heard(self.now) && node.clocks.boot_ms() >= leader.next_tick_ms {
            leader.next_tick_ms = node.clocks.boot_ms() + TICK_MS;
            let (tick, waits) = leader.tick(TTL_MS);
            self.propose(tick, waits);
        }
    }

    fn commit(&mut self) {
        loop {
            let heard = self.heard();
            let majority = heard.len() * 2 > NODES;
            let Some(leader) = self.leader.as_mut().filter(|_| majority) else {
                return;
            };
            let due = leader
                .pending
                .front()
                .is_some_and(|next| next.commit_at <= self.now);
            if !due || !heard.contains(&leader.node) {
                return;
            }
            if let Some(next) = leader.pending.pop_front() {
                self.apply(next);
            }
        }
    }

    fn apply(&mut self, pending: Pending) {
        let Pending {
            stamped_at,
            entry,
            waits,
            ..
        } = pending;
        let before = self.fleet.clone();
        self.index += 1;
        let outcome = self.fleet.apply(self.index, &entry).outcome;
        self.behind.push_back((self.index, entry));
        self.check_time(&before, stamped_at);
        self.check_deaths(&before);
        self.answer(waits, outcome);
    }

    fn answer(&mut self, waits: Waits, outcome: Outcome) {
        let delay_ms = self.chance.within(1, 300);
        match (waits, outcome) {
            (Waits::Renewals(renewals), Outcome::Ticked { fenced }) => {
                for (node, epoch, sent) in renewals {
                    let live = !fenced.contains(&id(node));
                    self.post(delay_ms, Message::Renewed(node, epoch, sent, live));
                }
            }
            (Waits::Registration(node), Outcome::Registered { epoch }) => {
                self.post(delay_ms, Message::Registered(node, epoch));
            }
            (Waits::Claims(node, epoch, uids), Outcome::Batch(answers)) => {
                let granted = uids.into_iter().zip(answers);
                let granted = granted.filter_map(|(uid, answer)| match answer {
                    OpOutcome::Granted { fence, .. } => Some((Thing::Agent(uid), fence)),
                    OpOutcome::Conflict(_)
                    | OpOutcome::Done
                    | OpOutcome::NotOwner
                    | OpOutcome::AgentLimit
                    | OpOutcome::TooLarge
                    | OpOutcome::NotEnrolled(_) => None,
                });
                let granted = granted.collect();
                self.post(delay_ms, Message::Granted(node, epoch, granted));
            }
            (Waits::Lease(node, epoch, name), Outcome::Lease { fence }) => {
                let granted = vec![(Thing::Lease(name), fence)];
                self.post(delay_ms, Message::Granted(node, epoch, granted));
            }
            (Waits::Write(..), Outcome::Rejected(Rejection::StaleLease(_))) => {}
            (Waits::Write(name, fence), _) => {
                let last = self.written.insert(name, fence).unwrap_or_default();
                if fence < last {
                    self.breach(Broken::StaleWrite);
                }
            }
            (_, _) => {}
        }
    }
}

fn uid(n: u64) -> InstanceUid {
    InstanceUid::from_u128(n.into())
}
