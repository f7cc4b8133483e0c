//! How a socket's task is told that agents on it have something to write, or that it should close. Bounded
//! by the agents of the socket: each is named once however often it is woken.

use std::collections::BTreeSet;

use ampora_raft::ids::InstanceUid;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bell of one socket.
#[derive(Debug, Default)]
pub struct Wake {
    state: Mutex<State>,
    agents: Notify,
    close: Notify,
}

#[derive(Debug, Default)]
struct State {
    agents: BTreeSet<InstanceUid>,
    detached: BTreeSet<InstanceUid>,
}

impl Wake {
    /// An agent has something to write.
    pub fn push(&self, uid: InstanceUid) {
        self.state.lock().agents.insert(uid);
        self.agents.notify_one();
    }

    /// An agent speaks over another socket from now on.
    pub fn detach(&self, uid: InstanceUid) {
        let mut state = self.state.lock();
        state.agents.remove(&uid);
        state.detached.insert(uid);
        drop(state);
        self.close.notify_one();
    }

    /// Waits for an agent that has something to write.
    pub async fn next(&self) -> InstanceUid {
        loop {
            if let Some(uid) = self.state.lock().agents.pop_first() {
                return uid;
            }
            self.agents.notified().await;
        }
    }

    /// Whether somebody waits to be heard.
    pub fn is_rung(&self) -> bool {
        let state = self.state.lock();
        !state.agents.is_empty() || !state.detached.is_empty()
    }

    /// Waits until agents were detached.
    pub async fn detached(&self) {
        loop {
            if !self.state.lock().detached.is_empty() {
                return;
            }
            self.close.notified().await;
        }
    }

    /// Takes the agents that were detached.
    pub fn take_detached(&self) -> BTreeSet<InstanceUid> {
        std::mem::take(&mut self.state.lock().detached)
    }
}
