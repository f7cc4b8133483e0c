//! Three nodes over a network in memory: who leads, who follows, and what everybody sees.

mod cluster {
    pub(crate) mod network;
}

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::consensus::{Begin, Consensus, MemberStep, ProposeError, Standing};
use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::{Assign, Proposal, PutGroup, RegisterNode};
use ampora_raft::selector::Selector;

use cluster::network::{Cluster, DEADLINE, Member, eventually};

fn group(name: &str) -> Proposal {
    Proposal::PutGroup(PutGroup {
        name: name.into(),
        revision: Some(0),
        selector: Some(Selector::everyone()),
        priority: None,
        assign: Assign::Nothing,
        pace: None,
    })
}

fn change(priority: i32) -> Proposal {
    Proposal::PutGroup(PutGroup {
        name: "a".into(),
        revision: None,
        selector: None,
        priority: Some(priority),
        assign: Assign::Keep,
        pace: None,
    })
}

fn node(id: u64) -> Proposal {
    Proposal::RegisterNode(RegisterNode {
        node: NodeId(id),
        name: format!("n{id}").into(),
        version: "1".into(),
        opamp_address: "a:1".into(),
        admin_address: "a:2".into(),
    })
}

async fn put(member: &Member, name: &str) {
    let committed = member.propose(group(name)).await.expect("committed");
    assert!(
        matches!(committed.outcome, Outcome::Group { .. }),
        "{committed:?}"
    );
    // whoever wrote reads it where it wrote
    assert!(member.consensus().view().fleet.group(name).is_some());
}

/// One founder and two that joined it, all voting.
async fn three() -> (Arc<Cluster>, [Member; 3]) {
    let cluster = Cluster::new();
    let one = cluster.start(NodeId(1), Begin::Found).await;
    one.propose(Proposal::Found { lineage: 7 })
        .await
        .expect("founded");
    let level = Proposal::SetFeatureLevel {
        level: FEATURE_LEVEL,
    };
    one.propose(level).await.expect("raised");
    for name in ["a", "b"] {
        put(&one, name).await;
    }
    let two = cluster.start(NodeId(2), Begin::Join).await;
    let three = cluster.start(NodeId(3), Begin::Join).await;
    for joined in [&two, &three] {
        let step = MemberStep::AddLearner {
            node: joined.id,
            address: "a:3".to_owned(),
        };
        one.consensus().step(step).await.expect("added");
        eventually("it has the fleet", || {
            joined.consensus().view().fleet.group("b").is_some()
        })
        .await;
    }
    let all = BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]);
    one.consensus()
        .step(MemberStep::Vote(all))
        .await
        .expect("they vote");
    for member in [&one, &two, &three] {
        eventually("it knows the voters", || {
            member.consensus().status().voters.len() == 3
        })
        .await;
    }
    (cluster, [one, two, three])
}

