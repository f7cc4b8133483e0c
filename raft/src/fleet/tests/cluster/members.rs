//! What operators ask of members, and what is remembered of those that were removed.

use super::joining::{joined, redeem};
use super::*;
use crate::fleet::MEMBERS_LEVEL;
use crate::fleet::limits::REMOVED_MAX;
use crate::records::{AuditRecord, MemberNote, MemberRole};
use crate::rows::{Row, RowKey};

const ALL: [MemberRole; 2] = [MemberRole::Voter, MemberRole::Learner];

fn role(node: NodeId, before: MemberRole, role: MemberRole) -> Proposal {
    let set = Proposal::SetMemberRole { node, before, role };
    set.asked("192.0.2.7".into())
}

fn recorded(applied: &Applied) -> Option<&AuditRecord> {
    match &applied.puts[..] {
        [] => None,
        [(RowKey::Audit(_), Some(Row::Audit(record)))] => Some(record),
        other => panic!("{other:?}"),
    }
}

impl Log {
    /// A cluster of two at the highest level.
    fn of_two() -> Self {
        let mut log = Self::with_token(9, 1_000);
        assert_eq!(log.outcome(redeem("a", peer(0, 2))), joined(2));
        log.register(SECOND);
        log
    }

    fn reloaded(&self) -> Fleet {
        let rows = self.fleet.row_keys();
        let rows = rows.filter_map(|key| self.fleet.row(&key).map(|row| (key, row)));
        Fleet::load(rows).expect("a fleet")
    }
}

#[test]
fn who_was_demoted_stays_so_until_an_operator_says_otherwise() {
    use MemberRole::{Learner, Voter};
    let mut log = Log::of_two();
    let applied = log.apply(role(SECOND, Voter, Learner));
    assert_eq!(applied.outcome, Outcome::Done);
    assert!(applied.dirty.contains(&RowKey::MemberNote(SECOND)));
    let record = recorded(&applied).expect("a record");
    assert_eq!((&*record.action, &*record.target), ("node.demote", "2"));
    assert_eq!((&*record.actor, &*record.from), ("somebody", "192.0.2.7"));
    assert_eq!(&*record.before, "{\"held\":false,\"role\":\"voter\"}");
    assert_eq!(&*record.after, "{\"held\":true,\"role\":\"learner\"}");
    assert!(log.fleet.is_held_back(SECOND) && log.fleet.held_back().eq([SECOND]));
    assert_eq!(log.reloaded(), log.fleet);
    log.outcome(Proposal::LeaderStart { grace_ms: 1 });
    log.register(SECOND);
    assert!(
        log.fleet.is_held_back(SECOND),
        "by whoever leads, however often it starts"
    );
    let again = log.apply(role(SECOND, Learner, Learner));
    assert_eq!(recorded(&again), None, "nothing changed");
    let back = log.apply(role(SECOND, Learner, Voter));
    assert_eq!(&*recorded(&back).expect("a record").action, "node.promote");
    assert!(!log.fleet.is_held_back(SECOND));
    assert!(log.fleet.row(&RowKey::MemberNote(SECOND)).is_none());
    assert_eq!(recorded(&log.apply(role(SECOND, Voter, Voter))), None);
}

#[test]
fn nobody_who_is_not_here_gets_a_role_or_leads() {
    let mut log = Log::of_two();
    let before = log.fleet.clone();
    let unknown = refused(Rejection::UnknownNode(NodeId(9)));
    for wanted in ALL {
        assert_eq!(log.outcome(role(NodeId(9), ALL[0], wanted)), unknown);
    }
    let lead = Proposal::TransferLeader {
        before: Some(NODE),
        to: Some(NodeId(9)),
        term: 1,
    };
    assert_eq!(log.outcome(lead.asked("".into())), unknown);
    assert_eq!(log.fleet, before);
}

