//! One run: a cluster, its people and its bad luck, from a seed. True time goes in small steps; in each, messages arrive
//! and every machine does what is due, one after the other on one thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ampora::node::origin;
use ampora::tasks::Tasks;
use ampora_raft::consensus::{Begin, MemberStep};
use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;
use ampora_raft::proposal::Proposal;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::book::Book;
use crate::clocks::DRIFT_BOUND_PPM;
use crate::cluster::{Place, live};
use crate::dice::Dice;
use crate::invariants::Oracle;
use crate::machine::{Machine, Power};
use crate::nemesis::Nemesis;
use crate::network::{Load, Network};
use crate::people::{AGENTS, AgentState, People};
use crate::seat::{Ask, Seat};

/// A step of true time.
const STEP_US: u64 = 2_000;

/// When the bad luck begins, ends, and how long after it everything must be well.
const BAD_FROM_US: u64 = 6_000_000;
const BAD_UNTIL_US: u64 = 45_000_000;
const WELL_BY_US: u64 = 200_000_000;

/// Between two looks at what should be bounded.
const LOOK_EVERY_STEPS: u64 = 250;

/// The first wall time of every run.
const WALL_MS: u64 = 1_795_000_000_000;

/// What a run is made of.
#[derive(Debug)]
pub struct World {
    /// The trace and what was found.
    pub book: Book,
    /// The machines of nodes.
    pub machines: Vec<Machine>,
    /// The network between them.
    pub network: Network,
    pub(crate) seats: Arc<Vec<Seat>>,
    pub(crate) oracle: Oracle,
    pub(crate) people: People,
    crowd: Machine,
    dice: Dice,
    starts: u64,
    bodies: PathBuf,
}

impl World {
    /// The world of a seed. Files that cannot be simulated go to `bodies`.
    pub fn new(seed: u64, book: Book, bodies: PathBuf) -> Self {
        let mut dice = Dice::new(seed, 0);
        let nodes = if dice.happens(500) { 3 } else { 5 };
        // one run of eight has clocks that are worse than what leases are made for
        let beyond = dice.happens(125);
        let machines: Vec<_> = (1..=nodes)
            .map(|node| {
                let off = match dice.below(3) {
                    0 => 0,
                    1 => 2 * DRIFT_BOUND_PPM,
                    _ => dice.below(2 * DRIFT_BOUND_PPM),
                };
                let off = if beyond { off * 4 } else { off };
                let bound = if beyond { 4 } else { 1 } * DRIFT_BOUND_PPM;
                Machine::new(NodeId(node), 1_000_000 - bound + off, WALL_MS)
            })
            .collect();
        let seats = machines
            .iter()
            .map(|m| Seat::new(m.node, m.clocks.clone(), m.disk.clone(), !beyond));
        let seats: Arc<Vec<Seat>> = Arc::new(seats.collect());
        let oracle = Oracle::new(book.clone(), seats.clone());
        let people = People {
            seats: seats.clone(),
            book: book.clone(),
            oracle: oracle.clone(),
            agents: Arc::new(Mutex::new(vec![AgentState::default(); AGENTS])),
            tasks: Tasks::new(),
            calm: Arc::new(AtomicBool::new(false)),
        };
        Self {
            network: Network::new(book.clone(), Dice::new(seed, 1)),
            book,
            machines,
            seats,
            oracle,
            people,
            crowd: Machine::new(NodeId(0), 1_000_000, WALL_MS),
            dice,
            starts: 0,
            bodies,
        }
    }

    /// Runs to the end; what is wrong is in the book.
    ///
    /// # Errors
    /// Fails when the simulation itself cannot go on.
    pub fn run(&mut self, seed: u64) -> anyhow::Result<()> {
        let nodes = self.machines.len();
        self.book
            .note("world", format_args!("seed {seed}, {nodes} nodes"));
        for at in 0..nodes {
            self.start(at)?;
        }
        let people = self.people.clone();
        let seats = self.seats.clone();
        self.crowd.start(seed, async move {
            assemble(&seats).await;
            people.start(seed);
            std::future::pending::<()>().await;
        })?;
        let mut nemesis = Nemesis::new(Dice::new(seed, 2));
        let mut steps: u64 = 0;
        while self.book.now_us() < WELL_BY_US {
            let now_us = self.book.now_us();
            if (BAD_FROM_US..BAD_UNTIL_US).contains(&now_us) {
                nemesis.act(self)?;
            } else if now_us >= BAD_UNTIL_US && !nemesis.is_over() {
                nemesis.end(self)?;
                self.people.calm.store(true, Ordering::Relaxed);
                self.book.note("world", format_args!("all is calm"));
            }
            self.step();
            steps += 1;
            if steps.is_multiple_of(LOOK_EVERY_STEPS) {
                self.look();
                // whatever follows from the first violation says nothing new
                if !self.book.violations().is_empty() || self.is_well() {
                    break;
                }
            }
        }
        if self.book.violations().is_empty() {
            self.judge();
        }
        for machine in &mut self.machines {
            machine.crash(0);
        }
        self.seats.iter().for_each(Seat::clear);
        self.crowd.crash(0);
        Ok(())
    }

