//! Bad luck: what happens to machines, clocks and the network while a run is bad.
//!
//! One thing at a time or several, each for a while, chosen by dice of its own; what known mistakes need is on a deck,
//! so that most runs meet all of it.

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

/// Longer than a liveness lease lasts on any clock.
const LEASE_US: u64 = 5_600_000;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Crash,
    KillUnflushed,
    Pause,
    Suspend,
    LongSuspend,
    WallAhead,
    WallBack,
    Cut,
    OneWay,
    Isolate,
    Outage,
    Drift,
    Weather,
}

impl Blow {
    const ALL: &[Self] = &[
        Self::Crash,
        Self::Crash,
        Self::KillUnflushed,
        Self::Pause,
        Self::Suspend,
        Self::LongSuspend,
        Self::WallAhead,
        Self::WallBack,
        Self::Cut,
        Self::OneWay,
        Self::Isolate,
        Self::Outage,
        Self::Drift,
        Self::Weather,
        Self::Weather,
    ];

    /// What mistakes are known by: luck alone would leave it out of many runs.
    const DECK: &[Self] = &[
        Self::KillUnflushed,
        Self::LongSuspend,
        Self::WallAhead,
        Self::WallBack,
        Self::OneWay,
        Self::Isolate,
        Self::Outage,
        Self::Drift,
    ];
}

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
    /// What should happen in this run and has not yet, the next last.
    deck: Vec<Blow>,
    next_us: u64,
    spells: Vec<Spell>,
    network_until_us: Option<u64>,
    /// When the power of everybody goes, whose disks stall until then.
    outage_us: Option<u64>,
    over: bool,
}

