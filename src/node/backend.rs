//! This node as the REST rooms see it: the fleet and the log through consensus, reported bodies and
//! presence through the agents' room.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ampora_proto::wire;
use ampora_raft::consensus::{self, Consensus, RowStore};
use ampora_raft::ids::{BodyHash, ConfigHash, DispatchId, InstanceUid, NodeId};
use ampora_raft::proposal::{Origin, Proposal};
use ampora_raft::records::{AuditRecord, MemberRole};
use ampora_raft::rows::{Row, RowKey};
use ampora_raft::time::Clock;
use ampora_storage::bodies::Bodies;
use ampora_storage::history::query::Query;
use ampora_storage::store::Store;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::cluster::token::JoinToken;
use super::cluster::{self, Answers, JoinError, Moving, Newcomer, Peering};
use super::{health, join};
use crate::agents::reported;
use crate::agents::room::Room;
use crate::api::backend::{
    Backend, ClusterError, Committed, FleetThen, Health, Heard, History, HistoryError, MemberStep,
    Now, Presence, Progress, ProposeError, RaftStatus, Reported, ReportedFile, ReportedKind, View,
};
use crate::config::Config;
use crate::entropy;
use crate::history::past::Past;
use crate::telemetry::metrics::Metrics;

/// How long the owners of a page of agents are waited for.
const HEARD_WITHIN: Duration = Duration::from_millis(100);

/// How long the home of a reported body is waited for: some megabytes.
const BODY_WITHIN: Duration = Duration::from_secs(3);

/// How long the leader is waited for that knows how far all are.
const PROGRESS_WITHIN: Duration = Duration::from_millis(250);

/// How long a transfer of leadership is waited for until this node has heard of it.
const LEADER_WAIT: Duration = Duration::from_secs(2);
const LEADER_LOOK: Duration = Duration::from_millis(10);

/// What a node has before it serves agents.
pub(super) struct Backstage {
    /// The log.
    pub(super) consensus: Consensus,
    /// The clocks.
    pub(super) clock: Arc<dyn Clock>,
    /// The store.
    pub(super) store: Arc<Store>,
    /// The metrics.
    pub(super) metrics: Metrics,
    /// Other nodes.
    pub(super) peering: Arc<Peering>,
    /// What they are answered.
    pub(super) answers: Arc<Answers>,
    /// As it was loaded.
    pub(super) config: Config,
}

/// What the admin listener asks.
pub struct NodeBackend {
    stage: Backstage,
    /// Agents; none while the node waits for its cluster.
    room: OnceLock<Arc<Room>>,
    /// What happened to them; likewise.
    past: OnceLock<Arc<Past>>,
    started: AtomicBool,
    draining: AtomicBool,
    moves: CancellationToken,
}

impl fmt::Debug for NodeBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBackend")
            .field("consensus", &self.stage.consensus)
            .finish_non_exhaustive()
    }
}

impl NodeBackend {
    /// A node that is not ready yet.
    pub(super) fn new(stage: Backstage) -> Arc<Self> {
        Arc::new(Self {
            stage,
            room: OnceLock::new(),
            past: OnceLock::new(),
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            moves: CancellationToken::new(),
        })
    }

    /// Agents are served from here on.
    pub(super) fn set_room(&self, room: Arc<Room>, past: Arc<Past>) {
        drop(self.past.set(past));
        drop(self.room.set(room));
    }

    fn past(&self) -> Result<&Past, HistoryError> {
        let starting = || HistoryError::Away("the node is starting".to_owned());
        self.past.get().map(|past| &**past).ok_or_else(starting)
    }

    /// Waits until the node was let in by another cluster.
    pub(super) async fn moves(&self) {
        self.moves.cancelled().await;
    }

