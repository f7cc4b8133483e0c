//! Sessions that this node took from a live one.
//!
//! They tell a newcomer from a reconnect: who takes a session back within a minute was there first, and whoever has it
//! here gets a uid of its own. And they keep one uid from going to and fro as fast as two nodes can write.

use std::collections::{BTreeMap, BTreeSet};

use ampora_proto::identity::{CONTEST_MS, TAKEOVER_MS};
use ampora_raft::ids::{InstanceUid, NodeId};
use parking_lot::Mutex;

/// About 4 MiB; what was taken longest ago goes first.
const TAKEOVERS_MAX: usize = 65_536;

/// The last minute.
#[derive(Debug, Default)]
pub struct Takeovers(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    by_uid: BTreeMap<InstanceUid, (u64, NodeId)>,
    by_time: BTreeSet<(u64, InstanceUid)>,
}

impl Takeovers {
    /// The session of an agent was taken from `from`.
    pub fn took(&self, uid: InstanceUid, from: NodeId, now_ms: u64) {
        let mut taken = self.0.lock();
        taken.expire(now_ms);
        taken.remove(uid);
        if taken.by_uid.len() >= TAKEOVERS_MAX
            && let Some((_, oldest)) = taken.by_time.first().copied()
        {
            taken.remove(oldest);
        }
        taken.by_uid.insert(uid, (now_ms, from));
        taken.by_time.insert((now_ms, uid));
    }

    /// How long a session that was just taken has to wait until it may be taken again.
    pub fn wait_ms(&self, uid: InstanceUid, now_ms: u64) -> u64 {
        let taken = self.0.lock();
        let at_ms = taken.by_uid.get(&uid).map(|(at_ms, _)| *at_ms);
        at_ms.map_or(0, |at_ms| {
            at_ms.saturating_add(TAKEOVER_MS).saturating_sub(now_ms)
        })
    }

    /// Whether the session was taken from anybody within the last minute.
    pub fn is_recent(&self, uid: InstanceUid, now_ms: u64) -> bool {
        let mut taken = self.0.lock();
        taken.expire(now_ms);
        taken.by_uid.contains_key(&uid)
    }

    /// Whether the session was taken from `node` within the last minute; asked once, when it goes back there.
    pub fn goes_back(&self, uid: InstanceUid, node: NodeId, now_ms: u64) -> bool {
        let mut taken = self.0.lock();
        taken.expire(now_ms);
        taken
            .by_uid
            .get(&uid)
            .is_some_and(|(_, from)| *from == node)
    }
}

impl Taken {
    fn remove(&mut self, uid: InstanceUid) {
        if let Some((at_ms, _)) = self.by_uid.remove(&uid) {
            self.by_time.remove(&(at_ms, uid));
        }
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((at_ms, uid)) = self.by_time.first().copied()
            && now_ms >= at_ms.saturating_add(CONTEST_MS)
        {
            self.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_back_within_a_minute_and_is_taken_once_in_five_seconds() {
        let takeovers = Takeovers::default();
        let uid = InstanceUid::from_u128(1);
        assert_eq!(takeovers.wait_ms(uid, 0), 0);
        takeovers.took(uid, NodeId(2), 1_000);
        assert_eq!(takeovers.wait_ms(uid, 3_000), 3_000);
        assert_eq!(takeovers.wait_ms(uid, 6_000), 0);
        assert!(!takeovers.goes_back(uid, NodeId(3), 30_000));
        assert!(takeovers.goes_back(uid, NodeId(2), 60_999));
        assert!(!takeovers.goes_back(uid, NodeId(2), 61_000));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let takeovers = Takeovers::default();
        let uid = |n: usize| InstanceUid::from_u128(n as u128 + 1);
        for n in 0..=TAKEOVERS_MAX {
            takeovers.took(uid(n), NodeId(2), n as u64 / 10_000);
        }
        assert_eq!(takeovers.0.lock().by_uid.len(), TAKEOVERS_MAX);
        assert_eq!(takeovers.0.lock().by_time.len(), TAKEOVERS_MAX);
        assert!(!takeovers.goes_back(uid(0), NodeId(2), 10));
    }
}
