//! How nodes become known and are forgotten, and what all of them can apply.

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::{JOIN_TOKENS_MAX, JOIN_USES_MAX, NODE_ID_MAX, REMOVED_MAX};
use crate::fleet::{JUMP, Restore};
use crate::rows::{Row, RowKey};

pub(super) fn redeem(token: &str, peer: Peer) -> Proposal {
    Proposal::RedeemJoinToken {
        hash: [token.as_bytes()[0]; 32],
        peer,
        name: "new".into(),
    }
}

pub(super) fn joined(node: u64) -> Outcome {
    let (node, lineage) = (NodeId(node), 5);
    Outcome::Joined { node, lineage }
}

impl Log {
    /// A founded fleet of one at the highest level, known to itself by key 1, with a token `a`.
    pub(super) fn with_token(uses: u32, expires_ms: u64) -> Self {
        let mut log = Self::with_node();
        for proposal in [
            Proposal::Found { lineage: 5 },
            Proposal::SetFeatureLevel {
                level: FEATURE_LEVEL,
            },
            Proposal::PutPeer { peer: peer(1, 1) },
        ] {
            assert_eq!(log.outcome(proposal), Outcome::Done);
        }
        let token = token("a", uses, expires_ms);
        let made = log.outcome(Proposal::CreateJoinToken { token });
        assert_eq!(made, Outcome::JoinToken("a".into()));
        log
    }

    pub(super) fn remove(&mut self, node: u64) -> Outcome {
        let node = NodeId(node);
        self.outcome(Proposal::RemoveNode { node }.asked("192.0.2.7".into()))
    }
}

#[test]
fn the_same_key_again_is_the_same_join() {
    let mut log = Log::with_token(2, 1_000);
    assert_eq!(log.outcome(redeem("a", peer(0, 2))), joined(2));
    let moved = Peer {
        address: "other:1".into(),
        ..peer(0, 2)
    };
    assert_eq!(log.outcome(redeem("a", moved)), joined(2));
    assert_eq!(&*log.fleet.peer(SECOND).expect("known").address, "other:1");
    assert_eq!(log.fleet.cluster_head().next_node, 3);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 3))),
        joined(3),
        "one use was left"
    );
    assert_eq!(
        log.outcome(redeem("a", peer(0, 4))),
        refused(Rejection::JoinTokenSpent)
    );
    log.at(1_000);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        joined(2),
        "whoever is in may ask again"
    );
    let token = log.fleet.join_tokens().next().expect("kept");
    assert_eq!(token.redeemed, [([2; 32], NodeId(2)), ([3; 32], NodeId(3))]);
    assert_eq!(&*token.created_by, "somebody");
}

#[test]
fn a_token_that_is_wrong_or_over_changes_nothing() {
    let mut log = Log::with_token(2, 1_000);
    let before = log.fleet.clone();
    let unknown = refused(Rejection::JoinTokenUnknown);
    assert_eq!(log.outcome(redeem("b", peer(0, 2))), unknown);
    assert_eq!(
        log.outcome(redeem("b", peer(0, 1))),
        unknown,
        "a known key is no token"
    );
    let old = Peer {
        level: 1,
        ..peer(0, 2)
    };
    let low = Rejection::LevelTooLow {
        level: 1,
        current: FEATURE_LEVEL,
    };
    assert_eq!(log.outcome(redeem("a", old)), refused(low));
    for id in [1, 9] {
        let taken = refused(Rejection::PeerKeyTaken(NODE));
        let expected = if id == 1 { joined(1) } else { taken };
        assert_eq!(log.outcome(redeem("a", peer(id, 1))), expected);
    }
    let taken = refused(Rejection::NodeIdTaken(NODE));
    assert_eq!(log.outcome(redeem("a", peer(1, 2))), taken);
    let beyond = log.outcome(redeem("a", peer(NODE_ID_MAX + 1, 2)));
    assert!(matches!(beyond, Outcome::Rejected(Rejection::TooLarge(_))));
    assert_eq!(log.fleet, before);
    log.at(1_000);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        refused(Rejection::JoinTokenExpired)
    );
}

