//! Where a node can be reached inside the simulation: filled while its process runs, empty while it does not.

use std::sync::Arc;

use ampora::agents::room::Room;
use ampora::node::leases::Tenure;
use ampora_raft::consensus::{Committed, Consensus, MemberStep, ProposeError, View};
use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_raft::proposal::{Origin, Proposal};
use ampora_storage::kv::CrashKv;
use ampora_storage::rows::Rows;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::clocks::Clocks;
use crate::network::Parcel;

/// Messages that wait in a node; beyond it they are lost as in a full buffer of the kernel.
pub const INBOX_MAX: usize = 4_096;

/// Calls of operators, or connections of agents, that wait in a node.
pub const CALLS_MAX: usize = 64;

/// What an operator asks of a node.
#[derive(Debug)]
pub enum Ask {
    /// A write.
    Propose {
        /// Who asks.
        origin: Origin,
        /// What.
        proposal: Box<Proposal>,
        /// Hears the answer; dropped when the node dies.
        answer: oneshot::Sender<Result<Committed, ProposeError>>,
    },
    /// A consistent read.
    Read {
        /// Hears the answer; dropped when the node dies.
        answer: oneshot::Sender<Result<Arc<View>, ProposeError>>,
    },
    /// A step of membership.
    Step {
        /// The step.
        step: MemberStep,
        /// Hears the answer; dropped when the node dies.
        answer: oneshot::Sender<Result<(), ProposeError>>,
    },
}

/// An agent opens a socket.
#[derive(Debug)]
pub struct Knock {
    /// Whose socket it is, for the trace.
    pub uid: InstanceUid,
    /// What the agent says.
    pub from_agent: mpsc::Receiver<Bytes>,
    /// What it hears.
    pub to_agent: mpsc::Sender<Bytes>,
}

/// The doors of a running process.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Messages of peers.
    pub inbox: Option<mpsc::Sender<Parcel>>,
    /// Operators.
    pub asks: Option<mpsc::Sender<Ask>>,
    /// Agents.
    pub knocks: Option<mpsc::Sender<Knock>>,
    /// Its log.
    pub consensus: Option<Consensus>,
    /// Its rows.
    pub rows: Option<Arc<Rows>>,
    /// Its agents.
    pub room: Option<Arc<Room>>,
    /// The named lease that it held last.
    pub tenure: Option<Tenure>,
}

/// The seat of one node; clones are the same one.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The node.
    pub node: NodeId,
    clocks: Arc<Clocks>,
    disk: CrashKv,
    within_bound: bool,
    doors: Arc<Mutex<Doors>>,
}

impl Seat {
    /// A seat where nobody sits.
    pub fn new(node: NodeId, clocks: Arc<Clocks>, disk: CrashKv, within_bound: bool) -> Self {
        Self {
            node,
            clocks,
            disk,
            within_bound,
            doors: Arc::default(),
        }
    }

    /// Looks at or changes the doors.
    pub fn with<T>(&self, f: impl FnOnce(&mut Doors) -> T) -> T {
        f(&mut self.doors.lock())
    }

    /// The process is gone.
    pub fn clear(&self) {
        let doors = std::mem::take(&mut *self.doors.lock());
        // whatever its end wakes finds the seat empty
        drop(doors);
    }

    /// The clocks of its machine.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// The disk of its machine.
    pub fn disk(&self) -> &CrashKv {
        &self.disk
    }

    /// Whether its clocks keep to what leases are made for.
    pub fn is_within_bound(&self) -> bool {
        self.within_bound
    }

    /// Its log, while it runs.
    pub fn consensus(&self) -> Option<Consensus> {
        self.with(|doors| doors.consensus.clone())
    }

    /// A name for the trace.
    pub fn name(&self) -> String {
        format!("n{}", self.node)
    }
}
