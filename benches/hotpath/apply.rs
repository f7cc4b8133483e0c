//! What reports cost: batches of one node, applied to a fleet of which a reader always holds the state before.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::fleet::limits::OPS_MAX;
use ampora_raft::ids::{Epoch, InstanceUid, NodeId};
use ampora_raft::outcome::{OpOutcome, Outcome};
use ampora_raft::proposal::{Entry, NodeBatch, Origin, Proposal, RegisterNode, SessionOp};
use ampora_raft::records::{AgentUpdate, Description, Health, Label, Transport};

/// Agents of the fleet.
const AGENTS: u64 = 4_000;
/// Agents that report one after the other are this far apart, so that neighbours share no leaf.
const STRIDE: u64 = 1_237;

/// A fleet, and the entries that will be applied to it.
pub struct Reports {
    fleet: Fleet,
    /// What a reader holds.
    view: Fleet,
    index: u64,
    entries: Vec<Entry>,
}

impl Reports {
    /// Reports of one batch: what a node of ten thousand agents gathers in some milliseconds of a busy second.
    pub const PER_BATCH: u64 = 32;

    /// Prepares so many batches.
    ///
    /// # Panics
    /// When the product does not answer as it should: then nothing is worth measuring.
    pub fn new(count: u64) -> Self {
        let mut reports = Self {
            fleet: Fleet::default(),
            view: Fleet::default(),
            index: 0,
            entries: Vec::new(),
        };
        reports.apply(&entry(Proposal::Found { lineage: 1 }));
        let registered = reports.apply(&entry(Proposal::RegisterNode(RegisterNode {
            node: NodeId(1),
            name: "node".into(),
            version: "1".into(),
            opamp_address: "127.0.0.1:4320".into(),
            admin_address: "127.0.0.1:4321".into(),
        })));
        assert_eq!(registered, Outcome::Registered { epoch: Epoch(1) });
        let agents: Vec<u64> = (0..AGENTS).collect();
        let mut number = 0;
        for agents in agents.chunks(OPS_MAX / 2) {
            number += 1;
            let ops = agents
                .iter()
                .flat_map(|agent| [claim(*agent), introduction(*agent)]);
            let outcome = reports.apply(&batch(number, ops.collect()));
            let Outcome::Batch(outcomes) = outcome else {
                panic!("{outcome:?}");
            };
            let granted = |outcome: &OpOutcome| {
                matches!(outcome, OpOutcome::Granted { .. } | OpOutcome::Done)
            };
            assert!(outcomes.iter().all(granted), "{outcomes:?}");
        }
        let later = (0..count).map(|n| {
            let reports = (0..Reports::PER_BATCH).map(|place| report(n, place));
            batch(number + 1 + n, reports.collect())
        });
        reports.entries = later.collect();
        reports
    }

    /// Applies the first `count` of the batches, once; the rows that changed.
    ///
    /// # Panics
    /// When a batch is refused.
    pub fn run(&mut self, count: u64) -> usize {
        let entries = std::mem::take(&mut self.entries);
        let mut rows = 0;
        for (_, entry) in (0..count).zip(&entries) {
            self.view = self.fleet.clone();
            self.index += 1;
            let applied = self.fleet.apply(self.index, entry);
            assert!(matches!(applied.outcome, Outcome::Batch(_)));
            rows += applied.dirty.len();
        }
        self.entries = entries;
        rows
    }

    fn apply(&mut self, entry: &Entry) -> Outcome {
        self.index += 1;
        self.fleet.apply(self.index, entry).outcome
    }
}

fn entry(proposal: Proposal) -> Entry {
    Entry {
        time_ms: 1,
        wall_ms: 1,
        origin: Origin {
            actor: "node:1".into(),
            request_id: "".into(),
            idempotency: None,
        },
        proposal,
    }
}

fn batch(number: u64, ops: Vec<SessionOp>) -> Entry {
    entry(Proposal::NodeBatch(NodeBatch {
        node: NodeId(1),
        epoch: Epoch(1),
        number,
        agents_max: u32::MAX,
        ops,
    }))
}

fn uid(agent: u64) -> InstanceUid {
    InstanceUid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(agent))
}

fn claim(agent: u64) -> SessionOp {
    SessionOp::Claim {
        uid: uid(agent),
        expect: None,
        transport: Transport::WebSocket,
    }
}

fn introduction(agent: u64) -> SessionOp {
    let label = |key: &str, value: String| Label {
        key: key.into(),
        value: value.into(),
        scalar: true,
    };
    let description = Description {
        name: format!("host-{agent}").into(),
        agent_type: "io.opentelemetry.collector".into(),
        agent_version: "0.130.0".into(),
        labels: vec![
            label(
                "env",
                ["prod", "staging"][usize::from(agent.is_multiple_of(2))].to_owned(),
            ),
            label("host.name", format!("host-{agent}")),
            label("os.type", "linux".to_owned()),
        ],
        truncated: false,
    };
    SessionOp::Report {
        uid: uid(agent),
        update: Box::new(AgentUpdate {
            description: Some(Arc::new(description)),
            capabilities: Some(0x1803),
            ..AgentUpdate::default()
        }),
    }
}

/// An agent turns unhealthy in one of its reports and healthy in the next.
fn report(number: u64, place: u64) -> SessionOp {
    let turn = number * Reports::PER_BATCH + place;
    let healthy = (turn / AGENTS).is_multiple_of(2);
    SessionOp::Report {
        uid: uid(turn * STRIDE % AGENTS),
        update: Box::new(AgentUpdate {
            health: Some(Health {
                healthy,
                status: if healthy {
                    "StatusOK"
                } else {
                    "StatusRecoverableError"
                }
                .into(),
                last_error: "".into(),
                since_ms: 1,
                body: None,
            }),
            ..AgentUpdate::default()
        }),
    }
}