#[test]
fn a_token_expires_by_deadline_time() {
    let mut log = Log::with_token(1, 10_000);
    let mut begins = stamped(0, None, Proposal::NoteWallTime { begins: true });
    log.entry(begins.clone());
    begins.wall_ms += 10_000;
    log.entry(begins);
    assert_eq!(log.fleet.meta().time_ms, 0);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        refused(Rejection::JoinTokenExpired)
    );
}

#[test]
fn ids_that_are_wished_for_are_given_once() {
    let mut log = Log::with_token(5, 1_000);
    assert_eq!(log.outcome(redeem("a", peer(3, 3))), joined(3));
    assert_eq!(
        log.outcome(redeem("a", peer(2, 2))),
        joined(2),
        "free although lower"
    );
    assert_eq!(
        log.outcome(redeem("a", peer(3, 4))),
        refused(Rejection::NodeIdTaken(NodeId(3)))
    );
    assert_eq!(log.outcome(redeem("a", peer(0, 4))), joined(4));
    assert_eq!(log.remove(4), Outcome::Done);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 4))),
        joined(5),
        "a new join, another id"
    );
    assert_eq!(
        log.outcome(redeem("a", peer(4, 6))),
        refused(Rejection::NodeIdTaken(NodeId(4)))
    );
}

#[test]
fn a_removed_node_is_void_and_never_comes_again() {
    let mut log = Log::with_token(5, 1_000);
    log.outcome(redeem("a", peer(0, 2)));
    let epoch = log.register(SECOND);
    log.tick(&[]);
    let fence = log.acquired("rollout", SECOND);
    let claimed = log.outcome(batch(SECOND, epoch, 1, vec![claim(1, None)]));
    assert!(matches!(claimed, Outcome::Batch(_)));
    assert_eq!(log.remove(2), Outcome::Done);
    let agent = log.fleet.agent(uid(1)).expect("known");
    assert!(agent.session.is_some() && !log.fleet.session_valid(agent));
    assert!(log.fleet.liveness(SECOND).is_none() && log.fleet.peer(SECOND).is_none());
    assert!(!log.fleet.holds("rollout", fence));
    let busy = Rejection::LeaseBusy {
        node: SECOND,
        fence,
    };
    assert_eq!(
        log.acquire("rollout", NODE),
        refused(busy),
        "it may still act for a moment"
    );
    let gone = refused(Rejection::UnknownNode(SECOND));
    let text: Arc<str> = "node".into();
    let again = Proposal::RegisterNode(RegisterNode {
        node: SECOND,
        name: text.clone(),
        version: text.clone(),
        opamp_address: text.clone(),
        admin_address: text,
    });
    assert_eq!(log.outcome(again), gone);
    assert_eq!(log.outcome(Proposal::PutPeer { peer: peer(2, 2) }), gone);
    assert_eq!(log.remove(2), gone);
    let rows = log.fleet.row_keys();
    let rows = rows.filter_map(|key| log.fleet.row(&key).map(|row| (key, row)));
    assert_eq!(Fleet::load(rows).expect("a fleet"), log.fleet);
}

#[test]
fn removed_ids_are_remembered_for_ever() {
    let mut log = Log::with_token(1, 1_000);
    let many = REMOVED_MAX as u64 + 10;
    for node in 2..2 + many {
        log.register(NodeId(node));
        assert_eq!(log.remove(node), Outcome::Done);
    }
    let head = log.fleet.cluster_head().clone();
    assert_eq!((head.removed.len(), head.removed_below), (REMOVED_MAX, 11));
    for node in [2, 11, 12, 1 + many] {
        let taken = refused(Rejection::NodeIdTaken(NodeId(node)));
        assert_eq!(log.outcome(redeem("a", peer(node, 2))), taken);
    }
    assert!(!log.fleet.is_removed(NODE), "a lower id that is here stays");
    assert_eq!(log.outcome(redeem("a", peer(0, 2))), joined(2 + many));
}

