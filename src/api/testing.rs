//! A node in memory for tests: a fleet, applied directly, behind the real router.

mod ask;
mod cluster;
mod past;
mod rows;
mod time;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{BodyHash, ConfigHash, Epoch, InstanceUid, NodeId};
use ampora_raft::outcome::{OpOutcome, Outcome};
use ampora_raft::proposal::{Asker, Entry, NodeBatch, Origin, Proposal, RegisterNode, SessionOp};
use ampora_raft::records::{
    AgentUpdate, AuditRecord, ConfigReport, ConfigStatus, Description, Label, MemberRole,
    ReleaseReason, Role, Token, Transport,
};
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::history::query::Query;
use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) use ask::{Answer, Ask};

use super::backend::{
    Backend, ClusterError, Committed, FleetThen, Health, History, HistoryError, MemberStep, Now,
    Part, Presence, Progress, ProposeError, RaftStatus, Reported, ReportedFile, ReportedKind, View,
};
use super::settings::Settings;
use super::{Api, admin};

/// Wall time of every test's beginning.
pub(crate) const WALL_MS: u64 = 1_700_000_000_000;
/// Every bit that the tests need: remote configuration, restart, health, and their reports.
pub(crate) const CAPABLE: u64 = 0x1 | 0x2 | 0x4 | 0x400 | 0x800 | 0x1000;

#[derive(Default)]
struct State {
    fleet: Fleet,
    index: u64,
    now: Now,
    beside: BTreeMap<RowKey, Row>,
    files: BTreeMap<BodyHash, Vec<ReportedFile>>,
    json: BTreeMap<BodyHash, Value>,
    presence: BTreeMap<InstanceUid, Presence>,
    batch: u64,
    randoms: u8,
    fails: Option<ProposeError>,
    health: Option<Health>,
    among: cluster::Among,
    past: past::Past,
}

/// A node in memory.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

impl State {
    fn apply(&mut self, origin: Origin, proposal: Proposal) -> Committed {
        self.index += 1;
        let entry = Entry {
            time_ms: self.now.fleet_ms,
            wall_ms: self.now.wall_ms,
            origin,
            proposal,
        };
        let applied = self.fleet.apply(self.index, &entry);
        for (key, value) in applied.puts {
            match value {
                Some(row) => self.beside.insert(key, row),
                None => self.beside.remove(&key),
            };
        }
        Committed {
            index: self.index,
            outcome: applied.outcome,
        }
    }
}

impl Backend for Memory {
    fn view(&self) -> View {
        let state = self.state.lock();
        View {
            fleet: state.fleet.clone(),
            applied_index: state.index,
        }
    }

