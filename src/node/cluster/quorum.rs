//! The arithmetic of voters: whether a cluster that changed its voters so could still decide anything.

use std::collections::BTreeSet;

use ampora_raft::ids::NodeId;

/// Who votes and who of all nodes answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voters {
    /// Members that vote.
    pub voters: BTreeSet<NodeId>,
    /// Nodes that are live, voters or not.
    pub live: BTreeSet<NodeId>,
}

/// Why voters cannot be changed so: the text is the whole calculation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Nobody would be left to decide.
    #[error("node {0} is the only voter: without it nobody could decide anything")]
    LastVoter(NodeId),
    /// Too few voters live to decide about the change itself.
    #[error("{voters} {}, {live} live: quorum needs {needs}", many(*voters))]
    NoQuorum {
        /// How many vote now.
        voters: usize,
        /// How many of them live.
        live: usize,
        /// How many would have to.
        needs: usize,
    },
    /// Too few of those that would vote are live.
    #[error(
        "{before} {}, {live_before} live; {change} leaves {after} {} of which {live_after} {} live: quorum needs {needs}",
        many(*before), many(*after), are(*live_after)
    )]
    WouldLose {
        /// How many vote now.
        before: usize,
        /// How many of them live.
        live_before: usize,
        /// What would be done.
        change: String,
        /// How many would vote.
        after: usize,
        /// How many of them live.
        live_after: usize,
        /// How many would have to.
        needs: usize,
    },
    /// It has to vote and to be live.
    #[error(
        "{voters} {}, {live} live; node {node} {}: only a live voter can lead", many(*voters), unfit(*why)
    )]
    CannotLead {
        /// Who was to lead.
        node: NodeId,
        /// What it lacks.
        why: Unfit,
        /// How many vote.
        voters: usize,
        /// How many of them live.
        live: usize,
    },
    /// There is no other live voter.
    #[error("{voters} {}, {live} live: no other node could lead", many(*voters))]
    NobodyElse {
        /// How many vote.
        voters: usize,
        /// How many of them live.
        live: usize,
    },
}

/// Why a node cannot lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no vote.
    Listens,
    /// It does not answer.
    NotLive,
}

/// How many voters of so many decide.
#[must_use]
pub const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Voters {
    /// Whether enough voters are live to decide.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        !self.voters.is_empty() && self.live_of(&self.voters) >= majority(self.voters.len())
    }

    /// Whether this voter may stop voting; `change` is the doing, as in "removing node 3".
    ///
    /// # Errors
    /// [`QuorumError`] with the calculation.
    pub fn may_lose(&self, node: NodeId, change: &str) -> Result<(), QuorumError> {
        if !self.voters.contains(&node) {
            return Ok(());
        }
        let mut after = self.voters.clone();
        after.remove(&node);
        if after.is_empty() {
            return Err(QuorumError::LastVoter(node));
        }
        self.may_become(&after, change)
    }

    /// Whether the voters may become these.
    ///
    /// # Errors
    /// [`QuorumError`] with the calculation.
    pub fn may_become(&self, after: &BTreeSet<NodeId>, change: &str) -> Result<(), QuorumError> {
        let live_before = self.live_of(&self.voters);
        if !self.has_quorum() {
            return Err(QuorumError::NoQuorum {
                voters: self.voters.len(),
                live: live_before,
                needs: majority(self.voters.len()),
            });
        }
        let (live_after, needs) = (self.live_of(after), majority(after.len()));
        if live_after < needs {
            return Err(QuorumError::WouldLose {
                before: self.voters.len(),
                live_before,
                change: change.to_owned(),
                after: after.len(),
                live_after,
                needs,
            });
        }
        Ok(())
    }

    /// Whether this node may lead from here on, or anybody but who leads now.
    ///
    /// # Errors
    /// [`QuorumError`] with the calculation.
    pub fn may_lead(&self, to: Option<NodeId>, leader: Option<NodeId>) -> Result<(), QuorumError> {
        let (voters, live) = (self.voters.len(), self.live_of(&self.voters));
        if to.is_some() && to == leader {
            return Ok(());
        }
        if !self.has_quorum() {
            let needs = majority(voters);
            return Err(QuorumError::NoQuorum {
                voters,
                live,
                needs,
            });
        }
        let Some(node) = to else {
            let mut others = self.voters.intersection(&self.live);
            let other = others.find(|node| Some(**node) != leader);
            return other
                .map(drop)
                .ok_or(QuorumError::NobodyElse { voters, live });
        };
        let why = match (self.voters.contains(&node), self.live.contains(&node)) {
            (true, true) => return Ok(()),
            (true, false) => Unfit::NotLive,
            (false, _) => Unfit::Listens,
        };
        Err(QuorumError::CannotLead {
            node,
            why,
            voters,
            live,
        })
    }

    fn live_of(&self, voters: &BTreeSet<NodeId>) -> usize {
        voters.intersection(&self.live).count()
    }
}

