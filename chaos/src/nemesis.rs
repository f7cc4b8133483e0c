//! Bad luck: what happens to machines, clocks and the network while a run is bad. One thing at a time or several, each
//! for a while, chosen by dice of its own.

use std::sync::atomic::Ordering;

use ampora_raft::ids::NodeId;

use crate::clocks::DRIFT_BOUND_PPM;
use crate::dice::Dice;
use crate::machine::Power;
use crate::network::Weather;
use crate::world::World;

/// The extremes of clocks that keep to the bound.
const FASTEST: u64 = 1_000_000 + DRIFT_BOUND_PPM;
const SLOWEST: u64 = 1_000_000 - DRIFT_BOUND_PPM;

/// What is going on at a machine, and until when.
#[derive(Clone, Copy, Debug)]
struct Spell {
    at: usize,
    until_us: u64,
}

/// Whoever makes the luck.
#[derive(Debug)]
pub struct Nemesis {
    dice: Dice,
    next_us: u64,
    spells: Vec<Spell>,
    network_until_us: Option<u64>,
    /// When the power of everybody goes, whose disks stall until then.
    outage_us: Option<u64>,
    over: bool,
}

impl Nemesis {
    /// Draws from these dice.
    pub fn new(dice: Dice) -> Self {
        Self {
            dice,
            next_us: 0,
            spells: Vec::new(),
            network_until_us: None,
            outage_us: None,
            over: false,
        }
    }

    /// Whether it has let go of everything.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Begins and ends what is due.
    ///
    /// # Errors
    /// Fails when a machine cannot be started again.
    pub fn act(&mut self, world: &mut World) -> anyhow::Result<()> {
        let now_us = world.book.now_us();
        let (due, lasting) = self
            .spells
            .drain(..)
            .partition::<Vec<_>, _>(|spell| spell.until_us <= now_us);
        self.spells = lasting;
        for spell in due {
            self.recover(world, spell.at)?;
        }
        if self.network_until_us.is_some_and(|until| until <= now_us) {
            self.network_until_us = None;
            world.network.heal();
            world
                .book
                .note("nemesis", format_args!("the network is well"));
        }
        if self.outage_us.is_some_and(|at| at <= now_us) {
            self.outage_us = None;
            self.outage(world);
        }
        if self.next_us <= now_us {
            self.next_us = now_us + self.dice.between(200_000, 3_000_000);
            self.strike(world);
        }
        Ok(())
    }

    /// Lets go of everything.
    ///
    /// # Errors
    /// Fails when a machine cannot be started again.
    pub fn end(&mut self, world: &mut World) -> anyhow::Result<()> {
        self.over = true;
        self.spells.clear();
        stall(world, false);
        world.network.heal();
        for at in 0..world.machines.len() {
            self.recover(world, at)?;
        }
        Ok(())
    }

    fn recover(&mut self, world: &mut World, at: usize) -> anyhow::Result<()> {
        match world.power(at) {
            Power::On => return Ok(()),
            Power::Off => {
                let machine = world.machines.get_mut(at);
                if let Some(machine) = machine.filter(|_| self.dice.happens(500)) {
                    machine.clocks.reboot();
                }
                world.start(at)?;
            }
            Power::Paused | Power::Suspended => {
                if let Some(machine) = world.machines.get_mut(at) {
                    machine.power = Power::On;
                }
            }
        }
        world
            .book
            .note("nemesis", format_args!("n{} is back", at + 1));
        Ok(())
    }

    /// A machine that runs: any, or more often the one that leads.
    fn victim(&mut self, world: &World) -> Option<usize> {
        let leader = world.leader().filter(|_| self.dice.happens(400));
        let any = usize::try_from(self.dice.below(u64::try_from(world.machines.len()).ok()?)).ok();
        let at = leader.or(any)?;
        (world.power(at) == Power::On).then_some(at)
    }