    fn propose(
        &self,
        origin: Origin,
        proposal: Proposal,
    ) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        let asked = matches!(proposal, Proposal::Asked { .. });
        assert!(
            asked || proposal.asker() != Asker::Operator || origin.idempotency.is_none(),
            "it would leave no audit record: {proposal:?}"
        );
        let mut state = self.state.lock();
        let answer = match state.fails.clone() {
            Some(error) => Err(error),
            None => Ok(state.apply(origin, proposal)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn status(&self) -> RaftStatus {
        let state = self.state.lock();
        let index = state.index;
        let alone = || (vec![NodeId(1)], Vec::new());
        let (voters, learners) = state.among.members.clone().unwrap_or_else(alone);
        RaftStatus {
            node: NodeId(1),
            leader: Some(state.among.leader.unwrap_or(NodeId(1))),
            term: 3 + state.among.terms,
            last_log_index: index,
            committed_index: index,
            applied_index: index,
            voters,
            learners,
            quorum: true,
            leader_contact_ms: Some(0),
            ..RaftStatus::default()
        }
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), ProposeError>> {
        let failed = self.state.lock().fails.clone();
        Box::pin(std::future::ready(failed.map_or(Ok(()), Err)))
    }

    fn read_body(&self, hash: ConfigHash) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let state = self.state.lock();
        let body = state.fleet.body(&hash).map(|meta| {
            (0..meta.parts)
                .flat_map(|part| {
                    let key = RowKey::BodyPart(hash, part);
                    let Row::BodyPart(bytes) = &state.beside[&key] else {
                        panic!("{key:?} is no part of a body");
                    };
                    bytes.to_vec()
                })
                .collect()
        });
        Box::pin(std::future::ready(Ok(body)))
    }

    fn read_audit(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> BoxFuture<'_, Vec<io::Result<Option<Arc<AuditRecord>>>>> {
        let state = self.state.lock();
        let read = numbers.map(|seq| match state.beside.get(&RowKey::Audit(seq)) {
            Some(Row::Audit(record)) => Ok(Some(Arc::clone(record))),
            Some(_) => Err(io::Error::other("another row")),
            None => Ok(None),
        });
        Box::pin(std::future::ready(read.collect()))
    }

    fn row(&self, key: &RowKey) -> io::Result<Option<Row>> {
        Ok(self.state.lock().beside.get(key).cloned())
    }

    fn reported_files(
        &self,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Vec<ReportedFile>>>> {
        let found = self.state.lock().files.get(&body.hash).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn reported_json(
        &self,
        _: ReportedKind,
        body: Reported,
    ) -> BoxFuture<'_, io::Result<Option<Value>>> {
        let found = self.state.lock().json.get(&body.hash).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn history(&self, query: Query) -> BoxFuture<'_, Result<History, HistoryError>> {
        let answer = self.state.lock().past.answer(&query);
        Box::pin(std::future::ready(answer))
    }

    fn fleet_at(
        &self,
        at_ms: u64,
        after: Option<InstanceUid>,
        limit: u16,
    ) -> BoxFuture<'_, Result<FleetThen, HistoryError>> {
        let answer = self.state.lock().past.fleet_at(at_ms, after, limit);
        Box::pin(std::future::ready(answer))
    }

    fn presence(&self, uid: InstanceUid) -> Option<Presence> {
        self.state.lock().presence.get(&uid).copied()
    }

    fn now(&self) -> Now {
        self.state.lock().now
    }

    fn random(&self) -> [u8; 16] {
        let mut state = self.state.lock();
        state.randoms = state.randoms.wrapping_add(1);
        [state.randoms; 16]
    }

    fn health(&self) -> Health {
        self.state.lock().health.clone().unwrap_or(Health {
            started: true,
            raft: Part::ok(),
            storage: Part::ok(),
            history: Part::ok(),
            opamp: Part::ok(),
        })
    }

    fn metrics(&self) -> String {
        "# HELP ampora_agents Agents.\n".to_owned()
    }

    fn open_to_peers(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(std::future::ready(self.opened()))
    }

    fn step(&self, step: MemberStep) -> BoxFuture<'_, Result<(), ProposeError>> {
        self.stepped(step);
        Box::pin(std::future::ready(Ok(())))
    }

    fn settled(&self, node: NodeId, role: MemberRole) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.settles(node, role)))
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        let progress = self.state.lock().among.progress.clone();
        Box::pin(std::future::ready(progress))
    }

    fn move_to(&self, address: String, token: String) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(std::future::ready(self.moved_to(address, token)))
    }
}

/// The real router over a node in memory with a token of each role.
pub(crate) struct Site {
    pub(crate) memory: Arc<Memory>,
    pub(crate) router: Router,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Site {
        let memory = Arc::new(Memory::default());
        memory.state.lock().now = Now {
            boot_ms: 1_000,
            wall_ms: WALL_MS,
            fleet_ms: 5_000,
        };
        let site = Site {
            router: admin(Api::new(Arc::clone(&memory) as Arc<dyn Backend>, settings)),
            memory,
        };
        site.apply(Proposal::Found { lineage: 0xa1 });
        site.apply(Proposal::RegisterNode(RegisterNode {
            node: NodeId(1),
            name: Arc::from("node-one"),
            version: Arc::from("0.1.0"),
            opamp_address: Arc::from("127.0.0.1:4320"),
            admin_address: Arc::from("127.0.0.1:4321"),
        }));
        for (name, role) in [
            ("viewer", Role::Viewer),
            ("operator", Role::Operator),
            ("admin", Role::Admin),
        ] {
            site.token(name, role, None);
        }
        site
    }

    pub(crate) fn token(&self, name: &str, role: Role, expires_at_ms: Option<u64>) {
        self.apply(Proposal::PutToken {
            token: Token {
                id: Arc::from(name),
                name: Arc::from(name),
                role,
                hash: Sha256::digest(format!("amp_{name}")).into(),
                created_ms: WALL_MS,
                expires_at_ms,
            },
        });
    }

    /// Applies a proposal of the system.
    #[track_caller]
    pub(crate) fn apply(&self, proposal: Proposal) -> Outcome {
        let origin = Origin {
            actor: Arc::from("node:1"),
            request_id: Arc::from("test"),
            idempotency: None,
        };
        let outcome = self.memory.state.lock().apply(origin, proposal).outcome;
        assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        outcome
    }

