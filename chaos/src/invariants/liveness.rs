//! `liveness` (design §9, 11): once faults have ended, everything is as it should be again without help.
//!
//! One leader whom all nodes follow; every agent in the fleet, owned by the node that it speaks to, and known there as it
//! is; what an agent runs is what the fleet wants it to run; no dispatch and no change of configuration under way for ever.
//!
//! It cannot be judged at an instant, because a minute of peace may be needed: a run goes on until there is nothing to
//! complain of, and the complaint that is left when its time is over is the violation. So a check that asks too much
//! shows as a run that never ends well, and one that asks too little shows as planted bugs that nobody finds.

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::consensus::View;
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::NodeId;
use ampora_raft::records::{AgentRecord, DispatchState};

use crate::people::AgentState;

/// Everything that is looked at.
#[derive(Debug)]
pub struct Rest<'a> {
    /// How many nodes there are.
    pub nodes: usize,
    /// The fleets of those that run.
    pub views: &'a [(NodeId, Arc<View>)],
    /// Who leads, as each of them says.
    pub leaders: &'a BTreeSet<Option<NodeId>>,
    /// The agents, as they are.
    pub agents: &'a [AgentState],
    /// What breaks every agent.
    pub bad: &'a BTreeSet<Vec<u8>>,
}

/// What is not as it should be, or nothing.
pub fn complaint(rest: &Rest<'_>) -> Option<String> {
    if rest.views.len() < rest.nodes {
        return Some("a node has not started".to_owned());
    }
    if rest.leaders.len() != 1 || rest.leaders.contains(&None) {
        return Some(format!("leaders {:?}", rest.leaders));
    }
    let views = rest.views.iter().map(|(_, view)| view);
    let fleet = &views.max_by_key(|view| view.applied_index)?.fleet;
    let mut agents = rest.agents.iter();
    agents
        .find_map(|agent| of_agent(fleet, agent, rest.bad))
        .or_else(|| of_dispatches(fleet))
        .or_else(|| of_changes(fleet))
        .or_else(|| of_indices(rest))
}

/// Last, because it is true of any moment between an entry and its being heard of.
fn of_indices(rest: &Rest<'_>) -> Option<String> {
    let indices: BTreeSet<_> = rest.views.iter().map(|(_, v)| v.applied_index).collect();
    (indices.len() > 1).then(|| format!("applied {indices:?}"))
}

fn of_agent(fleet: &Fleet, agent: &AgentState, bad: &BTreeSet<Vec<u8>>) -> Option<String> {
    let uid = agent.uid;
    let Some(record) = fleet.agent(uid) else {
        return Some(format!("{uid} is not in the fleet"));
    };
    let owner = fleet.valid_session(record).map(|session| session.node);
    if agent.node.is_none() || owner != agent.node {
        return Some(format!(
            "{uid} speaks to {:?} and is owned by {owner:?}",
            agent.node
        ));
    }
    let reported = record.config.reported_hash.as_deref().unwrap_or_default();
    if reported != agent.applied {
        return Some(format!(
            "{uid} runs {} and is known to run {}",
            hex(&agent.applied),
            hex(reported)
        ));
    }
    let healthy = record.health.as_ref().map(|health| health.healthy);
    if healthy != Some(agent.healthy) {
        return Some(format!(
            "{uid} is healthy: {}, and known as {healthy:?}",
            agent.healthy
        ));
    }
    runs_what_is_desired(fleet, record, agent, bad)
}

/// Desired is effective. A version that failed here is not offered again, so that whoever failed with it may go on.
fn runs_what_is_desired(
    fleet: &Fleet,
    record: &AgentRecord,
    agent: &AgentState,
    bad: &BTreeSet<Vec<u8>>,
) -> Option<String> {
    let desired = fleet.desired(record).version?.hash.0;
    let failed = record.config.failed_hash.is_some_and(|f| f.0 == desired);
    if agent.applied == desired || failed && bad.contains(&desired[..]) {
        return None;
    }
    Some(format!(
        "{} runs {} and should run {}",
        agent.uid,
        hex(&agent.applied),
        hex(&desired)
    ))
}

fn of_dispatches(fleet: &Fleet) -> Option<String> {
    let mut dispatches = fleet.dispatches(None);
    let unfinished = dispatches.find(|dispatch| {
        dispatch.counts.queued + dispatch.counts.sent > 0
            || matches!(dispatch.state, DispatchState::Expanding { .. })
    });
    unfinished.map(|dispatch| format!("dispatch {} is {:?}", dispatch.id, dispatch.counts))
}

fn of_changes(fleet: &Fleet) -> Option<String> {
    let (group, _, trial) = fleet.under_way().next()?;
    Some(format!(
        "the change of {} to {} is still under way: {trial:?}",
        group.name,
        hex(&trial.hash.0)
    ))
}

fn hex(hash: &[u8]) -> String {
    let mut text = String::new();
    for byte in hash.iter().take(4) {
        text.push_str(&format!("{byte:02x}"));
    }
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}