    fn strike(&mut self, world: &mut World) {
        let Some(at) = self.victim(world) else {
            return;
        };
        let now_us = world.book.now_us();
        let node = at + 1;
        let spell = |dice: &mut Dice, longest_us| Spell {
            at,
            until_us: now_us + dice.between(100_000, longest_us),
        };
        match self.dice.below(13) {
            0..=2 => {
                let survivors = usize::try_from(self.dice.below(6)).unwrap_or(0);
                world.crash(at, survivors);
                self.spells.push(spell(&mut self.dice, 7_000_000));
                world.book.note(
                    "nemesis",
                    format_args!("n{node} crashes, {survivors} batches survive"),
                );
            }
            3 | 4 => {
                let power = if self.dice.happens(500) {
                    Power::Paused
                } else {
                    Power::Suspended
                };
                let spell = spell(&mut self.dice, 12_000_000);
                self.spells.push(spell);
                if let Some(machine) = world.machines.get_mut(at) {
                    machine.power = power;
                }
                let ms = (spell.until_us - now_us) / 1000;
                world
                    .book
                    .note("nemesis", format_args!("n{node} is {power:?} for {ms} ms"));
            }
            5 => {
                let off_ms = i64::try_from(self.dice.below(240_000)).unwrap_or(0) - 120_000;
                if let Some(machine) = world.machines.get_mut(at) {
                    machine.wall_off_ms = off_ms;
                }
                world.book.note(
                    "nemesis",
                    format_args!("the wall clock of n{node} is off by {off_ms} ms"),
                );
            }
            6 | 7 => self.cut(world, at),
            8 if self.outage_us.is_none() => {
                // what is acknowledged meanwhile is in nobody's disk unless somebody waited for it
                stall(world, true);
                self.outage_us = Some(now_us + self.dice.between(200_000, 3_000_000));
                world.book.note("nemesis", format_args!("all disks stall"));
            }
            9 | 10 => self.drift(world),
            _ => self.weather(world),
        }
    }

    /// Cuts a node off from some others, in one direction or both.
    fn cut(&mut self, world: &World, at: usize) {
        let nodes: Vec<NodeId> = world.machines.iter().map(|machine| machine.node).collect();
        let Some(victim) = nodes.get(at).copied() else {
            return;
        };
        let (to, from) = match self.dice.below(4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let some = self.dice.happens(300);
        for other in nodes {
            if other == victim || some && self.dice.happens(500) {
                continue;
            }
            if to {
                world.network.cut(victim, other, true);
            }
            if from {
                world.network.cut(other, victim, true);
            }
        }
        self.network_until_us = Some(world.book.now_us() + self.dice.between(300_000, 9_000_000));
        world.book.note(
            "nemesis",
            format_args!("n{} is cut off, to others {to}, from others {from}", at + 1),
        );
    }

    fn weather(&mut self, world: &World) {
        let weather = Weather {
            lost: self.dice.below(300),
            doubled: self.dice.below(200),
            late: self.dice.below(100),
            delay_us: self.dice.between(1_000, 120_000),
        };
        world.network.set_weather(weather);
        self.network_until_us = Some(world.book.now_us() + self.dice.between(500_000, 6_000_000));
        world.book.note("nemesis", format_args!("{weather:?}"));
    }

    /// The power of everybody goes at once, and comes back to each at its own time.
    fn outage(&mut self, world: &mut World) {
        let now_us = world.book.now_us();
        stall(world, false);
        for at in 0..world.machines.len() {
            self.spells.retain(|spell| spell.at != at);
            let survivors = usize::try_from(self.dice.below(3)).unwrap_or(0);
            world.crash(at, survivors);
            let until_us = now_us + self.dice.between(100_000, 4_000_000);
            self.spells.push(Spell { at, until_us });
        }
        world
            .book
            .note("nemesis", format_args!("all power is gone"));
    }

    /// The leader's clock runs as fast as it may and that of another as slowly, which is then alone with its lease for
    /// longer than it lasts.
    fn drift(&mut self, world: &mut World) {
        let Some(leader) = world.leader() else {
            return;
        };
        let others = 0..world.machines.len();
        let others: Vec<_> = others
            .filter(|at| *at != leader && world.power(*at) == Power::On)
            .collect();
        let Some(at) = self.dice.pick(&others).copied() else {
            return;
        };
        for (at, rate) in [(leader, FASTEST), (at, SLOWEST)] {
            if let Some(machine) = world.machines.get_mut(at) {
                machine.rate = rate;
            }
        }
        let nodes: Vec<NodeId> = world.machines.iter().map(|machine| machine.node).collect();
        let Some(alone) = nodes.get(at).copied() else {
            return;
        };
        for other in nodes.into_iter().filter(|other| *other != alone) {
            world.network.cut(alone, other, true);
            world.network.cut(other, alone, true);
        }
        let now_us = world.book.now_us();
        self.network_until_us = Some(now_us + self.dice.between(6_000_000, 8_000_000));
        // nothing else for as long as the lease may last
        self.next_us = now_us + 6_000_000;
        world.book.note(
            "nemesis",
            format_args!("n{alone} is slow and cut off, the leader is fast"),
        );
    }
}

fn stall(world: &World, stalls: bool) {
    for machine in &world.machines {
        machine.stalls.store(stalls, Ordering::Relaxed);
    }
}
