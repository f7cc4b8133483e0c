//! Proposals of a cluster.

use ampora_raft::ids::{DispatchId, Epoch, Fence, NodeId};
use ampora_raft::proposal::{Entry, Proposal};
use ampora_raft::records::{JoinToken, MemberRole, Peer};
use ampora_storage::codec::{Kind, decode, encode};

use super::entry;

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
    let mut all = vec![
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
    ];
    all.extend(asked_of_members());
    all
}

/// What operators ask of members.
fn asked_of_members() -> Vec<Proposal> {
    let (node, term) = (NodeId(2), 300);
    let (voter, learner) = (MemberRole::Voter, MemberRole::Learner);
    let role = |before, role| Proposal::SetMemberRole { node, before, role };
    let lead = |before, to| Proposal::TransferLeader { before, to, term };
    vec![
        role(voter, learner),
        role(learner, voter),
        lead(Some(NodeId(1)), Some(node)),
        lead(None, None),
    ]
}

/// Bytes that nest without end are an error, not the end of the stack.
#[test]
fn a_wrapped_proposal_inside_another_is_no_entry() {
    let asked = |proposal: Proposal| proposal.asked("".into());
    let held = |proposal: Proposal| proposal.under_lease("expand".into(), Fence(7));
    let cancel = Proposal::CancelDispatch {
        dispatch: DispatchId(7),
    };
    for once in [asked(cancel.clone()), held(cancel)] {
        let bytes = encode(Kind::LogEntry, &entry(once.clone())).expect("small");
        let read = decode::<Entry>(Kind::LogEntry, &bytes).expect("ours");
        assert_eq!(read.proposal, once);
        for twice in [asked(once.clone()), held(once.clone())] {
            let bytes = encode(Kind::LogEntry, &entry(twice)).expect("small");
            assert!(decode::<Entry>(Kind::LogEntry, &bytes).is_err());
        }
        // what was refused leaves nothing behind
        assert!(decode::<Entry>(Kind::LogEntry, &bytes).is_ok());
    }
}
