//! What the leader does about its members next: a joiner first learns, and votes once it has caught up and
//! the number of voters stays odd. One step at a time, decided from what is there now.

use std::collections::{BTreeMap, BTreeSet};

use ampora_raft::ids::NodeId;

use super::quorum::Voters;

/// A learner that is no further behind has caught up: some seconds of a busy log.
pub const CAUGHT_UP_LAG: u64 = 1_000;

/// What the leader sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who votes, and who is live.
    pub now: Voters,
    /// Who follows without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Who was let in and has a row.
    pub peers: BTreeSet<NodeId>,
    /// How far each follower is behind, as far as is known.
    pub lag: BTreeMap<NodeId, u64>,
    /// Who leads.
    pub leader: NodeId,
    /// Whom an operator wants to listen, whether they still vote or not.
    pub held: BTreeSet<NodeId>,
    /// `cluster.voters`, odd.
    pub voters_max: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A node that was let in is no member yet.
    AddLearner(NodeId),
    /// These are to vote from now on, and all that vote already.
    Vote(BTreeSet<NodeId>),
    /// A member was removed from the fleet and still follows the log.
    Remove(NodeId),
    /// The leader is to listen: another one has to lead first.
    HandOver,
}

/// The next step, if there is one.
#[must_use]
pub fn next(members: &Members) -> Option<Step> {
    let is_member =
        |node: &NodeId| members.now.voters.contains(node) || members.learners.contains(node);
    if let Some(joined) = members.peers.iter().find(|node| !is_member(node)) {
        return Some(Step::AddLearner(*joined));
    }
    // a fleet of one has no rows of peers before its first token
    if !members.peers.is_empty()
        && let Some(gone) = members
            .learners
            .iter()
            .find(|node| !members.peers.contains(node))
    {
        return Some(Step::Remove(*gone));
    }
    demoted(members).or_else(|| promoted(members).map(Step::Vote))
}

/// Whoever is to listen stops voting, unless that would lose the quorum: then it waits.
fn demoted(members: &Members) -> Option<Step> {
    let voting = members.held.intersection(&members.now.voters);
    let mut may_go = voting.filter(|node| members.now.may_lose(**node, "demoting").is_ok());
    let node = may_go.next()?;
    if *node == members.leader {
        return Some(Step::HandOver);
    }
    let rest = members.now.voters.iter().filter(|voter| *voter != node);
    Some(Step::Vote(rest.copied().collect()))
}

/// The voters with as many ready learners as make their number odd.
fn promoted(members: &Members) -> Option<BTreeSet<NodeId>> {
    let mut ready: Vec<NodeId> = members
        .learners
        .iter()
        .copied()
        .filter(|node| is_ready(members, *node))
        .collect();
    // who is furthest comes first
    ready.sort_by_key(|node| (members.lag.get(node).copied(), *node));
    let have = members.now.voters.len();
    let missing = if have.is_multiple_of(2) { 1 } else { 2 };
    if ready.len() < missing || have + missing > members.voters_max {
        return None;
    }
    let mut after = members.now.voters.clone();
    after.extend(ready.into_iter().take(missing));
    let allowed = members.now.may_become(&after, "promoting");
    allowed.is_ok().then_some(after)
}

