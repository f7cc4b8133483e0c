//! Several nodes for tests over one log, which does not care who proposes: rooms as the product wires them, agents
//! that speak in memory, and a clock that tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_proto::frame;
use ampora_proto::session::ConnectionKey;
use ampora_proto::wire;
use ampora_raft::consensus::type_config::Runtime;
use ampora_raft::consensus::{
    Consensus, ConsensusConfig, EffectSink, LogLimits, ProposeError, Timings,
};
use ampora_raft::effect::Effect;
use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::{Epoch, InstanceUid, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Proposal, RegisterNode};
use ampora_raft::records::{Session, Transport};
use ampora_raft::time::Clock;
use ampora_storage::bodies::Bodies;
use ampora_storage::flush::{Flusher, untimed};
use ampora_storage::kv::{CrashKv, Kv};
use ampora_storage::log::Log;
use ampora_storage::rows::Rows;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message as _;

use super::batches::{Author, Batches};
use super::bodies::ReportedBodies;
use super::changes::Changes;
use super::exchange::{self, Caller};
use super::full_states::FullStates;
use super::liveness::{Liveness, Renewals};
use super::room::{Room, Settings};
use super::wake::{Call, Wake};
use super::{batches, delivery, liveness, reconcile};
use crate::clock::SystemClock;
use crate::entropy::Entropy;
use crate::history::queue::Queue;
use crate::node::origin;
use crate::tasks::Tasks;

/// Liveness of the nodes of a test.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every agent of a test can: report status, take and report configuration, restart.
const CAPABLE: u64 = 0x1 | 0x2 | 0x400 | 0x1000;

/// Everybody hears of everything.
struct Fan(Vec<Arc<Changes>>);

impl EffectSink for Fan {
    fn publish(&self, index: u64, effects: Vec<Effect>) {
        for changes in &self.0 {
            changes.publish(index, effects.clone());
        }
    }
}

struct Untimed;

impl Timings for Untimed {
    fn proposed(&self, _took: Duration) {}
}

/// The real clocks, and whatever a test adds.
#[derive(Default)]
pub(crate) struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn boot_ms(&self) -> u64 {
        SystemClock.boot_ms() + self.0.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms()
    }
}

/// Renewals of one node, as the leader's ticks would carry them.
struct Ticks {
    consensus: Consensus,
    node: NodeId,
}

impl Renewals for Ticks {
    fn renew(&self, epoch: Epoch) -> BoxFuture<'_, Result<bool, ProposeError>> {
        Box::pin(async move {
            let fenced = tick(&self.consensus, vec![(self.node, epoch)]).await;
            Ok(!fenced.contains(&self.node))
        })
    }
}

fn kept_alive(room: &Arc<Room>) -> Tasks {
    let tasks = Tasks::new();
    tasks.spawn(liveness::drive(room.clone(), tasks.stopping()));
    tasks
}

async fn tick(consensus: &Consensus, renewals: Vec<(NodeId, Epoch)>) -> Vec<NodeId> {
    let proposal = Proposal::Tick {
        ttl_ms: u64::try_from(TTL.as_millis()).expect("fits"),
        renewals,
    };
    let origin = origin::of_node(NodeId(1));
    let ticked = consensus.propose(origin, proposal).await;
    let outcome = ticked.expect("committed").outcome;
    let Outcome::Ticked { fenced } = outcome else {
        panic!("{outcome:?}");
    };
    fenced
}

/// The nodes 1, 2 and so on.
pub(crate) struct Nodes {
    pub(crate) consensus: Consensus,
    pub(crate) rooms: Vec<Arc<Room>>,
    clock: Arc<Ahead>,
    /// What keeps each node alive, while it reaches the others.
    alive: Mutex<Vec<Tasks>>,
    _dir: tempfile::TempDir,
}

/// Runs a test on the runtime that the log needs.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Runtime::scope(7, test))
}