    /// The listeners are open.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The node is stopping.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn consensus(&self) -> &Consensus {
        &self.stage.consensus
    }

    /// A body from the files of this node, else from its home.
    async fn body(&self, reported: Reported) -> io::Result<Option<Vec<u8>>> {
        let Some(room) = self.room.get() else {
            return Ok(None);
        };
        if let Some(body) = room.bodies.get(reported.hash)? {
            return Ok(Some(body));
        }
        if reported.home == room.author.node {
            return Ok(None);
        }
        let peers = &self.stage.peering.peers;
        match peers.body(reported.home, reported.hash, BODY_WITHIN).await {
            // another node may be wrong about what it keeps
            Ok(body) => Ok(body
                .filter(|body| Bodies::hash(body) == reported.hash)
                .map(Vec::from)),
            Err(error) => {
                tracing::debug!(peer.id = reported.home.0, %error, "the home of a body did not give it");
                Ok(None)
            }
        }
    }

    async fn open(&self) -> Result<(), ClusterError> {
        let node = self.consensus().status().node;
        let stage = &self.stage;
        let opened = stage.peering.open(Some(node), None, &stage.answers).await;
        opened.map_err(|error| ClusterError::Door(said(&error)))?;
        let announced = join::announce(self.consensus(), &stage.peering, node).await;
        announced.map_err(|error| ClusterError::Failed(said(&error)))?;
        stage
            .peering
            .clone()
            .follow_now(self.consensus().clone())
            .await;
        Ok(())
    }

    async fn take_step(&self, step: MemberStep) -> Result<(), ProposeError> {
        let before = self.consensus().status().leader;
        let step = match step {
            MemberStep::Vote(voters) => consensus::MemberStep::Vote(voters),
            MemberStep::Lead(to) => consensus::MemberStep::Lead(to),
        };
        let leads = matches!(step, consensus::MemberStep::Lead(_));
        self.consensus().step(step).await.map_err(refused)?;
        // whoever asks here afterwards hears of the new leader
        let mut waited = Duration::ZERO;
        while leads && waited < LEADER_WAIT {
            let leader = self.consensus().status().leader;
            if leader.is_some() && leader != before {
                break;
            }
            tokio::time::sleep(LEADER_LOOK).await;
            waited += LEADER_LOOK;
        }
        Ok(())
    }

    async fn move_there(&self, address: String, token: String) -> Result<(), ClusterError> {
        let token = JoinToken::decode(&token).map_err(|error| ClusterError::Token(said(&error)))?;
        let stage = &self.stage;
        let first = Some(address.as_str()).filter(|address| !address.is_empty());
        let near = first.or_else(|| token.addresses.first().map(|address| &**address));
        let own = self.consensus().status().node;
        let opened = stage.peering.open(Some(own), near, &stage.answers).await;
        let opened = opened.map_err(|error| ClusterError::Door(said(&error)))?;
        let newcomer = Newcomer {
            key: stage.peering.key.clone(),
            address: opened,
            name: join::name(&stage.config),
            wanted: stage.config.node.id.map(NodeId),
        };
        let joined = cluster::ask(&token, first, &newcomer, Duration::ZERO).await;
        let joined = joined.map_err(|error| match error {
            JoinError::Unreachable { .. } => ClusterError::Unreachable(said(&error)),
            JoinError::Token(_)
            | JoinError::File { .. }
            | JoinError::Refused { .. }
            | JoinError::UnknownToken { .. }
            | JoinError::Key(_)
            | JoinError::OtherCluster { .. } => ClusterError::Refused(said(&error)),
        })?;
        let note = Moving::to(&joined, &newcomer, stage.clock.wall_ms());
        let noted = note.note(&stage.config.node.data_dir);
        noted.map_err(|error| ClusterError::Failed(said(&error)))?;
        self.moves.cancel();
        Ok(())
    }
}

/// An error with everything behind it, in one line.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(source) = behind {
        text.push_str(": ");
        text.push_str(&source.to_string());
        behind = source.source();
    }
    text
}

impl Backend for NodeBackend {
    fn view(&self) -> View {
        let view = self.consensus().view();
        View {
            fleet: view.fleet.clone(),
            applied_index: view.applied_index,
        }
    }

