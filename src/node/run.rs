//! The order of a start. Each step says what failed and what to do about it; nothing is served before the
//! fleet is loaded, and `node.json` appears when everything works.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{ProposeError, StartError};
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::time::Clock;
use ampora_storage::bodies::Bodies;
use ampora_storage::store::{OpenError, Store, StoreOptions};

use super::backend::NodeBackend;
use super::doors::{Doors, Protection, certificate_file};
use super::identity::{self, IdentityError, Running};
use super::join::{self, Log};
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

/// Runs a node until it is told to stop, and leaves in order.
///
/// # Errors
/// Fails when the node cannot start. What stops a running node for good (a failing disk, a panic of the
/// log) ends the process instead, so that nothing half works.
pub async fn run(config: Config) -> Result<(), RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data_dir = config.node.data_dir.clone();
    let protection = Protection::load(&config)?;
    let store = Arc::new(Store::open(&data_dir, &store_options())?);
    Running::remove(&data_dir).map_err(cannot("node.json"))?;
    let node = identity::node_id(&data_dir, config.node.id)?;
    let doors = Doors::open(&config)?;
    let metrics = Metrics::install()?;
    let changes = Changes::new(node);
    let log = Log::start(node, &doors, &store, clock.clone(), changes.clone()).await?;
    let epoch = join::register(&config, &log.consensus, node, &doors).await?;
    join::tell_rules(&config, &log.consensus, node).await?;
    join::renew_token(&config, &log.consensus, node, &*clock).await?;

    let room = room(&config, &log, clock, changes, (node, epoch))?;
    let backend = NodeBackend::new(room.clone(), store, metrics.clone());
    let parts = serve(&config, doors, &protection, &room, &backend, metrics);
    let running = Running {
        pid: std::process::id(),
        node_id: node.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        opamp_address: parts.opamp_address,
        admin_address: parts.admin_address,
        admin_certificate: certificate_file(&config.admin.tls),
    };
    running.write(&data_dir).map_err(cannot("node.json"))?;
    backend.set_started();
    banner::print(&running, &config);
    drain::until_stopped(&config, &room, &backend, parts).await;
    log.stop().await;
    Running::remove(&data_dir).map_err(cannot("node.json"))
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
) -> Result<Arc<Room>, RunError> {
    let files = Bodies::open(&config.node.data_dir.join("bodies")).map_err(cannot("bodies/"))?;
    let bodies = ReportedBodies::start(files).map_err(cannot("the thread that writes bodies"))?;
    let now_ms = clock.boot_ms();
    let window = config.opamp.heartbeat_window;
    let settings = Settings {
        message_bytes_max: usize::try_from(config.opamp.max_message_bytes).unwrap_or(usize::MAX),
        heartbeat_window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        needs_token: config.opamp.auth == Some(Auth::Token),
        agents_per_token_max: config.agents.max_per_token,
    };
    Ok(Arc::new(Room {
        consensus: log.consensus.clone(),
        clock,
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
        takeovers: Default::default(),
        aliases: Default::default(),
        agent_types: Default::default(),
        sockets: Default::default(),
        attempts: Default::default(),
        unasked: Default::default(),
        full_states: FullStates::new(
            config.opamp.full_states_per_second,
            config.opamp.full_state_bytes_per_second,
            now_ms,
        ),
    }))
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
    doors: Doors,
    protection: &Protection,
    room: &Arc<Room>,
    backend: &Arc<NodeBackend>,
    metrics: Metrics,
) -> Parts {
    let background = Tasks::new();
    let duties = duties::start(config, room, &background);
    background.spawn(upkeep(metrics, background.stopping()));
    let batches = room.tasks.clone();

    let (opamp, admin) = (Tasks::new(), Tasks::new());
    protection.watch(&background);
    let agents = Door::new(room.clone());
    let entrance = protection.opamp_entrance(config);
    crate::opamp::serve(doors.opamp, entrance, agents, config, &opamp);
    let api = Api::new(backend.clone(), api_settings(config));
    background.spawn(api.clone().sweep_snapshots(background.stopping()));
    let entrance = protection.admin_entrance(config);
    crate::api::serve(doors.admin, entrance, crate::api::admin(api), &admin);
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

fn api_settings(config: &Config) -> api::settings::Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    api::settings::Settings {
        heartbeat_window_ms: ms(config.opamp.heartbeat_window),
        ownership_ttl_ms: ms(config.dispatch.ownership_ttl),
        peer_address: config.peer.listen.to_string().into(),
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
