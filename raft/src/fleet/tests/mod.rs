//! The fleet as its log sees it: entries in, rows, effects and answers out.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that a test does not name fails it"
)]

mod audit;
mod cluster;
mod deliveries;
mod desired;
mod digest;
mod downtime;
mod enrollment;
mod generate;
mod labels;
mod limits;
mod model;
mod properties;
mod restore;
mod retention;
mod rollout;
mod search;
mod sessions;

use std::sync::Arc;

use super::{Applied, Fleet};
use crate::ids::{ConfigHash, DispatchId, Epoch, Fence, InstanceUid, NodeId};
use crate::outcome::{OpOutcome, Outcome};
use crate::proposal::{
    Assign, CreateDispatch, CreateVersion, Entry, Idempotency, Mark, MarkDeliveries, MarkTo,
    NodeBatch, Origin, Proposal, PutGroup, RegisterNode, Retention, SessionOp, SetLabels,
    StageBody,
};
use crate::records::{Action, AgentUpdate, DeliveryState, Description, Label, Target, Transport};
use crate::selector::Selector;

/// A fleet with the hand that writes its log.
#[derive(Clone, Default)]
struct Log {
    fleet: Fleet,
    index: u64,
    time_ms: u64,
    batches: u64,
}

fn uid(n: u64) -> InstanceUid {
    InstanceUid::from_u128(u128::from(n) + 1)
}

fn hash(n: u8) -> ConfigHash {
    ConfigHash([n; 32])
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect("a selector")
}

const NODE: NodeId = NodeId(1);

impl Log {
    /// With one node that is live in its first epoch.
    fn with_node() -> Self {
        let mut log = Self::default();
        log.register(NODE);
        log
    }

    fn entry(&mut self, entry: Entry) -> Applied {
        self.index += 1;
        self.fleet.apply(self.index, &entry)
    }

    fn apply(&mut self, proposal: Proposal) -> Applied {
        let time_ms = self.time_ms;
        self.entry(stamped(time_ms, None, proposal))
    }

    fn outcome(&mut self, proposal: Proposal) -> Outcome {
        self.apply(proposal).outcome
    }

    fn register(&mut self, node: NodeId) -> Epoch {
        let text: Arc<str> = "node".into();
        let registered = self.outcome(Proposal::RegisterNode(RegisterNode {
            node,
            name: text.clone(),
            version: text.clone(),
            opamp_address: text.clone(),
            admin_address: text,
        }));
        match registered {
            Outcome::Registered { epoch } => {
                if node == NODE {
                    self.batches = 0;
                }
                epoch
            }
            other => panic!("{other:?}"),
        }
    }

    fn epoch(&self) -> Epoch {
        self.fleet.node(NODE).expect("registered").epoch
    }

    /// The next batch of the node.
    fn batch(&mut self, ops: Vec<SessionOp>) -> Vec<OpOutcome> {
        self.batches += 1;
        let proposal = batch(NODE, self.epoch(), self.batches, ops);
        match self.outcome(proposal) {
            Outcome::Batch(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, n: u64) -> Fence {
        let outcomes = self.batch(vec![claim(n, None)]);
        match &outcomes[..] {
            [OpOutcome::Granted { fence, .. }] => *fence,
            other => panic!("{other:?}"),
        }
    }

    /// An agent that this node owns, with a label and all capabilities.
    fn agent(&mut self, n: u64, env: &str) -> Fence {
        let fence = self.claim(n);
        let outcomes = self.batch(vec![report(n, described(env))]);
        assert_eq!(outcomes, [OpOutcome::Done]);
        fence
    }

    fn version(&mut self, name: &str, n: u8) -> u32 {
        self.outcome(Proposal::StageBody(StageBody {
            hash: hash(n),
            part: 0,
            parts: 1,
            bytes: vec![n; 10].into(),
        }));
        let made = self.outcome(Proposal::CreateVersion(CreateVersion {
            configuration: name.into(),
            hash: hash(n),
            files: Vec::new(),
            comment: "".into(),
        }));
        match made {
            Outcome::Version { version, .. } => version.number,
            other => panic!("{other:?}"),
        }
    }

    fn group(&mut self, name: &str, priority: i32, chosen: &str, assign: Assign) {
        let put = self.outcome(Proposal::PutGroup(PutGroup {
            name: name.into(),
            revision: None,
            selector: Some(selector(chosen)),
            priority: Some(priority),
            assign,
            pace: None,
        }));
        assert!(matches!(put, Outcome::Group { .. }), "{put:?}");
    }

    fn dispatch(&mut self, target: Target) -> DispatchId {
        match self.outcome(dispatch(target, 3_600_000)) {
            Outcome::Dispatch(dispatch) => dispatch.id,
            other => panic!("{other:?}"),
        }
    }

    fn mark(&mut self, dispatch: DispatchId, n: u64, to: MarkTo) -> bool {
        let marks = vec![Mark {
            dispatch,
            agent: uid(n),
            to,
        }];
        let marked = self.outcome(Proposal::MarkDeliveries(MarkDeliveries {
            node: NODE,
            epoch: self.epoch(),
            marks,
        }));
        match marked {
            Outcome::Deliveries { taken, .. } => taken == [0],
            other => panic!("{other:?}"),
        }
    }

    fn state(&self, dispatch: DispatchId, n: u64) -> Option<DeliveryState> {
        let delivery = self.fleet.delivery(dispatch, uid(n))?;
        Some(delivery.state.clone())
    }
}

fn stamped(time_ms: u64, idempotency: Option<Idempotency>, proposal: Proposal) -> Entry {
    Entry {
        time_ms,
        wall_ms: 1_000_000 + time_ms,
        origin: Origin {
            actor: "somebody".into(),
            request_id: "request".into(),
            idempotency,
        },
        proposal,
    }
}

fn key(key: &str, digest: u8) -> Idempotency {
    Idempotency {
        key: key.into(),
        digest: [digest; 32],
    }
}

fn batch(node: NodeId, epoch: Epoch, number: u64, ops: Vec<SessionOp>) -> Proposal {
    Proposal::NodeBatch(NodeBatch {
        node,
        epoch,
        number,
        agents_max: 10_000,
        ops,
    })
}

fn claim(n: u64, expect: Option<Fence>) -> SessionOp {
    SessionOp::Claim {
        uid: uid(n),
        expect,
        transport: Transport::WebSocket,
    }
}

fn report(n: u64, update: AgentUpdate) -> SessionOp {
    SessionOp::Report {
        uid: uid(n),
        update: Box::new(update),
    }
}

fn described(env: &str) -> AgentUpdate {
    let label = Label {
        key: "env".into(),
        value: env.into(),
        scalar: true,
    };
    AgentUpdate {
        description: Some(Arc::new(Description {
            labels: vec![label],
            ..Description::default()
        })),
        capabilities: Some(u64::MAX),
        ..AgentUpdate::default()
    }
}

fn dispatch(target: Target, expires_in_ms: u64) -> Proposal {
    Proposal::CreateDispatch(CreateDispatch {
        action: Action::Restart,
        target,
        requires: 1,
        expires_in_ms,
    })
}
