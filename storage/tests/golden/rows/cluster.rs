//! Rows of a cluster, and what idempotency keys keep of it.

use std::sync::Arc;

use ampora_raft::ids::{Epoch, Fence, NodeId};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::records::{ClusterHead, Lease, Liveness, MemberNote};
use ampora_raft::rows::{IdempotencyRow, Row};

use ampora_raft::fleet::limits::{
    JOIN_USES_MAX, KEY_BYTES_MAX, NODE_ID_MAX, REMOVED_MAX, TEXT_BYTES_MAX,
};
use ampora_storage::codec::{Kind, encode};

use crate::proposals::cluster::{join_token, peer};

fn outcomes() -> Vec<Outcome> {
    let (node, fence) = (NodeId(2), Fence(300));
    let name: Arc<str> = "rollout".into();
    let rejections = [
        Rejection::LeaseBusy { node, fence },
        Rejection::StaleLease(name),
        Rejection::NotUnderLease,
        Rejection::NodeDraining(node),
        Rejection::UnknownNode(node),
        Rejection::JoinTokenUnknown,
        Rejection::JoinTokenExpired,
        Rejection::JoinTokenSpent,
        Rejection::NodeIdTaken(node),
        Rejection::PeerKeyTaken(node),
        Rejection::LevelTooHigh {
            level: 300,
            highest: 2,
        },
        Rejection::LevelTooLow {
            level: 1,
            current: 2,
        },
    ];
    let mut all = vec![
        Outcome::Ticked {
            fenced: vec![node, NodeId(300)],
        },
        Outcome::Lease { fence },
        Outcome::JoinToken("id".into()),
        Outcome::Joined {
            node,
            lineage: u128::MAX - 1,
        },
    ];
    all.extend(rejections.map(Outcome::Rejected));
    all
}

pub(super) fn rows() -> Vec<Row> {
    let answers = outcomes().into_iter().map(|outcome| {
        Row::Idempotency(Arc::new(IdempotencyRow {
            digest: [1; 32],
            outcome,
            index: 2,
            at_ms: 3,
        }))
    });
    let liveness = |draining, lost_ms| {
        Row::Liveness(Arc::new(Liveness {
            ttl_ms: 10_000,
            expires_ms: 300,
            draining,
            lost_ms,
        }))
    };
    let mut rows: Vec<_> = answers.collect();
    rows.extend([liveness(false, None), liveness(true, Some(301))]);
    rows.push(Row::Lease(Arc::new(Lease {
        name: "rollout".into(),
        node: NodeId(2),
        epoch: Epoch(3),
        fence: Fence(300),
        not_before_ms: 301,
        acquired_ms: 302,
        lock_delay_ms: 303,
    })));
    rows.push(Row::Peer(Arc::new(peer(2))));
    rows.push(Row::JoinToken(Arc::new(join_token())));
    rows.push(Row::ClusterHead(Arc::new(ClusterHead {
        next_node: 4,
        floor_ms: 300,
        removed: vec![NodeId(2), NodeId(301)],
        removed_below: 1,
    })));
    rows
}

/// What level 3 brought.
pub(super) fn members() -> Vec<Row> {
    let asked = IdempotencyRow {
        digest: [1; 32],
        outcome: Outcome::LeaderAsked { term: 300 },
        index: 2,
        at_ms: 3,
    };
    vec![
        Row::Idempotency(Arc::new(asked)),
        Row::MemberNote(Arc::new(MemberNote::Held)),
        Row::MemberNote(Arc::new(MemberNote::Removed {
            key: [7; 32],
            name: "host".into(),
            removed_ms: 70_000,
        })),
    ]
}

/// `storage::rows` counts one change of the store for each of them.
#[test]
fn the_largest_rows_of_a_cluster_are_one_value_of_the_store() {
    let mut token = join_token();
    token.id = "x".repeat(KEY_BYTES_MAX).into();
    token.created_by = "x".repeat(TEXT_BYTES_MAX).into();
    token.redeemed = vec![([255; 32], NodeId(NODE_ID_MAX)); JOIN_USES_MAX as usize];
    let head = ClusterHead {
        next_node: u64::MAX,
        floor_ms: u64::MAX,
        removed: vec![NodeId(NODE_ID_MAX); REMOVED_MAX],
        removed_below: u64::MAX,
    };
    let removed = MemberNote::Removed {
        key: [255; 32],
        name: "x".repeat(TEXT_BYTES_MAX).into(),
        removed_ms: u64::MAX,
    };
    for row in [
        Row::MemberNote(Arc::new(removed)),
        Row::JoinToken(Arc::new(token)),
        Row::ClusterHead(Arc::new(head)),
    ] {
        let bytes = encode(Kind::Row, &row).expect("small");
        assert!(bytes.len() <= 4096, "{}", bytes.len());
    }
}
