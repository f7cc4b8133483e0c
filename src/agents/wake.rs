//! How a socket's task is told that agents on it have something to write, or that it should let them go.
//!
//! Bounded by the agents of the socket: each is named once however often it is woken. Looking whether the bell was
//! rung costs next to nothing, because it is looked at with every message.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ampora_raft::ids::InstanceUid;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// The bell of one socket.
#[derive(Debug, Default)]
pub struct Wake {
    rung: AtomicBool,
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    agents: BTreeSet<InstanceUid>,
    detached: BTreeSet<InstanceUid>,
    revoked: bool,
    ping: bool,
}

/// Why the bell was rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The credential of the socket is gone.
    Revoked,
    /// This agent is not this socket's from now on.
    Detached(InstanceUid),
    /// Somebody wants to know whether the socket is alive.
    Ping,
    /// This agent has something to write.
    Agent(InstanceUid),
}

impl Wake {
    /// An agent has something to write.
    pub fn push(&self, uid: InstanceUid) {
        self.ring(|state| {
            state.agents.insert(uid);
        });
    }

    /// An agent is not this socket's from now on.
    pub fn detach(&self, uid: InstanceUid) {
        self.ring(|state| {
            state.agents.remove(&uid);
            state.detached.insert(uid);
        });
    }

    /// Somebody wants to know whether the socket is alive.
    pub fn ping(&self) {
        self.ring(|state| state.ping = true);
    }

    /// The credential of the socket is gone.
    pub fn revoke(&self) {
        self.ring(|state| state.revoked = true);
    }

    fn ring(&self, note: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        note(&mut state);
        self.rung.store(true, Ordering::Release);
        drop(state);
        self.waker.wake();
    }

    /// Whether somebody waits to be heard.
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Ready when somebody waits to be heard; one task alone may wait.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_rung() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // it may have been rung before the waker was there
        if self.is_rung() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Takes the agents that were detached.
    pub fn take_detached(&self) -> BTreeSet<InstanceUid> {
        std::mem::take(&mut self.state.lock().detached)
    }

    /// Takes one call; ends come first.
    pub fn take(&self) -> Option<Call> {
        let mut state = self.state.lock();
        let revoked = std::mem::take(&mut state.revoked).then_some(Call::Revoked);
        let call = revoked.or_else(|| state.detached.pop_first().map(Call::Detached));
        let ping = call.is_none() && std::mem::take(&mut state.ping);
        let call = call.or_else(|| ping.then_some(Call::Ping));
        let call = call.or_else(|| state.agents.pop_first().map(Call::Agent));
        let more = state.ping || !state.detached.is_empty() || !state.agents.is_empty();
        self.rung.store(more, Ordering::Release);
        call
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tasks::Tasks;

    #[tokio::test]
    async fn every_call_is_heard_once_and_leavers_first() {
        let wake = Arc::new(Wake::default());
        let bell = wake.clone();
        let waiting = Tasks::new().spawn(async move {
            std::future::poll_fn(|cx| bell.poll_rung(cx)).await;
        });
        let uid = InstanceUid::from_u128;
        wake.push(uid(2));
        wake.push(uid(2));
        wake.push(uid(3));
        wake.detach(uid(3));
        waiting.await.expect("was woken");
        assert_eq!(wake.take(), Some(Call::Detached(uid(3))));
        assert!(wake.is_rung());
        assert_eq!(wake.take(), Some(Call::Agent(uid(2))));
        assert!(!wake.is_rung());
        assert_eq!(wake.take(), None);
    }
}