fn is_ready(members: &Members, node: NodeId) -> bool {
    let lag = members.lag.get(&node).copied();
    !members.held.contains(&node)
        && members.now.live.contains(&node)
        && lag.is_some_and(|lag| lag <= CAUGHT_UP_LAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    /// Everybody is live and caught up.
    fn members(voters: &[u64], learners: &[u64]) -> Members {
        let all: BTreeSet<NodeId> = ids(&[voters, learners].concat());
        Members {
            now: Voters {
                voters: ids(voters),
                live: all.clone(),
            },
            learners: ids(learners),
            lag: all.iter().map(|node| (*node, 0)).collect(),
            peers: all,
            leader: NodeId(1),
            held: BTreeSet::new(),
            voters_max: 5,
        }
    }

    #[test]
    fn who_was_let_in_learns_first() {
        let mut joining = members(&[1], &[]);
        joining.peers = ids(&[1, 2, 3]);
        assert_eq!(next(&joining), Some(Step::AddLearner(NodeId(2))));
    }

    #[test]
    fn two_are_promoted_at_once_so_that_the_number_stays_odd() {
        assert_eq!(next(&members(&[1], &[])), None);
        assert_eq!(next(&members(&[1], &[2])), None);
        let step = next(&members(&[1], &[2, 3]));
        assert_eq!(step, Some(Step::Vote(ids(&[1, 2, 3]))));
        assert_eq!(next(&members(&[1, 2, 3], &[4])), None);
        let step = next(&members(&[1, 2, 3], &[4, 5]));
        assert_eq!(step, Some(Step::Vote(ids(&[1, 2, 3, 4, 5]))));
    }

    #[test]
    fn one_is_enough_after_one_has_gone() {
        let step = next(&members(&[1, 2], &[4]));
        assert_eq!(step, Some(Step::Vote(ids(&[1, 2, 4]))));
        assert_eq!(next(&members(&[1, 2], &[])), None);
    }

    #[test]
    fn there_are_never_more_voters_than_may_be() {
        let mut five = members(&[1, 2, 3], &[4, 5]);
        five.voters_max = 3;
        assert_eq!(next(&five), None);
        let mut one = members(&[1], &[2, 3]);
        one.voters_max = 1;
        assert_eq!(next(&one), None);
    }

    #[test]
    fn the_slow_the_dead_and_the_held_back_wait() {
        let ready = members(&[1], &[2, 3]);
        let mut slow = ready.clone();
        slow.lag.insert(NodeId(3), CAUGHT_UP_LAG + 1);
        assert_eq!(next(&slow), None);
        let mut unknown = ready.clone();
        unknown.lag.remove(&NodeId(3));
        assert_eq!(next(&unknown), None);
        let mut dead = ready.clone();
        dead.now.live.remove(&NodeId(3));
        assert_eq!(next(&dead), None);
        let mut held = ready;
        held.held.insert(NodeId(2));
        assert_eq!(next(&held), None);
    }

    #[test]
    fn who_is_to_listen_stops_voting_and_a_leader_hands_over_first() {
        let mut three = members(&[1, 2, 3], &[]);
        three.held.insert(NodeId(3));
        assert_eq!(next(&three), Some(Step::Vote(ids(&[1, 2]))));
        three.held = ids(&[1]);
        assert_eq!(next(&three), Some(Step::HandOver));
        three.leader = NodeId(2);
        assert_eq!(next(&three), Some(Step::Vote(ids(&[2, 3]))));
    }

    #[test]
    fn who_is_needed_for_the_quorum_votes_on() {
        let mut three = members(&[1, 2, 3], &[]);
        three.held.insert(NodeId(2));
        three.now.live.remove(&NodeId(3));
        assert_eq!(next(&three), None);
        let mut one = members(&[1], &[2]);
        one.held.insert(NodeId(1));
        assert_eq!(next(&one), None);
    }

    #[test]
    fn who_is_furthest_is_promoted_first() {
        let mut four = members(&[1, 2], &[3, 4]);
        four.lag.insert(NodeId(3), 9);
        assert_eq!(next(&four), Some(Step::Vote(ids(&[1, 2, 4]))));
    }

    #[test]
    fn a_learner_that_the_fleet_forgot_stops_following() {
        let mut gone = members(&[1, 2, 3], &[4]);
        gone.peers.remove(&NodeId(4));
        assert_eq!(next(&gone), Some(Step::Remove(NodeId(4))));
        let mut alone = members(&[1], &[]);
        alone.peers.clear();
        assert_eq!(next(&alone), None);
    }
}
