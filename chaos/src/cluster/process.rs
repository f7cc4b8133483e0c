//! The life of one process of a node, from the start to the moment in which its machine drops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ampora::agents::batches::{self, Author, Batches};
use ampora::agents::bodies::ReportedBodies;
use ampora::agents::changes::Changes;
use ampora::agents::full_states::FullStates;
use ampora::agents::liveness::{self, Liveness};
use ampora::agents::room::{Room, Settings};
use ampora::agents::{delivery, reconcile, rollout, timers};
use ampora::entropy::Entropy;
use ampora::node::{leases, origin};
use ampora::tasks::Tasks;
use ampora_raft::consensus::{Begin, Consensus, ConsensusConfig, LogLimits, Timings};
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Proposal, RegisterNode};
use ampora_raft::time::Clock;
use ampora_storage::bodies::Bodies;
use ampora_storage::flush::Flusher;
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::watched::Watched;
use super::{disk, duty, peers, sockets};
use crate::book::Book;
use crate::clocks::Clocks;
use crate::dice::Dice;
use crate::invariants::Oracle;
use crate::network::Network;
use crate::seat::{Ask, CALLS_MAX, INBOX_MAX, Knock, Seat};

/// The TTL of liveness leases in the simulation: short, so that a run of a minute sees many, and no multiple of the
/// leader's ticks, which would end every lease a whole tick late.
const TTL: Duration = Duration::from_millis(4_900);

/// How long a named lease stays unheld after an unclean end.
const LOCK_DELAY: Duration = Duration::from_secs(1);

/// A log of a few seconds, so that purges, and snapshots for those who were away, are part of every run.
const LOG: LogLimits = LogLimits {
    bytes: 4 * 1024 * 1024,
    entries: 100,
};

/// What the process is given by its machine.
#[derive(Debug)]
pub struct Place {
    /// Where it is reached.
    pub seat: Seat,
    /// Its clocks.
    pub clocks: Arc<Clocks>,
    /// Its disk.
    pub disk: CrashKv,
    /// Whether its flushes take long.
    pub stalls: Arc<AtomicBool>,
    /// Its network.
    pub network: Network,
    /// The trace.
    pub book: Book,
    /// Who looks on.
    pub oracle: Oracle,
    /// Its chance.
    pub dice: Dice,
    /// Whether it founds the cluster when its disk is empty.
    pub begin: Begin,
    /// Where reported bodies go.
    pub bodies: PathBuf,
}

struct Unmeasured;

impl Timings for Unmeasured {
    fn proposed(&self, _took: Duration) {}
}

/// Runs until it is dropped.
pub async fn live(place: Place) {
    let name = place.seat.name();
    let book = place.book.clone();
    if let Err(error) = Box::pin(run(place)).await {
        book.violation("starts", format_args!("{name} does not start: {error:#}"));
    }
}

async fn run(mut place: Place) -> anyhow::Result<()> {
    let node = place.seat.node;
    let tasks = Tasks::new();
    let changes = Changes::new(node);
    let consensus = log(&mut place, &changes, &tasks).await?;
    let epoch = register(&consensus, node).await;
    place
        .book
        .note(&place.seat.name(), format_args!("is epoch {epoch}"));
    let room = room(&place, &consensus, changes, epoch)?;
    duties(&room, &place, &tasks);
    let (knocks, mut knocked) = mpsc::channel::<Knock>(CALLS_MAX);
    place.seat.with(|doors| {
        doors.room = Some(room.clone());
        doors.knocks = Some(knocks);
    });
    let mut sockets = 0;
    while let Some(knock) = knocked.recv().await {
        sockets += 1;
        tasks.spawn(sockets::serve(
            room.clone(),
            place.oracle.clone(),
            sockets,
            knock,
        ));
    }
    Ok(())
}

/// The log on its store, with everything that drives it.
async fn log(
    place: &mut Place,
    changes: &Arc<Changes>,
    tasks: &Tasks,
) -> anyhow::Result<Consensus> {
    let node = place.seat.node;
    let (inbox, parcels) = mpsc::channel(INBOX_MAX);
    place.seat.with(|doors| doors.inbox = Some(inbox));
    let (log, rows) = store(place, tasks)?;
    let config = ConsensusConfig {
        node,
        address: place.seat.name(),
        seed: place.dice.number(),
        log: LOG,
        begin: place.begin,
        liveness_ttl: TTL,
        network: place.network.of(node),
    };
    let clock = place.clocks.clone();
    let sink = changes.clone();
    let consensus = Consensus::start(config, log, rows, clock, sink, Arc::new(Unmeasured)).await?;
    place.book.note(
        &place.seat.name(),
        format_args!("starts at {}", consensus.view().applied_index),
    );
    tasks.spawn(consensus.clone().keep_time());
    tasks.spawn(consensus.clone().keep_leases());
    let network = place.network.clone();
    tasks.spawn(peers::drive(
        parcels,
        consensus.clone(),
        network,
        tasks.clone(),
    ));
    let (asks, asked) = mpsc::channel(CALLS_MAX);
    tasks.spawn(answer(asked, consensus.clone(), tasks.clone()));
    place.seat.with(|doors| {
        doors.consensus = Some(consensus.clone());
        doors.asks = Some(asks);
    });
    let failed = consensus.clone();
    let (book, name) = (place.book.clone(), place.seat.name());
    tasks.spawn(async move {
        if let Some(why) = failed.failed().await {
            book.violation("log", format_args!("{name}: the log failed: {why}"));
        }
    });
    Ok(consensus)
}

