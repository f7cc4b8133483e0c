//! The order of a start. Each step says what failed and what to do about it; nothing is served before the
//! fleet is loaded, and `node.json` appears when everything works.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{Consensus, ProposeError, StartError};
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::time::Clock;
use ampora_storage::bodies::Bodies;
use ampora_storage::store::{OpenError, Store, StoreOptions};
use tokio::net::TcpListener;

use super::backend::{Backstage, NodeBackend};
use super::cluster::{self, Answers, MoveError, Moving, Peering, PeeringError, Place, PlaceError};
use super::doors::{AgentsDoor, Doors, Protection, certificate_file};
use super::drain::Why;
use super::history::{self, History};
use super::identity::{Identity, IdentityError, Running};
use super::join::{self, Log, Threads};
use super::{banner, drain, duties};
use crate::agents::batches::{Author, Batches};
use crate::agents::bodies::ReportedBodies;
use crate::agents::changes::Changes;
use crate::agents::connection::Door;
use crate::agents::full_states::FullStates;
use crate::agents::liveness::Liveness;
use crate::agents::room::{Room, Settings};
use crate::api::{self, Api};
use crate::clock::SystemClock;
use crate::config::{Auth, Config};
use crate::doors::TlsError;
use crate::entropy::Entropy;
use crate::tasks::Tasks;
use crate::telemetry::metrics::{Metrics, UPKEEP_PERIOD};
use crate::telemetry::names;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store is locked, foreign, damaged or cannot be made.
    #[error("cannot open the data directory")]
    Store(#[from] OpenError),
    /// The directory belongs to another node.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node has no place in a cluster.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It cannot talk with other nodes.
    #[error(transparent)]
    Peering(#[from] PeeringError),
    /// It could not go over to another cluster.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The log is of another cluster than the identity.
    #[error(
        "this data directory belongs to cluster {kept:032x}, and its log to {found:032x}: restore one of them, or start with an empty directory"
    )]
    OtherCluster {
        /// What the identity says.
        kept: u128,
        /// What the log says.
        found: u128,
    },
    /// The cluster goes on without this node.
    #[error(
        "node {0} was removed from its cluster: its data directory is of no use any more; join with an empty one"
    )]
    Removed(NodeId),
    /// The log did not start.
    #[error("cannot start the replicated log")]
    Consensus(#[from] StartError),
    /// The log panicked while it started.
    #[error("the replicated log panicked at start")]
    Panicked {
        /// Where.
        source: tokio::task::JoinError,
    },
    /// The first proposals were not committed.
    #[error("cannot register this node in the fleet")]
    Propose(#[from] ProposeError),
    /// The fleet refused this node.
    #[error("the fleet refused this node: {0:?}")]
    Refused(Box<Outcome>),
    /// TLS was asked for and cannot be had.
    #[error("cannot serve TLS")]
    Tls(#[from] TlsError),
    /// A listener could not be opened.
    #[error("cannot listen on {address} (`{key}`)")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Something of the operating system could not be had.
    #[error("cannot make {what}")]
    File {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The metrics recorder could not be installed.
    #[error("cannot install the metrics recorder")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// It is to start again, as a member of another cluster.
    Again,
}

/// Runs a node until it is told to stop, and leaves in order.
///
/// # Errors
/// Fails when the node cannot start, or is no member of its cluster any more. What stops a running node for
/// good (a failing disk, a panic of the log) ends the process instead, so that nothing half works.
pub async fn run(config: Config) -> Result<Ended, RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data_dir = config.node.data_dir.clone();
    let protection = Protection::load(&config)?;
    if let Some(aside) = Moving::finish(&data_dir)? {
        tracing::warn!(
            "what this node held before it joined was set aside in {}",
            aside.display()
        );
    }
    let kept = Identity::read(&data_dir, config.node.id)?;
    let store = Arc::new(Store::open(&data_dir, &store_options())?);
    Running::remove(&data_dir).map_err(cannot("node.json"))?;
    let doors = Doors::open(&config)?;
    let metrics = Metrics::install()?;
    let threads = Threads::start()?;
    let peering = Peering::new(&config, threads.handle())?;
    let answers = Answers::new();
    let place = cluster::find(&config, kept, &peering, &answers).await?;
    let node = place.identity.node;
    let changes = Changes::new(node);
    let begins = join::consensus(&config, place, &doors, &peering);
    let log = Log::start(begins, threads, &store, clock.clone(), changes.clone()).await?;
    answers.set_log(log.consensus.clone(), peering.clone());
    let parts = Backstage {
        consensus: log.consensus.clone(),
        clock: clock.clone(),
        store,
        metrics: metrics.clone(),
        peering: peering.clone(),
        answers: answers.clone(),
        config: config.clone(),
    };
    let backend = NodeBackend::new(parts);
    let (doors, admin) = doors.part();
    let admin = serve_operators(&config, admin, &protection, &backend);

    let told_removed = cluster::told_removed(&peering, &log.consensus, place.identity);
    let epoch = tokio::select! {
        epoch = take_place(&config, &log.consensus, place, &doors, &peering, &*clock) => epoch?,
        () = told_removed => return Err(RunError::Removed(node)),
    };

    let (room, history) = room(&config, &log, clock, changes, (node, epoch))?;
    drop(room.elsewhere.set(Arc::new(peering.peers.clone())));
    let past = Arc::new(history.past(&room, peering.peers.clone()));
    answers.set_room(room.clone(), past.clone());
    backend.set_room(room.clone(), past);
    let of = (&room, &history);
    let parts = serve(&config, doors, admin, &protection, of, metrics);
    follow(&config, &room, &peering, &parts.background);
    let running = Running {
        pid: std::process::id(),
        node_id: node.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        opamp_address: parts.opamp_address,
        admin_address: parts.admin_address,
        admin_certificate: certificate_file(&config.admin.tls),
    };
    // whoever reads that this node runs may tell it to stop
    let signals = drain::Signals::listen();
    running.write(&data_dir).map_err(cannot("node.json"))?;
    backend.set_started();
    banner::print(&running, &config);
    let told_removed = cluster::told_removed(&peering, &log.consensus, place.identity);
    let why = drain::until_stopped(&config, &room, &backend, parts, told_removed, signals).await;
    log.stop().await;
    peering.stop();
    Running::remove(&data_dir).map_err(cannot("node.json"))?;
    ended(why, node)
}

fn ended(why: Why, node: NodeId) -> Result<Ended, RunError> {
    match why {
        Why::Told => Ok(Ended::Stopped),
        Why::Moves => Ok(Ended::Again),
        Why::Removed => Err(RunError::Removed(node)),
    }
}

/// Makes this node one of its cluster, or founds one; waits for as long as nobody answers.
async fn take_place(
    config: &Config,
    consensus: &Consensus,
    place: Place,
    doors: &AgentsDoor,
    peering: &Peering,
    clock: &dyn Clock,
) -> Result<Epoch, RunError> {
    let node = place.identity.node;
    join::belong(consensus, place).await?;
    let epoch = join::register(config, consensus, node, doors).await?;
    join::keep_cluster(consensus, place, &config.node.data_dir)?;
    join::announce(consensus, peering, node).await?;
    join::tell_rules(config, consensus, node).await?;
    join::renew_token(config, consensus, node, clock).await?;
    Ok(epoch)
}

/// Keeps up with who belongs to the cluster, and does what the leader has to do about it.
fn follow(config: &Config, room: &Arc<Room>, peering: &Arc<Peering>, background: &Tasks) {
    let consensus = &room.consensus;
    let following = peering
        .clone()
        .drive(consensus.clone(), background.stopping());
    background.spawn(following);
    let members = cluster::drive_members(
        consensus.clone(),
        config.cluster.voters,
        background.stopping(),
    );
    background.spawn(members);
}

/// The store with what it tells this process: a failing disk ends it, and each flush is measured.
fn store_options() -> StoreOptions {
    StoreOptions {
        watermark_bytes: None,
        fatal: Arc::new(|error| super::fatal("the disk failed", error)),
        timer: Arc::new(|flush| {
            let started = SystemClock.micros();
            let flushed = flush();
            let took = SystemClock.elapsed(started).as_secs_f64();
            ::metrics::histogram!(names::RAFT_APPEND_DURATION).record(took);
            flushed
        }),
    }
}

fn room(
    config: &Config,
    log: &Log,
    clock: Arc<dyn Clock>,
    changes: Arc<Changes>,
    (node, epoch): (NodeId, Epoch),
) -> Result<(Arc<Room>, History), RunError> {
    let files = Bodies::open(&config.node.data_dir.join("bodies")).map_err(cannot("bodies/"))?;
    let bodies = ReportedBodies::start(files).map_err(cannot("the thread that writes bodies"))?;
    let history = history::start(config, node, clock.clone()).map_err(cannot("history/"))?;
    let now_ms = clock.boot_ms();
    let window = config.opamp.heartbeat_window;
    let settings = Settings {
        message_bytes_max: usize::try_from(config.opamp.max_message_bytes).unwrap_or(usize::MAX),
        heartbeat_window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        needs_token: config.opamp.auth == Some(Auth::Token),
        agents_per_token_max: config.agents.max_per_token,
    };
    let room = Arc::new(Room {
        consensus: log.consensus.clone(),
        clock,
        entropy: Entropy::system(),
        tasks: Tasks::new(),
        author: Author {
            node,
            agents_max: config.agents.max,
        },
        liveness: Liveness::new(epoch, config.dispatch.ownership_ttl),
        renewals: Arc::new(log.consensus.clone()),
        settings,
        registry: Default::default(),
        batches: Arc::new(Batches::new(epoch)),
        changes,
        evidence: Default::default(),
        accepted: Default::default(),
        offers: Default::default(),
        bodies,
        timers: Default::default(),
        elsewhere: Default::default(),
        takeovers: Default::default(),
        aliases: Default::default(),
        agent_types: Default::default(),
        sockets: Default::default(),
        attempts: Default::default(),
        unasked: Default::default(),
        history: history.queue.clone(),
        full_states: FullStates::new(
            config.opamp.full_states_per_second,
            config.opamp.full_state_bytes_per_second,
            now_ms,
        ),
    });
    Ok((room, history))
}

/// What runs while the node serves, in the groups in which it ends.
#[derive(Debug)]
pub(super) struct Parts {
    /// The agents' listener and its sockets.
    pub(super) opamp: Tasks,
    /// Where agents connect.
    pub(super) opamp_address: SocketAddr,
    /// The operators' listener.
    pub(super) admin: Tasks,
    /// Where operators connect.
    pub(super) admin_address: SocketAddr,
    /// What is done under leases.
    pub(super) duties: Tasks,
    /// Reconciliation, delivery, time and upkeep.
    pub(super) background: Tasks,
    /// What takes sessions and reports to the log; ends last, when nothing is left to take.
    pub(super) batches: Tasks,
}

fn serve(
    config: &Config,
    doors: AgentsDoor,
    admin: Tasks,
    protection: &Protection,
    (room, history): (&Arc<Room>, &History),
    metrics: Metrics,
) -> Parts {
    let background = Tasks::new();
    let duties = duties::start(config, room, history, &background);
    history.export(config, room, &background);
    background.spawn(upkeep(metrics, background.stopping()));
    let batches = room.tasks.clone();

    let opamp = Tasks::new();
    protection.watch(&background);
    let agents = Door::new(room.clone());
    let entrance = protection.opamp_entrance(config);
    crate::opamp::serve(doors.opamp, entrance, agents, config, &opamp);
    Parts {
        opamp,
        opamp_address: doors.opamp_address,
        admin,
        admin_address: doors.admin_address,
        duties,
        background,
        batches,
    }
}

/// Opens the operators' door: it tells how a node that waits for its cluster is doing.
fn serve_operators(
    config: &Config,
    admin: TcpListener,
    protection: &Protection,
    backend: &Arc<NodeBackend>,
) -> Tasks {
    let tasks = Tasks::new();
    let api = Api::new(backend.clone(), api_settings(config));
    tasks.spawn(api.clone().sweep_snapshots(tasks.stopping()));
    let entrance = protection.admin_entrance(config);
    crate::api::serve(admin, entrance, crate::api::admin(api), &tasks);
    tasks
}

fn api_settings(config: &Config) -> api::settings::Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    api::settings::Settings {
        heartbeat_window_ms: ms(config.opamp.heartbeat_window),
        ownership_ttl_ms: ms(config.dispatch.ownership_ttl),
        voters_max: config.cluster.voters,
        max_connections: config.opamp.max_connections,
        limits: api::settings::Limits::default(),
    }
}

async fn upkeep(metrics: Metrics, stop: tokio_util::sync::CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP_PERIOD);
    loop {
        tokio::select! {
            _ = tick.tick() => metrics.run_upkeep(),
            () = stop.cancelled() => return,
        }
    }
}

fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::File { what, source }
}