impl Nemesis {
    /// Draws from these dice.
    pub fn new(mut dice: Dice) -> Self {
        let mut deck = Blow::DECK.to_vec();
        for at in (1..deck.len()).rev() {
            let with = dice.below(u64::try_from(at + 1).unwrap_or(1));
            deck.swap(at, usize::try_from(with).unwrap_or(0));
        }
        Self {
            dice,
            deck,
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
        let wanted = self.deck.last().filter(|_| self.dice.happens(500));
        let blow = wanted.or_else(|| self.dice.pick(Blow::ALL));
        let Some(blow) = blow.copied() else {
            return;
        };
        if self.deal(world, at, blow) {
            // what has happened need not happen again
            if let Some(place) = self.deck.iter().position(|card| *card == blow) {
                self.deck.remove(place);
            }
        }
    }

    /// Deals a blow; false when it is none at this moment.
    fn deal(&mut self, world: &mut World, at: usize, blow: Blow) -> bool {
        match blow {
            Blow::Crash => {
                let survivors = usize::try_from(self.dice.below(6)).unwrap_or(0);
                self.crash(world, at, survivors);
            }
            Blow::KillUnflushed => return self.kill_unflushed(world),
            Blow::Pause => self.stop(world, at, Power::Paused, 100_000),
            Blow::Suspend => self.stop(world, at, Power::Suspended, 100_000),
            Blow::LongSuspend => self.stop(world, at, Power::Suspended, LEASE_US),
            Blow::WallAhead => {
                // it is the clock of the leader that could decide something
                let at = world.leader().unwrap_or(at);
                self.jump(world, at, 1);
            }
            Blow::WallBack => self.jump(world, at, -1),
            Blow::Cut => {
                let some = self.dice.happens(500);
                let for_us = self.dice.between(300_000, 9_000_000);
                self.cut(world, at, (true, true), some, for_us);
            }
            Blow::OneWay => {
                let to = self.dice.happens(500);
                let for_us = self.dice.between(300_000, 9_000_000);
                self.cut(world, at, (to, !to), false, for_us);
            }
            Blow::Isolate => {
                let for_us = self.dice.between(LEASE_US, 9_000_000);
                self.cut(world, at, (true, true), false, for_us);
            }
            Blow::Outage if self.outage_us.is_some() => return false,
            Blow::Outage => {
                // what is acknowledged meanwhile is in nobody's disk unless somebody waited for it
                stall(world, true);
                let now_us = world.book.now_us();
                self.outage_us = Some(now_us + self.dice.between(200_000, 3_000_000));
                world.book.note("nemesis", format_args!("all disks stall"));
            }
            Blow::Drift => return self.drift(world),
            Blow::Weather => self.weather(world),
        }
        true
    }

    fn crash(&mut self, world: &mut World, at: usize, survivors: usize) {
        world.crash(at, survivors);
        let until_us = world.book.now_us() + self.dice.between(100_000, 7_000_000);
        self.spells.push(Spell { at, until_us });
        world.book.note(
            "nemesis",
            format_args!("n{} crashes, {survivors} batches survive", at + 1),
        );
    }

    /// The leader dies with entries that its own disk has not got; false while it has none.
    fn kill_unflushed(&mut self, world: &mut World) -> bool {
        let leader = world
            .leader()
            .filter(|leader| world.power(*leader) == Power::On);
        let Some(at) = leader else {
            return false;
        };
        let machine = world.machines.get(at);
        if machine.is_none_or(|machine| machine.disk.unflushed() == 0) {
            // the card stays: there is hardly a moment without one
            self.next_us = world.book.now_us();
            return false;
        }
        world.book.note(
            "nemesis",
            format_args!("the leader has not flushed what it says"),
        );
        self.crash(world, at, 0);
        true
    }

    fn stop(&mut self, world: &mut World, at: usize, power: Power, shortest_us: u64) {
        let now_us = world.book.now_us();
        let until_us = now_us + self.dice.between(shortest_us, 12_000_000);
        self.spells.push(Spell { at, until_us });
        if let Some(machine) = world.machines.get_mut(at) {
            machine.power = power;
        }
        let ms = (until_us - now_us) / 1000;
        world.book.note(
            "nemesis",
            format_args!("n{} is {power:?} for {ms} ms", at + 1),
        );
    }

    /// Somebody sets the wall clock of a machine.
    fn jump(&mut self, world: &mut World, at: usize, sign: i64) {
        let by_ms = i64::try_from(self.dice.between(20_000, 600_000)).unwrap_or(0) * sign;
        if let Some(machine) = world.machines.get_mut(at) {
            machine.wall_off_ms += by_ms;
        }
        world.book.note(
            "nemesis",
            format_args!("the wall clock of n{} jumps by {by_ms} ms", at + 1),
        );
    }

    /// Cuts a node off from all others or some, in one direction or both.
    fn cut(&mut self, world: &World, at: usize, (to, from): (bool, bool), some: bool, for_us: u64) {
        let nodes: Vec<NodeId> = world.machines.iter().map(|machine| machine.node).collect();
        let Some(victim) = nodes.get(at).copied() else {
            return;
        };
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
        self.until_network(world.book.now_us() + for_us);
        world.book.note(
            "nemesis",
            format_args!(
                "n{victim} is cut off for {} ms, to others {to}, from others {from}",
                for_us / 1000
            ),
        );
    }

    /// The network is well again then, and not before whatever else it suffers from is over.
    fn until_network(&mut self, until_us: u64) {
        self.network_until_us = self.network_until_us.max(Some(until_us));
    }

    fn weather(&mut self, world: &World) {
        let weather = Weather {
            lost: self.dice.below(300),
            doubled: self.dice.below(200),
            late: self.dice.below(100),
            delay_us: self.dice.between(1_000, 120_000),
        };
        world.network.set_weather(weather);
        let for_us = self.dice.between(500_000, 6_000_000);
        self.until_network(world.book.now_us() + for_us);
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
    fn drift(&mut self, world: &mut World) -> bool {
        let Some(leader) = world.leader() else {
            return false;
        };
        let others = 0..world.machines.len();
        let others: Vec<_> = others
            .filter(|at| *at != leader && world.power(*at) == Power::On)
            .collect();
        let Some(at) = self.dice.pick(&others).copied() else {
            return false;
        };
        for (at, rate) in [(leader, FASTEST), (at, SLOWEST)] {
            if let Some(machine) = world.machines.get_mut(at) {
                machine.rate = rate;
            }
        }
        let nodes: Vec<NodeId> = world.machines.iter().map(|machine| machine.node).collect();
        let Some(alone) = nodes.get(at).copied() else {
            return false;
        };
        for other in nodes.into_iter().filter(|other| *other != alone) {
            world.network.cut(alone, other, true);
            world.network.cut(other, alone, true);
        }
        let now_us = world.book.now_us();
        let for_us = self.dice.between(6_000_000, 8_000_000);
        self.until_network(now_us + for_us);
        // nothing else for as long as the lease may last
        self.next_us = now_us + 6_000_000;
        world.book.note(
            "nemesis",
            format_args!("n{alone} is slow and cut off, the leader is fast"),
        );
        true
    }
}

fn stall(world: &World, stalls: bool) {
    for machine in &world.machines {
        machine.stalls.store(stalls, Ordering::Relaxed);
    }
}
