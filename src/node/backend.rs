//! This node as the REST rooms see it: the fleet and the log through consensus, reported bodies and
//! presence through the agents' room.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ampora_proto::wire;
use ampora_raft::consensus::{self, Consensus, RowStore};
use ampora_raft::ids::{BodyHash, ConfigHash, DispatchId, InstanceUid};
use ampora_raft::proposal::{Origin, Proposal};
use ampora_raft::records::AuditRecord;
use ampora_raft::rows::{Row, RowKey};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::health;
use crate::agents::reported;
use crate::agents::room::Room;
use crate::api::backend::{
    Backend, Committed, Health, Now, Presence, ProposeError, RaftStatus, ReportedFile,
    ReportedKind, View,
};
use crate::entropy;
use crate::telemetry::metrics::Metrics;

/// What the admin listener asks.
#[derive(Debug)]
pub struct NodeBackend {
    room: Arc<Room>,
    store: Arc<ampora_storage::store::Store>,
    metrics: Metrics,
    started: AtomicBool,
    draining: AtomicBool,
}

impl NodeBackend {
    /// A node that is not ready yet.
    pub fn new(
        room: Arc<Room>,
        store: Arc<ampora_storage::store::Store>,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            room,
            store,
            metrics,
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        })
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
        &self.room.consensus
    }

    fn body(&self, hash: BodyHash) -> io::Result<Option<Vec<u8>>> {
        self.room.bodies.get(hash)
    }
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
        let status = self.consensus().status();
        RaftStatus {
            node: status.node,
            leader: status.leader,
            term: status.term,
            last_log_index: status.last_log_index,
            committed_index: status.committed_index,
            applied_index: status.applied_index,
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            voters: status.voters,
            learners: status.learners,
            quorum: status.quorum,
            leader_contact_ms: status.leader_contact_ms,
            matched: status.matched,
        }
    }

    fn accepted(&self, dispatch: DispatchId) {
        self.room.accepted.add(dispatch);
        // deliveries of it may have been made already
        self.room.changes.look_at_dispatches();
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
        self.store.rows().read(key)
    }

    fn reported_files(
        &self,
        hash: BodyHash,
    ) -> BoxFuture<'_, io::Result<Option<Vec<ReportedFile>>>> {
        let files = self.body(hash).and_then(|body| {
            let files = body.map(reported::files).transpose()?;
            Ok(files.map(|files| files.into_iter().map(file).collect()))
        });
        std::future::ready(files).boxed()
    }

    fn reported_json(
        &self,
        kind: ReportedKind,
        hash: BodyHash,
    ) -> BoxFuture<'_, io::Result<Option<Value>>> {
        let read = match kind {
            ReportedKind::Health => reported::health,
            ReportedKind::Components => reported::components,
        };
        let json = self.body(hash).and_then(|body| body.map(read).transpose());
        std::future::ready(json).boxed()
    }

    fn presence(&self, uid: InstanceUid) -> Option<Presence> {
        let presence = self
            .room
            .registry
            .presence(uid, self.room.clock.boot_ms())?;
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
            boot_ms: self.room.clock.boot_ms(),
            wall_ms: self.room.clock.wall_ms(),
            fleet_ms: self.consensus().fleet_time_ms(),
        }
    }

    fn random(&self) -> [u8; 16] {
        entropy::bytes()
    }

    fn health(&self) -> Health {
        health::of(
            &self.consensus().status(),
            &self.store.disk(),
            self.started.load(Ordering::Acquire),
            self.draining.load(Ordering::Acquire),
        )
    }

    fn metrics(&self) -> String {
        self.metrics.render()
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