const fn many(count: usize) -> &'static str {
    if count == 1 { "voter" } else { "voters" }
}

const fn unfit(why: Unfit) -> &'static str {
    match why {
        Unfit::Listens => "does not vote",
        Unfit::NotLive => "is not live",
    }
}

const fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn voters(voters: &[u64], live: &[u64]) -> Voters {
        Voters {
            voters: ids(voters),
            live: ids(live),
        }
    }

    fn removing(all: &Voters, node: u64) -> Result<(), String> {
        all.may_lose(NodeId(node), &format!("removing node {node}"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn refusal_is_the_whole_calculation() {
        let three = voters(&[1, 2, 3], &[1, 2]);
        assert_eq!(
            removing(&three, 2),
            Err(
                "3 voters, 2 live; removing node 2 leaves 2 voters of which 1 is live: quorum needs 2"
                    .to_owned()
            )
        );
        let two = voters(&[1, 2], &[1]);
        assert_eq!(
            removing(&two, 2),
            Err("2 voters, 1 live: quorum needs 2".to_owned())
        );
        let one = voters(&[1], &[1]);
        assert_eq!(
            removing(&one, 1),
            Err("node 1 is the only voter: without it nobody could decide anything".to_owned())
        );
    }

    #[test]
    fn the_dead_may_go_and_the_living_while_enough_stay() {
        assert_eq!(removing(&voters(&[1, 2, 3], &[1, 2]), 3), Ok(()));
        assert_eq!(removing(&voters(&[1, 2, 3], &[1, 2, 3]), 3), Ok(()));
        assert_eq!(removing(&voters(&[1, 2], &[1, 2]), 2), Ok(()));
        assert_eq!(removing(&voters(&[1, 2, 3, 4, 5], &[1, 2, 3]), 5), Ok(()));
        assert!(removing(&voters(&[1, 2, 3, 4, 5], &[1, 2, 3]), 3).is_err());
    }

    #[test]
    fn learners_count_for_nothing() {
        let learner = voters(&[1], &[1, 2]);
        assert_eq!(removing(&learner, 2), Ok(()));
        assert!(removing(&learner, 1).is_err());
        assert!(!voters(&[1, 2, 3], &[1, 4, 5]).has_quorum());
        assert!(!Voters::default().has_quorum());
    }

    #[test]
    fn only_a_live_voter_may_lead() {
        let three = voters(&[1, 2, 3], &[1, 2, 4]);
        let lead = |all: &Voters, to: Option<u64>| {
            all.may_lead(to.map(NodeId), Some(NodeId(1)))
                .map_err(|error| error.to_string())
        };
        let refused = |why: &str| Err(why.to_owned());
        assert_eq!(lead(&three, Some(1)), Ok(()), "it leads");
        assert_eq!(lead(&three, Some(2)), Ok(()));
        assert_eq!(lead(&three, None), Ok(()));
        assert_eq!(
            lead(&three, Some(3)),
            refused("3 voters, 2 live; node 3 is not live: only a live voter can lead")
        );
        assert_eq!(
            lead(&three, Some(4)),
            refused("3 voters, 2 live; node 4 does not vote: only a live voter can lead")
        );
        let one = voters(&[1], &[1, 2]);
        assert_eq!(
            lead(&one, None),
            refused("1 voter, 1 live: no other node could lead")
        );
        let lost = voters(&[1, 2, 3], &[1]);
        assert_eq!(
            lead(&lost, Some(2)),
            refused("3 voters, 1 live: quorum needs 2")
        );
    }

    #[test]
    fn nobody_who_is_dead_is_counted_on_by_promotion() {
        let one = voters(&[1], &[1]);
        assert!(one.may_become(&ids(&[1, 2, 3]), "promoting").is_err());
        assert!(
            voters(&[1], &[1, 2])
                .may_become(&ids(&[1, 2, 3]), "x")
                .is_ok()
        );
    }

    #[test]
    fn no_change_that_is_allowed_leaves_less_than_a_majority() {
        // every set of up to five voters, every set of live ones, every voter to go
        for all in 1u32..32 {
            for live in 0u32..32 {
                let pick = |mask: u32| {
                    (0..5)
                        .filter(|n| mask & (1 << n) != 0)
                        .collect::<Vec<u64>>()
                };
                let now = voters(&pick(all), &pick(live));
                for node in pick(all) {
                    let after = all & !(1 << node);
                    let lives = (after & live).count_ones() * 2 > after.count_ones();
                    let had = (all & live).count_ones() * 2 > all.count_ones();
                    assert_eq!(removing(&now, node).is_ok(), lives && had, "{now:?} {node}");
                }
            }
        }
    }
}
