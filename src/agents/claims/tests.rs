//! Sessions between nodes: who has them after reconnects, deaths and quarrels.

use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{CreateDispatch, Proposal};
use ampora_raft::records::{Action, DeliveryState, ReleaseReason, Target};

use crate::agents::agent::Agent;
use crate::agents::delivery::hand_over;
use crate::agents::room::Room;
use crate::agents::testing::{Nodes, Speaker, run, until};
use crate::agents::wake::Call;

/// `AgentIdentification` of a reply.
fn new_uid(reply: &ampora_proto::wire::ServerToAgent) -> Option<Vec<u8>> {
    let identification = reply.agent_identification.as_ref()?;
    Some(identification.new_instance_uid.to_vec())
}

fn agent(room: &Room, speaker: &Speaker) -> std::sync::Arc<Agent> {
    room.registry.get(speaker.uid).expect("is served")
}

#[test]
fn the_later_connection_has_the_session_and_the_other_node_lets_go() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut first = Speaker::new(nodes.node(1), 1, 10);
        first.arrive().await;
        assert_eq!(nodes.owner(first.uid), Some(1));
        let mut second = first.again(nodes.node(2), 20);
        second.arrive().await;
        assert_eq!(nodes.owner(first.uid), Some(2));
        let there = agent(nodes.node(1), &first);
        until(|| there.with(|state| state.fence.is_none() && !state.connected)).await;
        until(|| first.is_called(Call::Ping)).await;
        // a late word of the old socket changes nothing
        first.beat().await;
        assert_eq!(nodes.owner(first.uid), Some(2));
        // and its end does not either
        nodes
            .node(1)
            .leave(&there, first.caller.connection, ReleaseReason::Lost);
        assert!(nodes.node(1).registry.get(first.uid).is_none());
        assert_eq!(nodes.owner(first.uid), Some(2));
    });
}

#[test]
fn of_two_live_agents_with_one_uid_the_first_keeps_it_and_the_newcomer_gets_another() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut first = Speaker::new(nodes.node(1), 1, 10);
        first.arrive().await;
        let mut second = first.again(nodes.node(2), 20);
        second.arrive().await;
        let there = agent(nodes.node(1), &first);
        until(|| there.with(|state| !state.connected)).await;
        // messages that were under way, then two signs of life
        for (pause_ms, owner) in [(0, 2), (2_000, 2), (2_000, 1)] {
            nodes.pass(pause_ms);
            assert_eq!(new_uid(&first.beat().await), None);
            until(|| nodes.owner(first.uid) == Some(owner)).await;
        }
        let here = nodes.node(2);
        until(|| here.registry.get(second.uid).is_none()).await;
        let told = new_uid(&second.beat().await).expect("another uid");
        assert_eq!(nodes.owner(first.uid), Some(1));
        assert_eq!(new_uid(&first.beat().await), None);
        let uid = ampora_raft::ids::InstanceUid::from_slice(&told).expect("16 bytes");
        until(|| nodes.owner(uid) == Some(2)).await;
    });
}

#[test]
fn an_agent_that_moves_to_and_fro_never_loses_its_uid() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut speaker = Speaker::new(nodes.node(1), 1, 1);
        for connection in 2..8 {
            assert_eq!(new_uid(&speaker.introduce().await), None);
            assert_eq!(new_uid(&speaker.beat().await), None);
            let room = speaker.room.clone();
            if let Some(agent) = room.registry.get(speaker.uid) {
                room.leave(&agent, speaker.caller.connection, ReleaseReason::Lost);
            }
            let next = nodes.node(if connection % 2 == 0 { 1 } else { 2 });
            speaker = speaker.again(next, connection);
            nodes.pass(1_000);
        }
    });
}

