//! Nodes that come, live, hold leases and go.

mod joining;
mod leases;
mod liveness;
mod members;

use super::*;
use crate::fleet::FEATURE_LEVEL;
use crate::outcome::Rejection;
use crate::records::{JoinToken, Peer};

const TTL: u64 = 10_000;
const SECOND: NodeId = NodeId(2);

fn refused(rejection: Rejection) -> Outcome {
    Outcome::Rejected(rejection)
}

impl Log {
    /// At this fleet time.
    fn at(&mut self, time_ms: u64) -> &mut Self {
        self.time_ms = time_ms;
        self
    }

    /// Two nodes in their first epochs with a deadline, seen at time 0.
    fn with_two() -> Self {
        let mut log = Self::with_node();
        log.register(SECOND);
        assert_eq!(log.tick(&[]), []);
        log
    }

    fn tick(&mut self, renewals: &[(NodeId, Epoch)]) -> Vec<NodeId> {
        let ticked = self.outcome(Proposal::Tick {
            ttl_ms: TTL,
            renewals: renewals.to_vec(),
        });
        match ticked {
            Outcome::Ticked { fenced } => fenced,
            other => panic!("{other:?}"),
        }
    }

    fn acquire(&mut self, name: &str, node: NodeId) -> Outcome {
        let epoch = self.fleet.node(node).map_or(Epoch(1), |node| node.epoch);
        self.outcome(Proposal::AcquireLease {
            name: name.into(),
            node,
            epoch,
            lock_delay_ms: 5_000,
        })
    }

    fn acquired(&mut self, name: &str, node: NodeId) -> Fence {
        match self.acquire(name, node) {
            Outcome::Lease { fence } => fence,
            other => panic!("{other:?}"),
        }
    }

    fn is_live(&self, node: NodeId) -> bool {
        self.fleet.node(node).expect("known").live
    }
}

fn token(id: &str, uses: u32, expires_ms: u64) -> JoinToken {
    JoinToken {
        id: id.into(),
        hash: [id.as_bytes()[0]; 32],
        uses,
        expires_ms,
        created_ms: 3,
        created_by: "".into(),
        redeemed: Vec::new(),
    }
}

fn peer(id: u64, key: u8) -> Peer {
    Peer {
        id: NodeId(id),
        key: [key; 32],
        address: "host:4322".into(),
        level: FEATURE_LEVEL,
    }
}