impl Nodes {
    pub(crate) async fn start(count: u64) -> Self {
        let clock = Arc::new(Ahead::default());
        let kv: Arc<dyn Kv> = Arc::new(CrashKv::default());
        let flusher = Flusher::start(kv.clone(), untimed()).expect("starts");
        let rows =
            Rows::start(kv.clone(), flusher.clone(), None, Arc::new(|_| {})).expect("starts");
        let changes: Vec<_> = (1..=count).map(|id| Changes::new(NodeId(id))).collect();
        let consensus = Consensus::start(
            ConsensusConfig::alone(NodeId(1), "a:1".to_owned(), 7, LogLimits::default()),
            Log::new(kv, flusher),
            rows,
            clock.clone(),
            Arc::new(Fan(changes.clone())),
            Arc::new(Untimed),
        );
        let consensus = consensus.await.expect("starts");
        let dir = tempfile::tempdir().expect("a directory");
        let mut nodes = Self {
            consensus,
            rooms: Vec::new(),
            clock,
            alive: Mutex::default(),
            _dir: dir,
        };
        nodes.propose(Proposal::Found { lineage: 1 }).await;
        let level = FEATURE_LEVEL;
        nodes.propose(Proposal::SetFeatureLevel { level }).await;
        for changes in changes {
            nodes.add(changes).await;
        }
        for room in &nodes.rooms {
            until(|| room.may_act()).await;
        }
        nodes
    }

    async fn add(&mut self, changes: Arc<Changes>) {
        let node = NodeId(self.rooms.len() as u64 + 1);
        let registered = self.propose(Proposal::RegisterNode(RegisterNode {
            node,
            name: format!("node-{node}").into(),
            version: "1".into(),
            opamp_address: "a:1".into(),
            admin_address: "a:2".into(),
        }));
        let Outcome::Registered { epoch } = registered.await else {
            panic!("not registered");
        };
        let renewals = Arc::new(Ticks {
            consensus: self.consensus.clone(),
            node,
        });
        let room = self.room(node, epoch, changes, renewals);
        let tasks = &room.tasks;
        tasks.spawn(batches::drive(room.clone(), tasks.stopping()));
        tasks.spawn(reconcile::drive(room.clone(), tasks.stopping()));
        tasks.spawn(delivery::drive_deliveries(room.clone(), tasks.stopping()));
        tasks.spawn(delivery::drive_marks(room.clone(), tasks.stopping()));
        self.alive.lock().push(kept_alive(&room));
        self.rooms.push(room);
    }

    fn room(
        &self,
        node: NodeId,
        epoch: Epoch,
        changes: Arc<Changes>,
        renewals: Arc<dyn Renewals>,
    ) -> Arc<Room> {
        let files = Bodies::open(&self._dir.path().join(node.to_string())).expect("opens");
        Arc::new(Room {
            consensus: self.consensus.clone(),
            clock: self.clock.clone(),
            entropy: Entropy::system(),
            tasks: Tasks::new(),
            author: Author {
                node,
                agents_max: 1_000,
            },
            liveness: Liveness::new(epoch, TTL),
            renewals,
            settings: Settings {
                message_bytes_max: 1 << 20,
                heartbeat_window_ms: 90_000,
                needs_token: false,
                agents_per_token_max: None,
            },
            registry: Default::default(),
            batches: Arc::new(Batches::new(epoch)),
            changes,
            evidence: Default::default(),
            accepted: Default::default(),
            offers: Default::default(),
            bodies: ReportedBodies::start(files).expect("starts"),
            timers: Default::default(),
            elsewhere: Default::default(),
            takeovers: Default::default(),
            aliases: Default::default(),
            agent_types: Default::default(),
            sockets: Default::default(),
            attempts: Default::default(),
            full_states: FullStates::new(200, 8 << 20, 0),
            unasked: Default::default(),
            history: Queue::new(),
        })
    }

    pub(crate) async fn propose(&self, proposal: Proposal) -> Outcome {
        let origin = origin::of_node(NodeId(1));
        let committed = self.consensus.propose(origin, proposal).await;
        committed.expect("committed").outcome
    }

    /// The node of this number, from 1.
    pub(crate) fn node(&self, number: usize) -> &Arc<Room> {
        &self.rooms[number - 1]
    }

    /// Lets time pass for everybody.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// The node reaches the others no more.
    pub(crate) async fn cut_off(&self, number: usize) {
        let tasks = self.alive.lock()[number - 1].clone();
        tasks.stop();
        assert!(tasks.finished(PATIENCE).await);
    }

    /// It reaches them again.
    pub(crate) fn reconnect(&self, number: usize) {
        self.alive.lock()[number - 1] = kept_alive(self.node(number));
    }

    /// Lets fleet time pass, with renewals of the first node alone, until `number` is thought dead.
    pub(crate) async fn let_die(&self, number: usize) {
        self.cut_off(number).await;
        let id = NodeId(number as u64);
        let is_live = || {
            let view = self.consensus.view();
            view.fleet.node(id).is_some_and(|node| node.live)
        };
        for _ in 0..20 {
            if !is_live() {
                return;
            }
            self.pass(1_000);
            let others = self.rooms.iter().filter(|room| room.author.node != id);
            let renewals = others.map(|room| (room.author.node, room.liveness.epoch()));
            tick(&self.consensus, renewals.collect()).await;
        }
        panic!("node {number} does not die");
    }