/// A claim of `late` that meets the newer session of another node.
async fn overtaken(nodes: &Nodes) -> (Speaker, Speaker) {
    let room = nodes.node(1);
    room.batches.suspend();
    let mut late = Speaker::new(room, 1, 10);
    late.introduce().await;
    let mut newer = late.again(nodes.node(2), 20);
    newer.arrive().await;
    assert_eq!(nodes.owner(late.uid), Some(2));
    room.batches.resume(room.liveness.epoch());
    until(|| late.is_called(Call::Ping)).await;
    (late, newer)
}

#[test]
fn a_late_claim_of_a_dead_connection_gives_up() {
    run(async {
        let nodes = Nodes::start(2).await;
        let (late, _newer) = overtaken(&nodes).await;
        let agent = agent(nodes.node(1), &late);
        until(|| agent.with(|state| !state.claiming)).await;
        assert_eq!(nodes.owner(late.uid), Some(2));
    });
}

#[test]
fn a_late_claim_of_a_live_connection_wins() {
    run(async {
        let nodes = Nodes::start(2).await;
        let (late, _newer) = overtaken(&nodes).await;
        let agent = agent(nodes.node(1), &late);
        nodes.pass(1);
        nodes.node(1).sign_of_life(&agent, late.caller.connection);
        until(|| nodes.owner(late.uid) == Some(1)).await;
        until(|| agent.with(|state| state.fence.is_some())).await;
    });
}

#[test]
fn a_node_that_was_thought_dead_begins_again_and_claims_whoever_is_there() {
    run(async {
        let nodes = Nodes::start(2).await;
        let (mut stays, mut goes) = (
            Speaker::new(nodes.node(2), 1, 10),
            Speaker::new(nodes.node(2), 2, 11),
        );
        stays.arrive().await;
        goes.arrive().await;
        let before = nodes.node(2).liveness.epoch();
        nodes.let_die(2).await;
        assert_eq!(nodes.owner(stays.uid), None);
        assert!(!nodes.node(2).may_act());
        // one of them has found another node meanwhile
        let mut elsewhere = goes.again(nodes.node(1), 30);
        elsewhere.arrive().await;
        assert_eq!(nodes.owner(goes.uid), Some(1));
        nodes.reconnect(2);
        until(|| nodes.owner(stays.uid) == Some(2)).await;
        let epoch = nodes.node(2).liveness.epoch();
        assert!(epoch > before, "{epoch:?}");
        assert_eq!(nodes.session(stays.uid).map(|s| s.epoch), Some(epoch));
        until(|| nodes.node(2).may_act()).await;
        assert_eq!(nodes.owner(goes.uid), Some(1));
        let gone = agent(nodes.node(2), &goes);
        until(|| gone.with(|state| !state.connected)).await;
        // what was said goes on from there
        stays.report_health("well").await;
        until(|| {
            let view = nodes.consensus.view();
            let record = view.fleet.agent(stays.uid).expect("a record");
            record.health.as_ref().is_some_and(|h| &*h.status == "well")
        })
        .await;
    });
}

#[test]
fn what_waited_when_another_node_took_the_session_is_never_said() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut first = Speaker::new(nodes.node(1), 1, 10);
        first.introduce().await;
        first.report_health("one").await;
        let status = || {
            let view = nodes.consensus.view();
            let record = view.fleet.agent(first.uid).expect("a record");
            record
                .health
                .as_ref()
                .map(|health| health.status.to_string())
        };
        until(|| status().as_deref() == Some("one")).await;
        // paced: it waits for a minute
        first.report_health("old").await;
        let mut second = first.again(nodes.node(2), 20);
        second.introduce().await;
        let there = agent(nodes.node(1), &first);
        until(|| there.with(|state| !state.connected)).await;
        nodes.node(2).leave(
            &agent(nodes.node(2), &second),
            second.caller.connection,
            ReleaseReason::Lost,
        );
        until(|| nodes.session(first.uid).is_none()).await;
        let mut third = first.again(nodes.node(1), 11);
        let reply = third.beat().await;
        assert_eq!(reply.flags & 1, 1, "it is asked for everything");
        until(|| nodes.owner(first.uid) == Some(1)).await;
        nodes.pass(120_000);
        // whoever comes now brings along what is due
        let mut other = Speaker::new(nodes.node(1), 2, 12);
        other.introduce().await;
        until(|| nodes.owner(other.uid) == Some(1)).await;
        let view = nodes.consensus.view();
        let record = view.fleet.agent(first.uid).expect("a record");
        assert_eq!(
            record
                .health
                .as_ref()
                .map(|h| h.status.to_string())
                .as_deref(),
            Some("one")
        );
    });
}