/// The store on the disk of the machine, driven by tasks.
fn store(place: &mut Place, tasks: &Tasks) -> anyhow::Result<(Log, Arc<Watched>)> {
    let kv: Arc<dyn Kv> = Arc::new(place.disk.clone());
    let (flusher, turns) = Flusher::by_turns(kv.clone());
    let (book, name) = (place.book.clone(), place.seat.name());
    let fatal = move |error: &std::io::Error| {
        book.violation("disk", format_args!("{name}: {error}"));
    };
    let rows = Rows::by_turns(kv.clone(), flusher.clone(), None, Arc::new(fatal))?;
    let dice = Dice::new(place.dice.number(), 1);
    tasks.spawn(disk::flush(turns, dice, place.stalls.clone()));
    tasks.spawn(disk::write_rows(rows.clone()));
    place.seat.with(|doors| doors.rows = Some(rows.clone()));
    let watched = Watched {
        node: place.seat.node,
        rows,
        oracle: place.oracle.clone(),
    };
    Ok((Log::new(kv, flusher), Arc::new(watched)))
}

/// What `ampora::node` starts beside its doors.
fn duties(room: &Arc<Room>, place: &Place, tasks: &Tasks) {
    let stop = tasks.stopping();
    tasks.spawn(reconcile::drive(room.clone(), stop.clone()));
    tasks.spawn(timers::drive(room.clone(), stop.clone()));
    tasks.spawn(delivery::drive_deliveries(room.clone(), stop.clone()));
    tasks.spawn(delivery::drive_marks(room.clone(), stop.clone()));
    tasks.spawn(batches::drive(room.clone(), room.tasks.stopping()));
    tasks.spawn(liveness::drive(room.clone(), room.tasks.stopping()));
    room.changes.everything();
    let hold = |name| (room.clone(), name, LOCK_DELAY, stop.clone());
    let (of, name, delay, until) = hold(leases::ROLLOUT);
    tasks.spawn(leases::hold(of, name, delay, until, rollout::perform));
    let (of, name, delay, until) = hold(leases::DELIVERIES);
    tasks.spawn(leases::hold(
        of,
        name,
        delay,
        until,
        delivery::duty::perform,
    ));
    let (of, name, delay, until) = hold(duty::NAME);
    let (seat, oracle) = (place.seat.clone(), place.oracle.clone());
    tasks.spawn(leases::hold(of, name, delay, until, move |tenure| {
        duty::perform(tenure, seat.clone(), oracle.clone())
    }));
}

fn room(
    place: &Place,
    consensus: &Consensus,
    changes: Arc<Changes>,
    epoch: Epoch,
) -> anyhow::Result<Arc<Room>> {
    let node = place.seat.node;
    let files = Bodies::open(&place.bodies.join(place.seat.name()))?;
    Ok(Arc::new(Room {
        consensus: consensus.clone(),
        clock: place.clocks.clone(),
        entropy: entropy(Dice::new(place.dice.clone().number(), 2)),
        tasks: Tasks::new(),
        author: Author {
            node,
            agents_max: 1_000,
        },
        liveness: Liveness::new(epoch, TTL),
        renewals: Arc::new(consensus.clone()),
        settings: Settings {
            message_bytes_max: 1024 * 1024,
            heartbeat_window_ms: 30_000,
            needs_token: false,
            agents_per_token_max: None,
        },
        registry: Default::default(),
        batches: Arc::new(Batches::new(epoch)),
        changes,
        evidence: Default::default(),
        accepted: Default::default(),
        offers: Default::default(),
        bodies: ReportedBodies::start(files)?,
        timers: Default::default(),
        takeovers: Default::default(),
        elsewhere: Default::default(),
        aliases: Default::default(),
        agent_types: Default::default(),
        sockets: Default::default(),
        attempts: Default::default(),
        full_states: FullStates::new(200, 8 * 1024 * 1024, place.clocks.boot_ms()),
        unasked: Default::default(),
        history: Default::default(),
    }))
}

fn entropy(dice: Dice) -> Entropy {
    let dice = Mutex::new(dice);
    Entropy::drawn(move || dice.lock().number())
}

/// Until the fleet knows this incarnation; the first one founds it.
async fn register(consensus: &Consensus, node: NodeId) -> Epoch {
    loop {
        if node == NodeId(1) && consensus.view().fleet.meta().lineage == 0 {
            let found = Proposal::Found { lineage: 1 };
            drop(consensus.propose(origin::of_node(node), found).await);
        }
        let proposal = Proposal::RegisterNode(RegisterNode {
            node,
            name: format!("n{node}").into(),
            version: "1".into(),
            opamp_address: "".into(),
            admin_address: "".into(),
        });
        let registered = consensus.propose(origin::of_node(node), proposal).await;
        if let Ok(committed) = registered
            && let Outcome::Registered { epoch } = committed.outcome
        {
            return epoch;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What operators ask, each in a task of its own. Runs until the process ends.
async fn answer(mut asked: mpsc::Receiver<Ask>, consensus: Consensus, tasks: Tasks) {
    while let Some(ask) = asked.recv().await {
        let consensus = consensus.clone();
        tasks.spawn(async move {
            match ask {
                Ask::Propose {
                    origin,
                    proposal,
                    answer,
                } => drop(answer.send(consensus.propose(origin, *proposal).await)),
                Ask::Read { answer } => {
                    let read = consensus.read_barrier().await;
                    drop(answer.send(read.map(|_| consensus.view())));
                }
                Ask::Step { step, answer } => drop(answer.send(consensus.step(step).await)),
            }
        });
    }
}