#[test]
fn a_transfer_leaves_a_record_and_says_in_which_term() {
    let mut log = Log::of_two();
    let lead = |to| {
        let (before, term) = (Some(NODE), 7);
        Proposal::TransferLeader { before, to, term }.asked("192.0.2.7".into())
    };
    let there = log.apply(lead(Some(SECOND)));
    assert_eq!(there.outcome, Outcome::LeaderAsked { term: 7 });
    let record = recorded(&there).expect("a record");
    assert_eq!((&*record.action, &*record.target), ("leader.transfer", "2"));
    assert_eq!(
        (&*record.before, &*record.after),
        ("{\"leader\":1}", "{\"leader\":2}")
    );
    let any = log.apply(lead(None));
    let record = recorded(&any).expect("a record");
    assert_eq!(
        (&*record.target, &*record.after),
        ("any", "{\"leader\":null}")
    );
    assert_eq!(recorded(&log.apply(lead(Some(NODE)))), None, "it leads");
}

#[test]
fn who_was_removed_is_known_by_its_key_until_it_joins_again() {
    let mut log = Log::of_two();
    log.outcome(role(SECOND, ALL[1], MemberRole::Learner));
    assert_eq!(log.remove(2), Outcome::Done);
    assert!(!log.fleet.is_held_back(SECOND));
    assert_eq!(log.fleet.removed_peer(&[2; 32]), Some(SECOND));
    assert_eq!(log.fleet.removed_peer(&[1; 32]), None, "it is here");
    assert!(log.fleet.removed_peers().eq([(SECOND, [2; 32])]));
    match log.fleet.row(&RowKey::MemberNote(SECOND)) {
        Some(Row::MemberNote(note)) => {
            assert!(matches!(&*note, MemberNote::Removed { name, .. } if &**name == "node"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(log.reloaded(), log.fleet);
    assert_eq!(log.outcome(redeem("a", peer(0, 2))), joined(3));
    assert_eq!(
        log.fleet.removed_peer(&[2; 32]),
        None,
        "it came again as node 3"
    );
    assert_eq!(log.remove(3), Outcome::Done);
    assert_eq!(log.fleet.removed_peer(&[2; 32]), Some(NodeId(3)));
}

#[test]
fn as_many_removed_nodes_are_known_as_their_ids() {
    let mut log = Log::with_token(1, 1_000);
    let many = REMOVED_MAX as u64 + 10;
    for node in 2..2 + many {
        log.register(NodeId(node));
        let mut given = peer(node, 0);
        given.key[..8].copy_from_slice(&node.to_le_bytes());
        log.outcome(Proposal::PutPeer { peer: given });
    }
    // the lowest one last: there is no room for it
    for node in (2..2 + many).rev() {
        assert_eq!(log.remove(node), Outcome::Done);
    }
    let listed = log.fleet.cluster_head().removed.clone();
    assert_eq!(listed.len(), REMOVED_MAX);
    assert!(log.fleet.removed_peers().map(|(node, _)| node).eq(listed));
    for node in 2..2 + many {
        assert!(
            log.fleet.is_removed(NodeId(node)),
            "{node} could come again"
        );
    }
    assert_eq!(log.reloaded(), log.fleet);
}

#[test]
fn below_the_level_no_row_is_written_that_others_could_not_read() {
    let mut log = Log::with_node();
    log.outcome(Proposal::Found { lineage: 5 });
    let level = MEMBERS_LEVEL - 1;
    log.outcome(Proposal::SetFeatureLevel { level });
    log.register(SECOND);
    log.outcome(Proposal::PutPeer { peer: peer(2, 2) });
    assert_eq!(log.remove(2), Outcome::Done);
    assert_eq!(log.fleet.removed_peer(&[2; 32]), None);
    for wanted in ALL {
        let set = role(NODE, ALL[0], wanted);
        assert_eq!(set.level(), MEMBERS_LEVEL, "nobody proposes it below");
    }
}