    fn batch(&self, op: SessionOp) -> OpOutcome {
        let number = {
            let mut state = self.memory.state.lock();
            state.batch += 1;
            state.batch
        };
        let outcome = self.apply(Proposal::NodeBatch(NodeBatch {
            node: NodeId(1),
            epoch: Epoch(1),
            number,
            agents_max: 1_000_000,
            ops: vec![op],
        }));
        let Outcome::Batch(mut outcomes) = outcome else {
            panic!("{outcome:?}");
        };
        outcomes.remove(0)
    }

    /// A connected agent with labels; its number is its uid.
    pub(crate) fn agent(&self, number: u128, labels: &[(&str, &str)]) -> InstanceUid {
        let uid = InstanceUid::from_u128(number);
        let granted = self.batch(SessionOp::Claim {
            uid,
            expect: None,
            transport: Transport::WebSocket,
        });
        assert!(matches!(granted, OpOutcome::Granted { .. }), "{granted:?}");
        self.report(
            uid,
            AgentUpdate {
                description: Some(Arc::new(Description {
                    name: Arc::from(format!("host-{number}")),
                    agent_type: Arc::from("otelcol"),
                    agent_version: Arc::from("0.120.0"),
                    labels: labels
                        .iter()
                        .map(|(key, value)| Label {
                            key: Arc::from(*key),
                            value: Arc::from(*value),
                            scalar: true,
                        })
                        .collect(),
                    truncated: false,
                })),
                capabilities: Some(CAPABLE),
                ..AgentUpdate::default()
            },
        );
        self.present(
            uid,
            Presence {
                connected: true,
                transport: Transport::WebSocket,
                last_seen_ms: WALL_MS + 5,
                silent_ms: 10,
                heartbeats: true,
            },
        );
        uid
    }

    pub(crate) fn report(&self, uid: InstanceUid, update: AgentUpdate) {
        let outcome = self.batch(SessionOp::Report {
            uid,
            update: Box::new(update),
        });
        assert_eq!(outcome, OpOutcome::Done);
    }

    /// A word of the agent about its configuration.
    pub(crate) fn report_config(
        &self,
        uid: InstanceUid,
        hash: &str,
        status: ConfigStatus,
        error: &str,
    ) {
        self.report(
            uid,
            AgentUpdate {
                config: Some(ConfigReport {
                    hash: hex::decode(hash).unwrap(),
                    status,
                    error: Arc::from(error),
                }),
                ..AgentUpdate::default()
            },
        );
    }

    pub(crate) fn release(&self, uid: InstanceUid, reason: ReleaseReason) {
        let view = self.memory.view();
        let session = view.fleet.agent(uid).unwrap().session.unwrap();
        let outcome = self.batch(SessionOp::Release {
            uid,
            fence: session.fence,
            reason,
            last_sequence: Some(1),
        });
        assert_eq!(outcome, OpOutcome::Done);
        self.memory.state.lock().presence.remove(&uid);
    }

    pub(crate) fn present(&self, uid: InstanceUid, presence: Presence) {
        self.memory.state.lock().presence.insert(uid, presence);
    }

    /// Keeps a reported body and gives its hash.
    pub(crate) fn keep_files(&self, files: &[(&str, &str)]) -> BodyHash {
        let files: Vec<ReportedFile> = files
            .iter()
            .map(|(name, body)| ReportedFile {
                name: Arc::from(*name),
                content_type: Arc::from("text/yaml"),
                body: Bytes::from((*body).to_owned()),
            })
            .collect();
        let hash = BodyHash(Sha256::digest(format!("{files:?}")).into());
        self.memory.state.lock().files.insert(hash, files);
        hash
    }

    pub(crate) fn keep_json(&self, value: Value) -> BodyHash {
        let hash = BodyHash(Sha256::digest(value.to_string()).into());
        self.memory.state.lock().json.insert(hash, value);
        hash
    }

    /// Every proposal from here on fails so.
    pub(crate) fn fail(&self, error: Option<ProposeError>) {
        self.memory.state.lock().fails = error;
    }

    pub(crate) fn health(&self, health: Health) {
        self.memory.state.lock().health = Some(health);
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask::new(self, method, path)
    }

    /// `GET` as a viewer, below `/api/v1`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let path = format!("/api/v1{path}");
        self.ask(Method::GET, &path).role("viewer").send().await
    }

    /// A change as an operator, below `/api/v1`.
    pub(crate) fn write(&self, method: Method, path: &str) -> Ask<'_> {
        self.ask(method, &format!("/api/v1{path}")).role("operator")
    }

    /// A configuration version of raw bytes; its answer.
    pub(crate) async fn version(&self, name: &str, body: &str) -> Value {
        let answer = self
            .write(Method::POST, &format!("/configurations/{name}/versions"))
            .raw("text/yaml", body.to_owned())
            .send()
            .await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()
    }
}
