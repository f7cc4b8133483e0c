//! Proposals of a cluster.

use ampora_raft::ids::{DispatchId, Epoch, Fence, NodeId};
use ampora_raft::proposal::Proposal;
use ampora_raft::records::{JoinToken, Peer};

pub(crate) fn peer(id: u64) -> Peer {
    Peer {
        id: NodeId(id),
        key: [7; 32],
        address: "a:4322".into(),
        level: 2,
    }
}

pub(crate) fn join_token() -> JoinToken {
    JoinToken {
        id: "id".into(),
        hash: [8; 32],
        uses: 3,
        expires_ms: 300,
        created_ms: 70_000,
        created_by: "admin".into(),
        redeemed: vec![([9; 32], NodeId(2)), ([10; 32], NodeId(300))],
    }
}

pub(super) fn proposals() -> Vec<Proposal> {
    let (node, epoch) = (NodeId(2), Epoch(300));
    let expand = Proposal::ExpandDispatch {
        dispatch: DispatchId(7),
        cursor: None,
    };
    vec![
        Proposal::LeaderStart { grace_ms: 2_000 },
        Proposal::Tick {
            ttl_ms: 10_000,
            renewals: Vec::new(),
        },
        Proposal::Tick {
            ttl_ms: u64::MAX,
            renewals: vec![(NodeId(1), Epoch(2)), (node, epoch)],
        },
        Proposal::DrainNode { node, epoch },
        Proposal::LeaveNode { node, epoch },
        Proposal::AcquireLease {
            name: "rollout".into(),
            node,
            epoch,
            lock_delay_ms: 5_000,
        },
        Proposal::ReleaseLease {
            name: "rollout".into(),
            fence: Fence(301),
        },
        expand.under_lease("expand".into(), Fence(302)),
        Proposal::PutPeer { peer: peer(2) },
        Proposal::CreateJoinToken {
            token: join_token(),
        },
        Proposal::RedeemJoinToken {
            hash: [8; 32],
            peer: peer(0),
            name: "host".into(),
        },
        Proposal::RemoveNode { node },
        Proposal::SetFeatureLevel { level: 2 },
    ]
}