#[test]
fn keys_of_nodes_are_rotated_and_never_shared() {
    let mut log = Log::with_token(1, 1_000);
    log.outcome(redeem("a", peer(0, 2)));
    let put = |peer| Proposal::PutPeer { peer };
    assert_eq!(
        log.outcome(put(peer(2, 1))),
        refused(Rejection::PeerKeyTaken(NODE))
    );
    let applied = log.apply(put(peer(2, 7)));
    assert_eq!(applied.effects, [Effect::PeersChanged]);
    assert_eq!(log.fleet.peer_with_key(&[7; 32]), Some(SECOND));
    assert_eq!(log.fleet.peer_with_key(&[2; 32]), None);
    assert_eq!(log.apply(put(peer(2, 7))).effects, [], "nothing new");
    let spent = refused(Rejection::JoinTokenSpent);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        spent,
        "the old key is nobody's"
    );
}

#[test]
fn join_tokens_are_bounded_and_the_oldest_that_is_over_makes_room() {
    let mut log = Log::with_token(1, 1_000);
    let create = |id: &str, uses| {
        let mut token = token(id, uses, 2_000);
        token.hash = [0; 32];
        token.hash[..id.len()].copy_from_slice(id.as_bytes());
        Proposal::CreateJoinToken { token }
    };
    for n in 1..JOIN_TOKENS_MAX {
        let made = log.outcome(create(&format!("t{n}"), JOIN_USES_MAX));
        assert!(matches!(made, Outcome::JoinToken(_)), "{made:?}");
    }
    let full = log.outcome(create("more", 1));
    assert!(matches!(
        full,
        Outcome::Rejected(Rejection::LimitReached { .. })
    ));
    for uses in [0, JOIN_USES_MAX + 1] {
        let refusal = log.outcome(create("more", uses));
        assert!(matches!(refusal, Outcome::Rejected(Rejection::TooLarge(_))));
    }
    log.at(1_000);
    assert_eq!(
        log.outcome(create("t1", 1)),
        refused(Rejection::TokenExists("t1".into()))
    );
    assert_eq!(
        log.outcome(create("more", 1)),
        Outcome::JoinToken("more".into())
    );
    assert_eq!(log.fleet.join_tokens().count(), JOIN_TOKENS_MAX);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        refused(Rejection::JoinTokenUnknown)
    );
}

#[test]
fn joins_and_removals_leave_records() {
    let mut log = Log::with_token(1, 1_000);
    let record = |applied: Applied| match &applied.puts[..] {
        [(RowKey::Audit(_), Some(Row::Audit(record)))] => Arc::clone(record),
        other => panic!("{other:?}"),
    };
    let asked = |proposal: Proposal| proposal.asked("192.0.2.7".into());
    let token = token("b", 1, 1_000);
    let made = record(log.apply(asked(Proposal::CreateJoinToken { token })));
    assert_eq!((&*made.action, &*made.target), ("join_token.create", "b"));
    assert_eq!(
        &*made.after, "{\"expires_at_ms\":1000,\"uses\":1}",
        "and no hash"
    );
    let came = record(log.apply(redeem("a", peer(0, 2))));
    assert_eq!((&*came.actor, &*came.from), ("join-token:a", "host:4322"));
    assert_eq!((&*came.action, &*came.target), ("node.join", "2"));
    assert_eq!(log.apply(redeem("a", peer(0, 2))).puts, [], "not twice");
    log.register(SECOND);
    let gone = record(log.apply(asked(Proposal::RemoveNode { node: SECOND })));
    assert_eq!((&*gone.action, &*gone.actor), ("node.remove", "somebody"));
    assert_eq!(
        &*gone.before,
        "{\"address\":\"host:4322\",\"name\":\"node\"}"
    );
    assert_eq!(gone.previous, came.hash);
}

