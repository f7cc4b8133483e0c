//! What `apply` said has changed, folded into sets until the tasks of this room have time to look.
//!
//! The sets only say where to look: a task reads the fleet and acts on what it finds there, so folding,
//! repeating or losing the order of effects is harmless.

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora_raft::consensus::EffectSink;
use ampora_raft::effect::Effect;
use ampora_raft::ids::{ConfigHash, Fence, InstanceUid, NodeId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Beyond this many named agents a set says "all" instead: looking at every connected agent of a node is
/// then no dearer than looking each of them up.
const NAMED_AGENTS_MAX: usize = 16_384;

/// Agents to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agents {
    /// These.
    Named(BTreeSet<InstanceUid>),
    /// Every agent of this node.
    All,
}

impl Default for Agents {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Agents {
    fn add(&mut self, uid: InstanceUid) {
        if let Self::Named(uids) = self {
            uids.insert(uid);
            if uids.len() > NAMED_AGENTS_MAX {
                *self = Self::All;
            }
        }
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Named(uids) if uids.is_empty())
    }
}

/// Sessions that were taken from a node: at most one per agent and fence.
pub type Moved = BTreeSet<(InstanceUid, Fence)>;

/// Agents that are to get a version once more on which they failed.
pub type Forgotten = BTreeSet<(InstanceUid, ConfigHash)>;

/// The folded effects, one set for each task that waits for them.
#[derive(Debug)]
pub struct Changes {
    node: NodeId,
    state: Mutex<State>,
    desired: Notify,
    deliveries: Notify,
    deliveries_duty: Notify,
    nodes: Notify,
    rollout: Notify,
    tokens: Notify,
    spent_tokens: Notify,
}

#[derive(Debug, Default)]
struct State {
    desired: Agents,
    deliveries: Agents,
    dispatches: bool,
    moved: Moved,
    forgotten: Forgotten,
}

impl Changes {
    /// Nothing has changed yet for `node`.
    pub fn new(node: NodeId) -> Arc<Self> {
        Arc::new(Self {
            node,
            state: Mutex::default(),
            desired: Notify::new(),
            deliveries: Notify::new(),
            deliveries_duty: Notify::new(),
            nodes: Notify::new(),
            rollout: Notify::new(),
            tokens: Notify::new(),
            spent_tokens: Notify::new(),
        })
    }

    /// Waits until desired configurations may differ, sessions moved or failures were forgotten, and takes the
    /// sets.
    pub async fn next_desired(&self) -> (Agents, Moved, Forgotten) {
        loop {
            {
                let mut state = self.state.lock();
                let is_idle = state.desired.is_empty()
                    && state.moved.is_empty()
                    && state.forgotten.is_empty();
                if !is_idle {
                    return (
                        std::mem::take(&mut state.desired),
                        std::mem::take(&mut state.moved),
                        std::mem::take(&mut state.forgotten),
                    );
                }
            }
            self.desired.notified().await;
        }
    }

    /// Waits until a change that is under way may have got further.
    pub async fn next_rollout(&self) {
        self.rollout.notified().await;
    }

    /// Waits until deliveries may have something to do, and takes the set; the flag says that a dispatch
    /// was made or changed.
    pub async fn next_deliveries(&self) -> (Agents, bool) {
        loop {
            {
                let mut state = self.state.lock();
                if !state.deliveries.is_empty() || state.dispatches {
                    return (
                        std::mem::take(&mut state.deliveries),
                        std::mem::take(&mut state.dispatches),
                    );
                }
            }
            self.deliveries.notified().await;
        }
    }

    /// Waits until dispatches or nodes changed since the last wait: something may be to do for all of them.
    pub async fn next_deliveries_duty(&self) {
        self.deliveries_duty.notified().await;
    }

    /// Waits until nodes came, went or changed since the last wait.
    pub async fn next_nodes(&self) {
        self.nodes.notified().await;
    }

    /// Waits until tokens changed since the last wait.
    pub async fn next_tokens(&self) {
        self.tokens.notified().await;
    }

    /// The same for whoever has the fleet forget tokens.
    pub async fn next_spent_tokens(&self) {
        self.spent_tokens.notified().await;
    }

    /// An agent has just got a session here: deliveries may be waiting for it.
    pub fn agent_arrived(&self, uid: InstanceUid) {
        self.state.lock().deliveries.add(uid);
        self.deliveries.notify_one();
    }

    /// Dispatches are to be looked at.
    pub fn look_at_dispatches(&self) {
        self.state.lock().dispatches = true;
        self.deliveries.notify_one();
    }

    /// Everything is to be looked at, as after a start.
    pub fn everything(&self) {
        {
            let mut state = self.state.lock();
            state.desired = Agents::All;
            state.deliveries = Agents::All;
            state.dispatches = true;
        }
        self.desired.notify_one();
        self.deliveries.notify_one();
    }

