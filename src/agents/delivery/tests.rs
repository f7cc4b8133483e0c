//! Deliveries between nodes: who ends what a dead node has sent, and what never leaves any more.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{CreateDispatch, Proposal};
use ampora_raft::records::{
    Action, Counts, DeliveryError, DeliveryState, DispatchState, ReleaseReason, Target,
};
use ampora_raft::selector::Selector;

use super::duty;
use crate::agents::room::Room;
use crate::agents::testing::{Nodes, Speaker, TTL, run, until};
use crate::agents::timers;
use crate::node::leases;
use crate::tasks::Tasks;

async fn restart(nodes: &Nodes, target: Target) -> DispatchId {
    let create = Proposal::CreateDispatch(CreateDispatch {
        action: Action::Restart,
        target,
        requires: 0,
        expires_in_ms: 600_000,
    });
    let outcome = nodes.propose(create.asked("".into())).await;
    let Outcome::Dispatch(dispatch) = outcome else {
        panic!("{outcome:?}");
    };
    dispatch.id
}

fn state(nodes: &Nodes, dispatch: DispatchId, agent: InstanceUid) -> Option<DeliveryState> {
    let view = nodes.consensus.view();
    let delivery = view.fleet.delivery(dispatch, agent)?;
    Some(delivery.state.clone())
}

fn perform_on(room: &Arc<Room>, tasks: &Tasks) {
    tasks.spawn(leases::hold(
        room.clone(),
        leases::DELIVERIES,
        Duration::ZERO,
        tasks.stopping(),
        duty::perform,
    ));
}

#[test]
fn what_a_dead_node_has_sent_is_ended_by_the_holder_and_never_leaves() {
    run(async {
        let nodes = Nodes::start(2).await;
        let tasks = Tasks::new();
        perform_on(nodes.node(1), &tasks);
        let mut speaker = Speaker::new(nodes.node(2), 1, 10);
        speaker.introduce().await;
        speaker.beat().await;
        until(|| nodes.owner(speaker.uid) == Some(2)).await;
        let dispatch = restart(&nodes, Target::Agent(speaker.uid)).await;
        let now = || state(&nodes, dispatch, speaker.uid);
        until(|| now() == Some(DeliveryState::Sent)).await;
        nodes.let_die(2).await;
        let unknown = DeliveryState::Failed(DeliveryError::OutcomeUnknown);
        until(|| now() == Some(unknown.clone())).await;
        nodes.reconnect(2);
        until(|| nodes.owner(speaker.uid) == Some(2)).await;
        let agent = nodes.node(2).registry.get(speaker.uid).expect("is served");
        until(|| agent.acting_fence().is_some()).await;
        let pushed = agent.next_push(speaker.caller.connection, 0);
        assert!(pushed.is_none_or(|push| push.message.command.is_none()));
        assert_eq!(now(), Some(unknown));
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}

#[test]
fn a_restart_of_an_agent_that_comes_to_another_node_has_succeeded() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut speaker = Speaker::new(nodes.node(2), 1, 10);
        speaker.introduce().await;
        until(|| nodes.owner(speaker.uid) == Some(2)).await;
        let dispatch = restart(&nodes, Target::Agent(speaker.uid)).await;
        let agent = nodes.node(2).registry.get(speaker.uid).expect("is served");
        let mut push = None;
        until(|| {
            push = agent.next_push(speaker.caller.connection, 0);
            push.is_some()
        })
        .await;
        let marks = push.map(|push| push.marks).unwrap_or_default();
        agent.with(|state| state.session.written(None, &marks, 0));
        let mut elsewhere = speaker.again(nodes.node(1), 20);
        elsewhere.introduce().await;
        until(|| state(&nodes, dispatch, speaker.uid) == Some(DeliveryState::Succeeded)).await;
    });
}

#[test]
fn what_waits_for_an_agent_that_left_in_order_and_came_to_another_node_ends() {
    run(async {
        let nodes = Nodes::start(2).await;
        let tasks = Tasks::new();
        tasks.spawn(timers::drive(nodes.node(2).clone(), tasks.stopping()));
        let mut speaker = Speaker::new(nodes.node(2), 1, 10);
        speaker.introduce().await;
        until(|| nodes.owner(speaker.uid) == Some(2)).await;
        let dispatch = restart(&nodes, Target::Agent(speaker.uid)).await;
        let now = || state(&nodes, dispatch, speaker.uid);
        until(|| now() == Some(DeliveryState::Sent)).await;
        let agent = nodes.node(2).registry.get(speaker.uid).expect("is served");
        nodes
            .node(2)
            .leave(&agent, speaker.caller.connection, ReleaseReason::Lost);
        until(|| nodes.owner(speaker.uid).is_none()).await;
        let mut elsewhere = speaker.again(nodes.node(1), 20);
        elsewhere.introduce().await;
        let unconfirmed = DeliveryState::Failed(DeliveryError::Unconfirmed);
        until(|| now() == Some(unconfirmed.clone())).await;
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}

#[test]
fn a_selector_is_expanded_by_the_holder_and_delivered_by_the_owners() {
    run(async {
        let nodes = Nodes::start(2).await;
        let tasks = Tasks::new();
        perform_on(nodes.node(1), &tasks);
        let mut speakers = Vec::new();
        for (number, uid) in [(1, 1_u64), (2, 2), (2, 3)] {
            let mut speaker = Speaker::new(nodes.node(number), u128::from(uid), 10 + uid);
            speaker.introduce().await;
            until(|| nodes.owner(speaker.uid) == Some(uid.min(2))).await;
            speakers.push(speaker);
        }
        let dispatch = restart(&nodes, Target::Selector(Selector::everyone())).await;
        nodes.node(2).accepted.add(dispatch);
        until(|| {
            let all = speakers.iter();
            all.filter(|speaker| state(&nodes, dispatch, speaker.uid) == Some(DeliveryState::Sent))
                .count()
                == 3
        })
        .await;
        let view = nodes.consensus.view();
        let record = view.fleet.dispatch(dispatch).expect("a dispatch");
        assert_eq!(record.state, DispatchState::Active);
        assert_eq!(
            record.counts,
            Counts {
                sent: 3,
                ..Counts::default()
            }
        );
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}