#[test]
fn the_level_rises_with_the_last_peer_and_never_falls() {
    let mut log = Log::with_node();
    log.outcome(Proposal::Found { lineage: 5 });
    assert_eq!(
        log.fleet.meta().feature_level,
        1,
        "what a log began with it goes on with"
    );
    let old = Peer {
        level: 1,
        ..peer(1, 1)
    };
    log.outcome(Proposal::PutPeer { peer: old });
    let set = |level| Proposal::SetFeatureLevel { level }.asked("".into());
    let high = |level, highest| refused(Rejection::LevelTooHigh { level, highest });
    assert_eq!(log.outcome(set(2)), high(2, 1));
    log.outcome(Proposal::PutPeer { peer: peer(1, 1) });
    let risen = log.apply(set(2));
    assert_eq!((risen.outcome, risen.puts.len()), (Outcome::Done, 1));
    let same = log.apply(set(2));
    assert_eq!((same.outcome, same.puts.len()), (Outcome::Done, 0));
    let low = Rejection::LevelTooLow {
        level: 1,
        current: 2,
    };
    assert_eq!(log.outcome(set(1)), refused(low));
    let future = Peer {
        level: 9,
        ..peer(1, 1)
    };
    log.outcome(Proposal::PutPeer { peer: future });
    let beyond = FEATURE_LEVEL + 1;
    assert_eq!(log.outcome(set(beyond)), high(beyond, FEATURE_LEVEL));
}

#[test]
fn proposals_know_the_level_that_they_need() {
    let note = Proposal::NoteWallTime { begins: true };
    assert_eq!(note.level(), 1);
    assert_eq!(note.clone().asked("".into()).level(), 1);
    assert_eq!(note.under_lease("a".into(), Fence(1)).level(), 2);
    assert_eq!(
        Proposal::RemoveNode { node: NODE }.asked("".into()).level(),
        2
    );
    assert_eq!(
        Proposal::SetFeatureLevel { level: 2 }.level(),
        1,
        "else nobody could begin"
    );
}

#[test]
fn a_restored_fleet_is_a_cluster_of_one() {
    let mut log = Log::with_token(5, 1_000);
    log.outcome(redeem("a", peer(0, 2)));
    log.register(SECOND);
    log.tick(&[]);
    log.acquired("rollout", SECOND);
    log.outcome(Proposal::LeaderStart { grace_ms: 500 });
    let restore = Restore {
        lineage: 77,
        index: 900,
        wall_ms: 5_000,
        made_ms: 4_000,
        source: "snap".into(),
    };
    let mut lone = Log::with_node().fleet;
    lone.restore(&restore);
    assert!(
        lone.row(&RowKey::ClusterHead).is_none(),
        "there was no cluster"
    );
    let applied = log.fleet.restore(&restore);
    let fleet = &log.fleet;
    let left = [
        fleet.peers().count(),
        fleet.join_tokens().count(),
        fleet.leases().count(),
        fleet
            .nodes()
            .filter(|node| node.live || fleet.liveness(node.id).is_some())
            .count(),
    ];
    assert_eq!(left, [0; 4]);
    let head = fleet.cluster_head();
    assert_eq!((head.next_node, head.floor_ms), (3 + JUMP, 0));
    for key in [
        RowKey::Peer(SECOND),
        RowKey::Lease("rollout".into()),
        RowKey::JoinToken("a".into()),
    ] {
        assert!(applied.dirty.contains(&key), "{key:?} stays on the disk");
    }
    log.register(NODE);
    log.outcome(Proposal::CreateJoinToken {
        token: token("a", 1, 9_000),
    });
    let (node, lineage) = (NodeId(3 + JUMP), 77);
    assert_eq!(
        log.outcome(redeem("a", peer(0, 2))),
        Outcome::Joined { node, lineage }
    );
}