    fn step(&mut self) {
        self.book.pass(STEP_US);
        let wall_ms = WALL_MS + self.book.now_us() / 1000;
        for parcel in self.network.arrived() {
            let seat = self.seats.iter().find(|seat| seat.node == parcel.to);
            let inbox = seat.and_then(|seat| seat.with(|doors| doors.inbox.clone()));
            if let Some(inbox) = inbox {
                // a full buffer loses
                drop(inbox.try_send(parcel));
            } else if let Load::Ask(_) = parcel.load {
                // nobody listens: whoever calls runs into its deadline
            }
        }
        for machine in &mut self.machines {
            machine.step(STEP_US, wall_ms);
        }
        self.crowd.step(STEP_US, wall_ms);
        let on = self.machines.iter().zip(self.seats.iter());
        let on = on.filter(|(machine, _)| machine.power == Power::On);
        self.oracle.instant(on.map(|(_, seat)| seat));
    }

    /// Switches a machine on.
    ///
    /// # Errors
    /// Fails when its runtime cannot be made.
    pub fn start(&mut self, at: usize) -> anyhow::Result<()> {
        let (Some(machine), Some(seat)) = (self.machines.get_mut(at), self.seats.get(at)) else {
            return Ok(());
        };
        self.starts += 1;
        let begin = if at == 0 { Begin::Found } else { Begin::Join };
        let place = Place {
            seat: seat.clone(),
            clocks: machine.clocks.clone(),
            disk: machine.disk.clone(),
            stalls: machine.stalls.clone(),
            network: self.network.clone(),
            book: self.book.clone(),
            oracle: self.oracle.clone(),
            dice: Dice::new(self.dice.number(), self.starts),
            begin,
            bodies: self.bodies.clone(),
        };
        machine.start(self.dice.number(), live(place))?;
        Ok(())
    }

    /// Everything on a machine is gone.
    pub fn crash(&mut self, at: usize, survivors: usize) {
        if let Some(seat) = self.seats.get(at) {
            seat.clear();
        }
        if let Some(machine) = self.machines.get_mut(at) {
            machine.crash(survivors);
        }
        if let Some(seat) = self.seats.get(at) {
            seat.clear();
        }
    }

    /// The place of the node that leads, if one believes so.
    pub fn leader(&self) -> Option<usize> {
        self.seats.iter().position(|seat| {
            seat.consensus().is_some_and(|consensus| {
                let status = consensus.status();
                status.leader == Some(status.node)
            })
        })
    }

    /// The power of a machine.
    pub fn power(&self, at: usize) -> Power {
        self.machines
            .get(at)
            .map_or(Power::Off, |machine| machine.power)
    }
}

/// Makes one cluster of all nodes, as operators and joining nodes would.
async fn assemble(seats: &[Seat]) {
    let Some((first, others)) = seats.split_first() else {
        return;
    };
    // leases are of a fleet that knows them before it has a second node
    let level = Proposal::SetFeatureLevel {
        level: FEATURE_LEVEL,
    };
    until_done(first, |answer| Ask::Propose {
        origin: origin::of_node(first.node),
        proposal: Box::new(level.clone().asked("10.0.0.1".into())),
        answer,
    })
    .await;
    let mut steps: Vec<_> = others
        .iter()
        .map(|seat| MemberStep::AddLearner {
            node: seat.node,
            address: seat.name(),
        })
        .collect();
    steps.push(MemberStep::Vote(
        seats.iter().map(|seat| seat.node).collect(),
    ));
    for step in steps {
        until_done(first, |answer| Ask::Step {
            step: step.clone(),
            answer,
        })
        .await;
    }
}

/// Asks again until it is done.
async fn until_done<T, E>(seat: &Seat, ask: impl Fn(oneshot::Sender<Result<T, E>>) -> Ask) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (answer, answered) = oneshot::channel();
        let door = seat.with(|doors| doors.asks.clone());
        if door.is_some_and(|door| door.try_send(ask(answer)).is_ok())
            && let Ok(Ok(_)) = answered.await
        {
            return;
        }
    }
}