/// Who leads, once somebody does: an election may be under way on a busy machine.
async fn leader_of(member: &Member) -> NodeId {
    let mut found = None;
    eventually("somebody leads", || {
        found = member.consensus().status().leader;
        found.is_some()
    })
    .await;
    found.expect("found")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_a_write_and_reads_it() {
    let (cluster, members) = three().await;
    let leader = leader_of(&members[0]).await;
    for member in members.iter().filter(|member| member.id != leader) {
        // it hears of what was committed later than others do
        cluster.slow(member.id);
    }
    for (place, member) in members.iter().enumerate() {
        put(member, &format!("g{place}")).await;
        let others = members.iter().filter(|other| other.id != member.id);
        for other in others {
            other
                .consensus()
                .read_barrier()
                .await
                .expect("a leader answers");
            assert!(
                other
                    .consensus()
                    .view()
                    .fleet
                    .group(&format!("g{place}"))
                    .is_some()
            );
        }
        assert!(member.consensus().status().quorum);
    }
    let again = members[2].propose(group("g0")).await.expect("committed");
    assert!(
        matches!(
            again.outcome,
            Outcome::Rejected(Rejection::RevisionMismatch { .. })
        ),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_without_their_leader() {
    let (cluster, members) = three().await;
    let leader = leader_of(&members[0]).await;
    cluster.cut(leader);
    let rest: Vec<_> = members
        .iter()
        .filter(|member| member.id != leader)
        .collect();
    for (place, member) in rest.iter().enumerate() {
        put(member, &format!("after-{place}")).await;
        assert_ne!(member.consensus().status().leader, Some(leader));
    }
    // the one that was cut off neither writes nor answers for the others
    let alone = &members
        .iter()
        .find(|member| member.id == leader)
        .expect("there");
    let refused = alone.propose(group("alone")).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(alone.consensus().read_barrier().await.is_err());
    eventually("it knows that it has no quorum", || {
        !alone.consensus().status().quorum
    })
    .await;
    cluster.heal(leader);
    eventually("it catches up", || {
        alone.consensus().view().fleet.group("after-1").is_some()
    })
    .await;
    let fleets = members.iter().map(|member| {
        let view = member.consensus().view();
        view.fleet.group("alone").is_some()
    });
    // its proposal may have survived on its way: then everybody has it, or nobody
    assert_eq!(fleets.collect::<BTreeSet<_>>().len(), 1);
    put(alone, "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_hands_over_and_members_leave() {
    let (_cluster, members) = three().await;
    let leader = leader_of(&members[0]).await;
    let asked = members
        .iter()
        .find(|member| member.id != leader)
        .expect("there");
    asked
        .consensus()
        .step(MemberStep::Lead(None))
        .await
        .expect("handed over");
    eventually("another leads", || {
        asked
            .consensus()
            .status()
            .leader
            .is_some_and(|now| now != leader)
    })
    .await;
    put(asked, "a-new-leader").await;
    let now = leader_of(asked).await;
    let unknown = asked
        .consensus()
        .step(MemberStep::Lead(Some(NodeId(9))))
        .await;
    assert!(
        matches!(unknown, Err(ProposeError::Unavailable(_))),
        "{unknown:?}"
    );
    // the leader itself leaves: the others elect another
    asked
        .consensus()
        .step(MemberStep::Remove(leader))
        .await
        .expect("removed");
    eventually("it is no member", || {
        let status = asked.consensus().status();
        !status.voters.contains(&leader) && !status.learners.contains(&leader)
    })
    .await;
    assert_ne!(now, leader);
    put(asked, "two-are-left").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_far_behind_gets_a_snapshot() {
    let (cluster, members) = three().await;
    let leader = leader_of(&members[0]).await;
    let behind = members
        .iter()
        .find(|member| member.id != leader)
        .expect("there");
    let writer = members
        .iter()
        .find(|member| member.id == leader)
        .expect("there");
    cluster.cut(behind.id);
    for priority in 0..1_500 {
        let changed = writer.propose(change(priority)).await.expect("committed");
        assert!(
            matches!(changed.outcome, Outcome::Group { .. }),
            "{changed:?}"
        );
    }
    put(writer, "last").await;
    let at = behind.consensus().status().last_log_index;
    eventually("the log begins later", || {
        writer.consensus().status().purged_index > at
    })
    .await;
    cluster.heal(behind.id);
    eventually("it has everything", || {
        behind.consensus().view().fleet.group("last").is_some()
    })
    .await;
    assert!(
        behind.replaced() > 0,
        "it was told of everything one by one"
    );
    put(behind, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liveness_ends_for_those_who_do_not_renew() {
    let (_cluster, members) = three().await;
    for member in &members {
        let registered = member.propose(node(member.id.0)).await.expect("committed");
        assert_eq!(registered.outcome, Outcome::Registered { epoch: Epoch(1) });
    }
    let live = |id: u64| {
        let view = members[0].consensus().view();
        view.fleet.node(NodeId(id)).is_some_and(|node| node.live)
    };
    // the third is silent
    let renew = async |member: &Member| {
        loop {
            // a busy machine may have no leader for a moment
            if let Ok(is_live) = member.consensus().renew(Epoch(1)).await {
                assert!(is_live);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = renew(&members[0]) => {}
        () = renew(&members[1]) => {}
        () = eventually("the third is dead", || !live(3)) => {}
    }
    assert!(live(1) && live(2));
    assert_eq!(members[2].consensus().renew(Epoch(1)).await, Ok(false));
}

/// Hands leadership over until it has heard that it is where it should be.
async fn handed_over(member: &Consensus, to: Option<NodeId>) {
    let handed = async {
        while member.status().leader != to {
            // refused while an election is under way
            drop(member.step(MemberStep::Lead(to)).await);
            tokio::task::yield_now().await;
        }
    };
    let handed = tokio::time::timeout(DEADLINE, handed).await;
    assert!(handed.is_ok(), "not in time: {to:?} leads");
}

/// What a member may decide by, once it leads.
async fn leads(member: &Consensus, id: Option<NodeId>) -> Standing {
    handed_over(member, id).await;
    let mut standing = None;
    eventually("it leads", || {
        standing = member.look().1;
        standing.is_some()
    })
    .await;
    standing.expect("found")
}

/// Takes a step, again when an election came between, and answers by what it was taken.
async fn taken(member: &Consensus, id: Option<NodeId>, step: MemberStep) -> Standing {
    let taken = async {
        loop {
            let standing = leads(member, id).await;
            let taken = member.step_if(step.clone(), standing.clone()).await;
            if taken.is_ok() {
                return standing;
            }
        }
    };
    let taken = tokio::time::timeout(DEADLINE, taken).await;
    taken.expect("a step in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_not_taken_once_what_it_was_decided_by_has_passed() {
    let (_cluster, members) = three().await;
    let first = Some(leader_of(&members[0]).await);
    let of = |id: Option<NodeId>| {
        let member = members.iter().find(|member| Some(member.id) == id);
        member.expect("there").consensus()
    };
    let leader = of(first);
    let mut others = members.iter().filter(|member| Some(member.id) != first);
    let (next, listens) = (others.next().expect("there"), others.next().expect("there"));
    assert!(next.consensus().look().1.is_none(), "it decides nothing");
    let all = || MemberStep::Vote(members.iter().map(|member| member.id).collect());
    let two = MemberStep::Vote(first.into_iter().chain([next.id]).collect());
    let standing = taken(leader, first, two).await;
    // it was decided while three voted
    let stale = leader.step_if(all(), standing).await;
    assert!(
        matches!(stale, Err(ProposeError::Unavailable(_))),
        "{stale:?}"
    );

    let standing = leads(leader, first).await;
    for to in [Some(next.id), first] {
        handed_over(leader, to).await;
        // of the membership that is there, and of a leadership that is over: also when it leads again
        let stale = leader.step_if(all(), standing.clone()).await;
        assert!(stale.is_err(), "{stale:?}");
    }
    leader.read_barrier().await.expect("a leader answers");
    assert!(!leader.status().voters.contains(&listens.id));
    taken(leader, first, all()).await;
    eventually("it votes", || {
        listens.consensus().status().voters.contains(&listens.id)
    })
    .await;
}
