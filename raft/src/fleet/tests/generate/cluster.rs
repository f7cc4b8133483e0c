//! Entries of a cluster of a few nodes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::number;
use crate::records::{JoinToken, MemberRole, Peer};

fn node() -> impl Strategy<Value = NodeId> {
    (1..5_u64).prop_map(NodeId)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (1..4_u64).prop_map(Epoch)
}

fn role() -> impl Strategy<Value = MemberRole> {
    prop_oneof![Just(MemberRole::Voter), Just(MemberRole::Learner)]
}

fn name() -> impl Strategy<Value = Arc<str>> {
    "[pq]".prop_map(Arc::from)
}

fn peer() -> impl Strategy<Value = Peer> {
    let id = prop_oneof![3 => 0..5_u64, 1 => number()];
    (id, 0..5_u8, 0..4_u16).prop_map(|(id, key, level)| Peer {
        id: NodeId(id),
        key: [key; 32],
        address: "a:1".into(),
        level,
    })
}

fn token() -> impl Strategy<Value = Proposal> {
    ("[jk]", 0..4_u32, number()).prop_map(|(id, uses, expires_ms)| Proposal::CreateJoinToken {
        token: JoinToken {
            hash: [id.as_bytes()[0]; 32],
            id: id.into(),
            uses,
            expires_ms,
            created_ms: 5,
            created_by: "".into(),
            redeemed: vec![([9; 32], NodeId(9))],
        },
    })
}

/// What may stand under a lease, and what may not.
pub(super) fn under(inner: impl Strategy<Value = Proposal>) -> impl Strategy<Value = Proposal> {
    (name(), number(), inner).prop_map(|(name, fence, inner)| inner.under_lease(name, Fence(fence)))
}

pub(super) fn cluster() -> impl Strategy<Value = Proposal> {
    let renewals = vec((node(), epoch()), 0..4);
    let drain = (node(), epoch()).prop_map(|(node, epoch)| Proposal::DrainNode { node, epoch });
    let leave = (node(), epoch()).prop_map(|(node, epoch)| Proposal::LeaveNode { node, epoch });
    let acquire =
        (name(), node(), epoch(), 0..900_u64).prop_map(|(name, node, epoch, lock_delay_ms)| {
            Proposal::AcquireLease {
                name,
                node,
                epoch,
                lock_delay_ms,
            }
        });
    let release = (name(), number()).prop_map(|(name, fence)| Proposal::ReleaseLease {
        name,
        fence: Fence(fence),
    });
    let redeem = ("[jk]", peer(), name()).prop_map(|(id, peer, name)| Proposal::RedeemJoinToken {
        hash: [id.as_bytes()[0]; 32],
        peer,
        name,
    });
    prop_oneof![
        1 => (0..300_u64).prop_map(|grace_ms| Proposal::LeaderStart { grace_ms }),
        4 => (0..1_500_u64, renewals)
            .prop_map(|(ttl_ms, renewals)| Proposal::Tick { ttl_ms, renewals }),
        1 => drain,
        1 => leave,
        6 => acquire,
        1 => release,
        1 => peer().prop_map(|peer| Proposal::PutPeer { peer }),
        2 => token(),
        4 => redeem,
        1 => node().prop_map(|node| Proposal::RemoveNode { node }),
        1 => (0..4_u16).prop_map(|level| Proposal::SetFeatureLevel { level }),
        2 => (node(), role(), role())
            .prop_map(|(node, before, role)| Proposal::SetMemberRole { node, before, role }),
        1 => (node(), node(), number()).prop_map(|(before, to, term)| Proposal::TransferLeader {
            before: Some(before),
            to: Some(to),
            term,
        }),
    ]
}