#[test]
fn without_renewals_nothing_is_offered_and_everything_is_acknowledged() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut speaker = Speaker::new(nodes.node(2), 1, 10);
        speaker.arrive().await;
        nodes.cut_off(2).await;
        nodes.pass(9_500);
        assert!(!nodes.node(2).may_act());
        assert!(nodes.node(1).liveness.epoch().0 > 0);
        let reply = speaker.beat().await;
        assert_eq!(&reply.instance_uid[..], speaker.uid.as_bytes());
        assert_eq!(nodes.owner(speaker.uid), Some(2), "nothing was given up");
        let restart = Proposal::CreateDispatch(CreateDispatch {
            action: Action::Restart,
            target: Target::Agent(speaker.uid),
            requires: 0,
            expires_in_ms: 600_000,
        });
        let made = nodes.propose(restart.asked("".into())).await;
        let Outcome::Dispatch(dispatch) = made else {
            panic!("{made:?}");
        };
        let state = || {
            let view = nodes.consensus.view();
            let delivery = view.fleet.delivery(dispatch.id, speaker.uid);
            delivery.map(|delivery| delivery.state.clone())
        };
        hand_over(nodes.node(2), speaker.uid).await;
        assert_eq!(state(), Some(DeliveryState::Queued));
        nodes.reconnect(2);
        until(|| nodes.node(2).may_act()).await;
        until(|| state() == Some(DeliveryState::Sent)).await;
        assert_eq!(
            nodes
                .consensus
                .view()
                .fleet
                .node(NodeId(2))
                .map(|n| n.epoch),
            Some(nodes.node(2).liveness.epoch())
        );
    });
}

#[test]
fn a_forgotten_agent_is_let_go() {
    run(async {
        let nodes = Nodes::start(1).await;
        let mut speaker = Speaker::new(nodes.node(1), 1, 10);
        speaker.arrive().await;
        let fence = nodes.session(speaker.uid).map(|session| session.fence);
        let forget = Proposal::ForgetAgent {
            agent: speaker.uid,
            fence,
        };
        nodes.propose(forget.asked("".into())).await;
        until(|| speaker.is_called(Call::Detached(speaker.uid))).await;
    });
}

#[test]
fn what_is_said_before_the_claim_is_granted_is_asked_for_again() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut first = Speaker::new(nodes.node(1), 1, 10);
        first.introduce().await;
        until(|| nodes.owner(first.uid) == Some(1)).await;
        let room = nodes.node(2);
        // as if node 2 had taken the uid from somebody: it waits before it takes it again
        let later_ms = room.clock.boot_ms() + 600_000;
        room.takeovers.took(first.uid, NodeId(3), later_ms);
        let mut second = first.again(room, 20);
        second.introduce().await;
        until(|| room.batches.is_idle()).await;
        let reply = second.introduce().await;
        assert_eq!(reply.flags & 1, 0, "it has just said everything");
        second.report_health("said too early").await;
        until(|| room.batches.is_idle()).await;
        assert_eq!(nodes.owner(first.uid), Some(1));
        let reply = second.beat().await;
        assert_eq!(reply.flags & 1, 1, "and nobody has taken it");
    });
}

fn health(nodes: &Nodes, speaker: &Speaker) -> Option<String> {
    let view = nodes.consensus.view();
    let record = view.fleet.agent(speaker.uid)?;
    record.health.as_ref().map(|h| h.status.to_string())
}

