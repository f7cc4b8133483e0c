//! Whoever leads: it stamps what is proposed, commits it while a majority hears it, and folds renewals into ticks.

use std::collections::VecDeque;

use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::proposal::{Entry, Idempotency, Origin, Proposal};
use ampora_raft::time::{STEP_MAX_MS, Sent, Stamper};

use crate::world::Left;

/// Who waits for what an entry answers.
#[derive(Clone, Debug)]
pub(crate) enum Waits {
    Nobody,
    Renewals(Vec<(usize, Epoch, Sent)>),
    Registration(usize),
    Claims(usize, Epoch, Vec<u64>),
    Lease(usize, Epoch, &'static str),
    Write(&'static str, u64),
}

#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) commit_at: u64,
    /// True time of the stamp.
    pub(crate) stamped_at: u64,
    pub(crate) entry: Entry,
    pub(crate) waits: Waits,
}

/// Stamps as production does, or as it must not.
#[derive(Debug)]
enum Stamps {
    Ours(Stamper),
    /// The clock as it is, which is the wall clock.
    Wall {
        base_ms: u64,
        base_wall_ms: u64,
        last_ms: u64,
    },
    /// The clamp alone: what a stall cost comes back as time that runs too fast.
    Clamped {
        base_ms: u64,
        base_boot_ms: u64,
        last_ms: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) node: usize,
    stamps: Stamps,
    pub(crate) renewals: Vec<(usize, Epoch, Sent)>,
    pub(crate) next_tick_ms: u64,
    pub(crate) pending: VecDeque<Pending>,
}

impl Leader {
    /// Leads from here on; `clock_ms` was read after everything before was applied.
    pub(crate) fn new(node: usize, fleet_ms: u64, clock_ms: u64, left: Left) -> Self {
        let stamps = match left {
            Left::Rebase => Stamps::Clamped {
                base_ms: fleet_ms,
                base_boot_ms: clock_ms,
                last_ms: fleet_ms,
            },
            Left::BootStamps => Stamps::Wall {
                base_ms: fleet_ms,
                base_wall_ms: clock_ms,
                last_ms: fleet_ms,
            },
            Left::Nothing | Left::Margin | Left::SentTime | Left::BootTime | Left::Fences => {
                Stamps::Ours(Stamper::new(fleet_ms, clock_ms))
            }
        };
        Self {
            node,
            stamps,
            renewals: Vec::new(),
            next_tick_ms: 0,
            pending: VecDeque::new(),
        }
    }

    fn stamp(&mut self, clock_ms: u64) -> u64 {
        match &mut self.stamps {
            Stamps::Ours(stamper) => stamper.stamp(clock_ms),
            Stamps::Wall {
                base_ms,
                base_wall_ms,
                last_ms,
            } => {
                let passed = *base_ms + clock_ms.saturating_sub(*base_wall_ms);
                *last_ms = passed.max(*last_ms);
                *last_ms
            }
            Stamps::Clamped {
                base_ms,
                base_boot_ms,
                last_ms,
            } => {
                let passed = *base_ms + clock_ms.saturating_sub(*base_boot_ms);
                *last_ms = passed.clamp(*last_ms, *last_ms + STEP_MAX_MS);
                *last_ms
            }
        }
    }

    /// Stamps a proposal now; it is committed in order, `takes_ms` from now at the earliest.
    pub(crate) fn propose(
        &mut self,
        now: u64,
        clock_ms: u64,
        takes_ms: u64,
        proposal: Proposal,
        waits: Waits,
    ) {
        // the same wish once more must not end the incarnation that it gave: an old one may be long on its way
        let mut idempotency = None;
        if let Proposal::RegisterNode(node) = &proposal {
            idempotency = Some(Idempotency {
                key: format!("{}/{}", node.node, node.name).into(),
                digest: [0; 32],
            });
        }
        let entry = Entry {
            time_ms: self.stamp(clock_ms),
            wall_ms: 0,
            origin: Origin {
                actor: "node".into(),
                request_id: "".into(),
                idempotency,
            },
            proposal,
        };
        let last = self.pending.back().map_or(0, |last| last.commit_at);
        self.pending.push_back(Pending {
            commit_at: last.max(now + takes_ms),
            stamped_at: now,
            entry,
            waits,
        });
    }

    /// The tick that is due, with everything that asked for a renewal since the last one.
    pub(crate) fn tick(&mut self, ttl_ms: u64) -> (Proposal, Waits) {
        let waiting = std::mem::take(&mut self.renewals);
        let renewals = waiting.iter();
        let renewals = renewals.map(|(node, epoch, _)| (id(*node), *epoch));
        let tick = Proposal::Tick {
            ttl_ms,
            renewals: renewals.collect(),
        };
        (tick, Waits::Renewals(waiting))
    }
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}
