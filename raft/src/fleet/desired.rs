//! What an agent should run: a pure function of the fleet, compared with what the agent reports.

use std::sync::Arc;

use super::Fleet;
use crate::ids::{ConfigHash, InstanceUid};
use crate::records::{AgentRecord, Assignment, Group, VersionRef};

/// The group of an agent and the version that it should run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The group that the agent is in, if any selector matches it.
    pub group: Option<Arc<Group>>,
    /// The version; `None` offers nothing.
    pub version: Option<VersionRef>,
}

impl Fleet {
    /// The group of highest priority, then smallest name, that matches the agent, and the version that
    /// it assigns to this agent. A group without assignment shadows those below it.
    pub fn desired(&self, agent: &AgentRecord) -> Desired {
        let groups = (&self.derived.group_order).into_iter();
        let group = groups
            .filter_map(|(_, name)| self.groups.get(name))
            .find(|group| group.selector.matches(agent))
            .cloned();
        let assignment = group.as_ref().and_then(|group| group.assignment.as_ref());
        let version = assignment
            .and_then(|assignment| choose(assignment, agent.uid))
            .cloned();
        Desired { group, version }
    }
}

/// The next version for agents below the threshold, the settled one for the others; nothing while there is
/// none. It does not know quarantine: what is quarantined has the threshold 0.
fn choose(assignment: &Assignment, uid: InstanceUid) -> Option<&VersionRef> {
    let next = assignment.next.as_ref();
    let reached = next.filter(|next| placement(uid, next.hash) < assignment.threshold);
    reached.or(assignment.settled.as_ref())
}

/// Where an agent stands in the order in which a version reaches agents: fixed for ever, known beforehand,
/// and different from version to version.
///
/// The sixteen bytes of the uid and the thirty-two of the hash are read as six little-endian numbers; each
/// is added to the state, multiplied by the golden ratio's odd 64-bit fraction and mixed by two
/// shift-multiply rounds and a last shift.
pub fn placement(uid: InstanceUid, hash: ConfigHash) -> u64 {
    let mut state = 0x243f_6a88_85a3_08d3_u64;
    for word in uid.as_bytes().chunks_exact(8).chain(hash.0.chunks_exact(8)) {
        let word = word
            .iter()
            .rev()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        state = mix(state.wrapping_add(word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    state
}

fn mix(mut state: u64) -> u64 {
    state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}