    fn fold(&self, effect: &Effect) -> (bool, bool) {
        let mut state = self.state.lock();
        match effect {
            Effect::SessionMoved { uid, from, fence } if *from == self.node => {
                state.moved.insert((*uid, *fence));
                (true, false)
            }
            Effect::AgentChanged {
                uid,
                placement: true,
            } => {
                state.desired.add(*uid);
                (true, false)
            }
            Effect::GroupChanged { .. } => {
                state.desired = Agents::All;
                (true, false)
            }
            Effect::DeliveryChanged { agent, .. } => {
                state.deliveries.add(*agent);
                (false, true)
            }
            Effect::DispatchChanged { .. } => {
                state.dispatches = true;
                (false, true)
            }
            Effect::FailureForgotten { uid, hash } => {
                state.forgotten.insert((*uid, *hash));
                state.desired.add(*uid);
                (true, false)
            }
            Effect::SessionMoved { .. }
            | Effect::AgentChanged { .. }
            | Effect::ConfigurationChanged { .. }
            | Effect::NodeChanged { .. }
            | Effect::TokensChanged
            | Effect::LeaseChanged { .. }
            | Effect::PeersChanged => (false, false),
        }
    }
}

impl EffectSink for Changes {
    fn publish(&self, _index: u64, effects: Vec<Effect>) {
        let (mut desired, mut deliveries) = (false, false);
        for effect in &effects {
            let (a, b) = self.fold(effect);
            desired |= a;
            deliveries |= b;
            match effect {
                Effect::TokensChanged => {
                    self.tokens.notify_one();
                    self.spent_tokens.notify_one();
                }
                Effect::DispatchChanged { .. } => self.deliveries_duty.notify_one(),
                Effect::NodeChanged { .. } => {
                    self.deliveries_duty.notify_one();
                    self.nodes.notify_one();
                }
                Effect::SessionMoved { .. }
                | Effect::AgentChanged { .. }
                | Effect::GroupChanged { .. }
                | Effect::ConfigurationChanged { .. }
                | Effect::DeliveryChanged { .. }
                | Effect::FailureForgotten { .. }
                | Effect::LeaseChanged { .. }
                | Effect::PeersChanged => {}
            }
        }
        if desired {
            self.desired.notify_one();
        }
        if deliveries {
            self.deliveries.notify_one();
        }
        if effects.iter().any(moves_a_change) {
            self.rollout.notify_one();
        }
    }

    /// Whatever the entries that were skipped did had effects that nobody hears of.
    fn replaced(&self, _index: u64) {
        self.everything();
        self.rollout.notify_one();
        self.deliveries_duty.notify_one();
        self.nodes.notify_one();
        self.tokens.notify_one();
        self.spent_tokens.notify_one();
    }
}

/// Whether a change that is under way may have got further.
fn moves_a_change(effect: &Effect) -> bool {
    match effect {
        Effect::AgentChanged { .. } | Effect::GroupChanged { .. } => true,
        Effect::SessionMoved { .. }
        | Effect::ConfigurationChanged { .. }
        | Effect::DispatchChanged { .. }
        | Effect::DeliveryChanged { .. }
        | Effect::NodeChanged { .. }
        | Effect::TokensChanged
        | Effect::FailureForgotten { .. }
        | Effect::LeaseChanged { .. }
        | Effect::PeersChanged => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_named_agents_become_all() {
        let mut agents = Agents::default();
        for n in 0..=NAMED_AGENTS_MAX {
            agents.add(InstanceUid::from_u128(n as u128 + 1));
        }
        assert_eq!(agents, Agents::All);
    }

    #[tokio::test]
    async fn after_a_snapshot_everybody_looks_again() {
        let changes = Changes::new(NodeId(1));
        changes.replaced(9);
        let (agents, ..) = changes.next_desired().await;
        assert_eq!(agents, Agents::All);
        let (agents, dispatches) = changes.next_deliveries().await;
        assert!(agents == Agents::All && dispatches);
        changes.next_rollout().await;
        changes.next_deliveries_duty().await;
        changes.next_nodes().await;
        changes.next_tokens().await;
        changes.next_spent_tokens().await;
    }

    #[tokio::test]
    async fn what_changed_before_the_wait_is_not_missed() {
        let changes = Changes::new(NodeId(1));
        let uid = InstanceUid::from_u128(7);
        changes.publish(
            3,
            vec![Effect::AgentChanged {
                uid,
                placement: true,
            }],
        );
        let (agents, moved, forgotten) = changes.next_desired().await;
        assert_eq!(agents, Agents::Named(BTreeSet::from([uid])));
        assert!(moved.is_empty() && forgotten.is_empty());
    }
}