    fn propose(
        &self,
        origin: Origin,
        proposal: Proposal,
    ) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        async move {
            let committed = self.consensus().propose(origin, proposal).await;
            committed
                .map(|committed| Committed {
                    index: committed.index,
                    outcome: committed.outcome,
                })
                .map_err(refused)
        }
        .boxed()
    }

    fn status(&self) -> RaftStatus {
        self.consensus().status()
    }

    fn accepted(&self, dispatch: DispatchId) {
        if let Some(room) = self.room.get() {
            room.accepted.add(dispatch);
            // deliveries of it may have been made already
            room.changes.look_at_dispatches();
        }
    }

    fn heard(
        &self,
        owners: BTreeMap<NodeId, Vec<InstanceUid>>,
    ) -> BoxFuture<'_, BTreeMap<InstanceUid, Heard>> {
        async move {
            let Some(elsewhere) = self.room.get().and_then(|room| room.elsewhere.get()) else {
                return BTreeMap::new();
            };
            let asked = owners.into_iter().map(|(node, uids)| async move {
                let asked = elsewhere.last_seen(node, uids.clone(), HEARD_WITHIN);
                let seen = tokio::time::timeout(HEARD_WITHIN, asked).await;
                let seen = seen.ok().and_then(Result::ok).unwrap_or_default();
                uids.into_iter().zip(seen).filter_map(|(uid, seen)| {
                    seen.map(|seen| {
                        let heard = Heard {
                            last_seen_ms: seen.seen_wall_ms,
                            silent_ms: seen.silent_ms,
                        };
                        (uid, heard)
                    })
                })
            });
            join_all(asked).await.into_iter().flatten().collect()
        }
        .boxed()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), ProposeError>> {
        async move {
            let waited = self.consensus().read_barrier().await;
            waited.map(|_index| ()).map_err(refused)
        }
        .boxed()
    }

    fn read_body(&self, hash: ConfigHash) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        self.consensus().read_body(hash).boxed()
    }

    fn read_audit(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> BoxFuture<'_, Vec<io::Result<Option<Arc<AuditRecord>>>>> {
        self.consensus().read_audit(numbers).boxed()
    }

    fn row(&self, key: &RowKey) -> io::Result<Option<Row>> {
        self.stage.store.rows().read(key)
    }

    fn reported_files(
        &self,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Vec<ReportedFile>>>> {
        async move {
            let body = self.body(body).await?;
            let files = body.map(reported::files).transpose()?;
            Ok(files.map(|files| files.into_iter().map(file).collect()))
        }
        .boxed()
    }

    fn kept_document(&self, hash: BodyHash) -> BoxFuture<'_, Option<String>> {
        async move { self.past().ok()?.document(hash).await }.boxed()
    }

    fn reported_json(
        &self,
        kind: ReportedKind,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Value>>> {
        let read = match kind {
            ReportedKind::Health => reported::health,
            ReportedKind::Components => reported::components,
        };
        async move { self.body(body).await?.map(read).transpose() }.boxed()
    }

    fn history(&self, query: Query) -> BoxFuture<'_, Result<History, HistoryError>> {
        async move { self.past()?.page(query).await }.boxed()
    }

    fn fleet_at(
        &self,
        at_ms: u64,
        after: Option<InstanceUid>,
        limit: u16,
    ) -> BoxFuture<'_, Result<FleetThen, HistoryError>> {
        async move { self.past()?.fleet_at(at_ms, after, limit).await }.boxed()
    }

    fn presence(&self, uid: InstanceUid) -> Option<Presence> {
        let room = self.room.get()?;
        let presence = room.registry.presence(uid, room.clock.boot_ms())?;
        Some(Presence {
            connected: presence.connected,
            transport: presence.transport,
            last_seen_ms: presence.seen_wall_ms,
            silent_ms: presence.silent_ms,
            heartbeats: presence.heartbeats,
        })
    }

    fn now(&self) -> Now {
        Now {
            boot_ms: self.stage.clock.boot_ms(),
            wall_ms: self.stage.clock.wall_ms(),
            fleet_ms: self.consensus().fleet_time_ms(),
        }
    }

    fn random(&self) -> [u8; 16] {
        entropy::bytes()
    }

    fn health(&self) -> Health {
        health::of(
            &self.consensus().status(),
            &self.stage.store.disk(),
            self.past.get().and_then(|past| past.trouble()),
            self.started.load(Ordering::Acquire),
            self.draining.load(Ordering::Acquire),
        )
    }

    fn metrics(&self) -> String {
        self.stage.metrics.render()
    }

    fn open_to_peers(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        self.open().boxed()
    }

    fn step(&self, step: MemberStep) -> BoxFuture<'_, Result<(), ProposeError>> {
        self.take_step(step).boxed()
    }

    fn settled(&self, node: NodeId, role: MemberRole) -> BoxFuture<'_, bool> {
        cluster::settled(self.consensus(), node, role).boxed()
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        self.consensus().progress(PROGRESS_WITHIN).boxed()
    }

    fn move_to(&self, address: String, token: String) -> BoxFuture<'_, Result<(), ClusterError>> {
        self.move_there(address, token).boxed()
    }
}

fn file((name, file): (String, wire::AgentConfigFile)) -> ReportedFile {
    ReportedFile {
        name: name.into(),
        content_type: file.content_type.into(),
        body: file.body,
    }
}

fn refused(error: consensus::ProposeError) -> ProposeError {
    match error {
        consensus::ProposeError::NotLeader { hint } => ProposeError::NotLeader { hint },
        consensus::ProposeError::Unavailable(reason) => ProposeError::Unavailable(reason),
        consensus::ProposeError::Overloaded => ProposeError::Overloaded,
        consensus::ProposeError::OutcomeUnknown => ProposeError::OutcomeUnknown,
        consensus::ProposeError::Stopped => ProposeError::Stopped,
    }
}
