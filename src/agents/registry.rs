//! The agents that this node serves, by uid. Sharded so that connections seldom wait for one another;
//! ordered within a shard, so that whoever walks it does so in the same order each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::ids::InstanceUid;
use ampora_raft::records::Transport;
use parking_lot::RwLock;

use super::agent::Agent;

/// Enough that two cores seldom meet in one, few enough to walk.
const SHARDS: usize = 64;

type Shard = RwLock<BTreeMap<InstanceUid, Arc<Agent>>>;

/// The registry.
#[derive(Debug)]
pub struct Registry {
    shards: [Shard; SHARDS],
}

/// What this node knows of an agent beside the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether its transport is up, or it polls.
    pub connected: bool,
    /// Which transport.
    pub transport: Transport,
    /// Wall time of its last message.
    pub seen_wall_ms: u64,
    /// How long it has been silent.
    pub silent_ms: u64,
    /// Whether silence says something.
    pub heartbeats: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }
}

impl Registry {
    fn shard(&self, uid: InstanceUid) -> &Shard {
        // uids of version 7 share their first bytes and differ in their last
        &self.shards[usize::from(uid.as_bytes()[15]) % SHARDS]
    }

    /// The agent, when it is served here.
    pub fn get(&self, uid: InstanceUid) -> Option<Arc<Agent>> {
        self.shard(uid).read().get(&uid).cloned()
    }

    /// Runs `f` on the agent, made by `make` when it is not served yet. Nobody forgets the agent meanwhile,
    /// so that a connection never holds one that others no longer find.
    pub fn with<T>(
        &self,
        uid: InstanceUid,
        make: impl FnOnce() -> Agent,
        f: impl FnOnce(&Agent) -> T,
    ) -> (Arc<Agent>, T) {
        let shard = self.shard(uid);
        {
            let shard = shard.read();
            if let Some(agent) = shard.get(&uid) {
                return (agent.clone(), f(agent));
            }
        }
        // the fleet is asked without the lock
        let made = Arc::new(make());
        let mut shard = shard.write();
        let agent = shard.entry(uid).or_insert(made);
        (agent.clone(), f(agent))
    }

    /// Forgets an agent unless somebody has begun to serve it again.
    pub fn remove_if(&self, uid: InstanceUid, gone: impl FnOnce(&Agent) -> bool) {
        let mut shard = self.shard(uid).write();
        if shard.get(&uid).is_some_and(|agent| gone(agent)) {
            shard.remove(&uid);
        }
    }

    /// The transport over which the agent is connected here.
    pub fn transport(&self, uid: InstanceUid) -> Option<Transport> {
        self.get(uid)?
            .with(|state| state.connected.then_some(state.transport))
    }

    /// All uids, shard by shard.
    pub fn uids(&self) -> Vec<InstanceUid> {
        self.shards
            .iter()
            .flat_map(|shard| shard.read().keys().copied().collect::<Vec<_>>())
            .collect()
    }

    /// What this node knows of an agent.
    pub fn presence(&self, uid: InstanceUid, now_ms: u64) -> Option<Presence> {
        let agent = self.get(uid)?;
        Some(agent.with(|state| Presence {
            connected: state.connected,
            transport: state.transport,
            seen_wall_ms: state.seen_wall_ms,
            silent_ms: now_ms.saturating_sub(state.heard_ms),
            heartbeats: state.heartbeats,
        }))
    }
}