#[test]
fn what_came_over_a_dead_connection_is_not_said_when_its_claim_is_granted_late() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut agent_there = Speaker::new(nodes.node(1), 1, 10);
        agent_there.introduce().await;
        until(|| nodes.owner(agent_there.uid) == Some(1)).await;
        // its hello was read late, and its claim is slow
        let slow = nodes.node(2);
        slow.batches.hold_back(true);
        let mut dead = agent_there.again(slow, 20);
        dead.report_health("old").await;
        let there = agent(slow, &dead);
        slow.leave(&there, dead.caller.connection, ReleaseReason::Lost);
        agent_there.report_health("new").await;
        until(|| health(&nodes, &dead).as_deref() == Some("new")).await;
        slow.batches.hold_back(false);
        until(|| there.with(|state| !state.claiming)).await;
        until(|| nodes.session(dead.uid).is_none()).await;
        assert_eq!(health(&nodes, &dead).as_deref(), Some("new"));
    });
}

#[test]
fn whoever_serves_an_agent_after_its_words_were_dropped_asks_for_everything() {
    run(async {
        let nodes = Nodes::start(3).await;
        let mut speaker = Speaker::new(nodes.node(1), 1, 10);
        speaker.introduce().await;
        nodes.node(1).leave(
            &agent(nodes.node(1), &speaker),
            speaker.caller.connection,
            ReleaseReason::Lost,
        );
        until(|| nodes.session(speaker.uid).is_none()).await;
        let slow = nodes.node(2);
        slow.batches.hold_back(true);
        let mut speaker = speaker.again(slow, 20);
        speaker.report_health("dropped").await;
        let there = agent(slow, &speaker);
        slow.leave(&there, speaker.caller.connection, ReleaseReason::Lost);
        slow.batches.hold_back(false);
        until(|| there.with(|state| !state.claiming)).await;
        until(|| nodes.session(speaker.uid).is_none()).await;
        let mut speaker = speaker.again(nodes.node(3), 30);
        let reply = speaker.beat().await;
        assert_eq!(reply.flags & 1, 1, "it is asked for everything");
        assert_eq!(health(&nodes, &speaker), None);
    });
}

#[test]
fn what_is_said_before_a_late_claim_is_granted_is_said_then() {
    run(async {
        let nodes = Nodes::start(1).await;
        let slow = nodes.node(1);
        slow.batches.hold_back(true);
        let mut speaker = Speaker::new(slow, 1, 10);
        speaker.introduce().await;
        speaker.report_health("early").await;
        slow.batches.hold_back(false);
        until(|| health(&nodes, &speaker).as_deref() == Some("early")).await;
    });
}

#[test]
fn what_was_said_before_an_earlier_session_moved_is_asked_for_again() {
    run(async {
        let nodes = Nodes::start(2).await;
        let slow = nodes.node(1);
        let mut speaker = Speaker::new(slow, 1, 10);
        speaker.introduce().await;
        until(|| nodes.owner(speaker.uid) == Some(1)).await;
        slow.batches.hold_back(true);
        let here = agent(slow, &speaker);
        slow.leave(&here, speaker.caller.connection, ReleaseReason::Lost);
        let mut back = speaker.again(slow, 11);
        back.report_health("back").await;
        // meanwhile another node takes the session that this one has not given up yet
        let mut passing = speaker.again(nodes.node(2), 20);
        passing.introduce().await;
        until(|| nodes.owner(speaker.uid) == Some(2)).await;
        until(|| here.with(|state| state.session.complete_to().is_none())).await;
        let there = agent(nodes.node(2), &passing);
        let connection = passing.caller.connection;
        nodes.node(2).leave(&there, connection, ReleaseReason::Lost);
        until(|| nodes.session(speaker.uid).is_none()).await;
        slow.batches.hold_back(false);
        until(|| nodes.owner(speaker.uid) == Some(1)).await;
        let reply = back.beat().await;
        assert_eq!(reply.flags & 1, 1, "it is asked for everything");
    });
}