    /// The valid session of an agent.
    pub(crate) fn session(&self, uid: InstanceUid) -> Option<Session> {
        let view = self.consensus.view();
        let record = view.fleet.agent(uid)?;
        view.fleet.valid_session(record)
    }

    pub(crate) fn owner(&self, uid: InstanceUid) -> Option<u64> {
        self.session(uid).map(|session| session.node.0)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for room in &self.rooms {
            room.tasks.stop();
        }
        for tasks in &*self.alive.lock() {
            tasks.stop();
        }
    }
}

/// An agent on a socket to one node.
pub(crate) struct Speaker {
    pub(crate) uid: InstanceUid,
    pub(crate) room: Arc<Room>,
    pub(crate) caller: Caller,
    pub(crate) wake: Arc<Wake>,
    pub(crate) capabilities: u64,
    sequence: u64,
    host: String,
}

impl Speaker {
    pub(crate) fn new(room: &Arc<Room>, uid: u128, connection: u64) -> Self {
        let wake = Arc::new(Wake::default());
        Self {
            uid: InstanceUid::from_u128(uid | 7 << 76 | 8 << 60),
            room: room.clone(),
            caller: Caller {
                connection: ConnectionKey(connection),
                transport: Transport::WebSocket,
                wake: Some(wake.clone()),
                token: None,
                takes_over: true,
            },
            wake,
            capabilities: CAPABLE,
            sequence: 0,
            host: "host".to_owned(),
        }
    }

    /// The same agent over another socket, maybe to another node.
    pub(crate) fn again(&self, room: &Arc<Room>, connection: u64) -> Self {
        let mut speaker = Self::new(room, 0, connection);
        speaker.uid = self.uid;
        speaker.sequence = self.sequence;
        speaker
    }

    pub(crate) async fn say(&mut self, mut message: wire::AgentToServer) -> wire::ServerToAgent {
        message.instance_uid = Bytes::copy_from_slice(self.uid.as_bytes());
        message.sequence_num = self.sequence;
        message.capabilities = self.capabilities;
        self.sequence += 1;
        let mut bytes = vec![0];
        bytes.extend(message.encode_to_vec());
        let incoming = frame::decode_websocket(bytes.into());
        let begun = exchange::begin(&self.room, &self.caller, incoming);
        let (answer, _) = begun.answer().await;
        wire::ServerToAgent::decode(&answer.bytes[1..]).expect("a reply")
    }

    /// Everything there is to say.
    pub(crate) async fn introduce(&mut self) -> wire::ServerToAgent {
        let host = wire::KeyValue {
            key: "host.name".to_owned(),
            value: Some(wire::AnyValue {
                value: Some(wire::any_value::Value::StringValue(self.host.clone())),
            }),
        };
        let description = wire::AgentDescription {
            identifying_attributes: vec![host],
            ..Default::default()
        };
        self.say(wire::AgentToServer {
            agent_description: Some(description),
            ..Default::default()
        })
        .await
    }

    /// The same, and waits for as long as it takes until the session is this node's: an answer does not.
    pub(crate) async fn arrive(&mut self) -> wire::ServerToAgent {
        let reply = self.introduce().await;
        self.is_served().await;
        reply
    }

    /// Waits until the session is this node's.
    pub(crate) async fn is_served(&self) {
        let agents = &self.room.registry;
        until(|| {
            let agent = agents.get(self.uid);
            agent.is_some_and(|agent| agent.with(|state| state.fence.is_some()))
        })
        .await;
    }

    pub(crate) async fn beat(&mut self) -> wire::ServerToAgent {
        self.say(wire::AgentToServer::default()).await
    }

    pub(crate) async fn report_health(&mut self, status: &str) -> wire::ServerToAgent {
        self.say(wire::AgentToServer {
            health: Some(wire::ComponentHealth {
                healthy: true,
                status: status.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
        .await
    }

    /// Whether the socket was told to look for itself.
    pub(crate) fn is_called(&self, call: Call) -> bool {
        std::iter::from_fn(|| self.wake.take()).any(|heard| heard == call)
    }
}

/// A message as it is sent.
pub(crate) fn encoded(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never came");
}
