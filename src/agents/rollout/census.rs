//! Who belongs to a group whose change is under way, and how they stand: one pass over a copy of the fleet, in
//! strides, for all such groups together.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::{Fleet, placement};
use ampora_raft::ids::{ConfigHash, InstanceUid};
use ampora_raft::records::{AgentRecord, Trial};

use super::judge::{Member, Stand};
use crate::agents::confirmed::{accepts, is_confirmed};

/// Records looked at before other tasks get their turn: some hundred microseconds.
const STRIDE: usize = 1024;

/// The members of one group.
#[derive(Debug, Default)]
pub struct Census {
    /// In the order of their placement.
    pub members: Vec<Member>,
    /// Members that carry a failure with this version from an earlier trial, by placement.
    pub stale: Vec<(u64, InstanceUid)>,
}

/// The members of every group whose change is under way.
pub async fn take(fleet: &Fleet) -> BTreeMap<Arc<str>, Census> {
    let mut groups: BTreeMap<Arc<str>, Census> = fleet
        .under_way()
        .map(|(group, _, _)| (Arc::clone(&group.name), Census::default()))
        .collect();
    let mut after = None;
    while !groups.is_empty() {
        let stride: Vec<_> = fleet.agents(after).take(STRIDE).collect();
        for record in &stride {
            note(&mut groups, fleet, record);
        }
        if stride.len() < STRIDE {
            break;
        }
        after = stride.last().map(|record| record.uid);
        tokio::task::yield_now().await;
    }
    for census in groups.values_mut() {
        census
            .members
            .sort_unstable_by_key(|member| member.placement);
        census.stale.sort_unstable();
    }
    groups
}

fn note(groups: &mut BTreeMap<Arc<str>, Census>, fleet: &Fleet, record: &AgentRecord) {
    if !accepts(record) {
        return;
    }
    let Some(group) = fleet.desired(record).group else {
        return;
    };
    let Some(census) = groups.get_mut(&group.name) else {
        return;
    };
    let rollout = fleet.rollout(&group.name);
    let Some(trial) = rollout.and_then(|rollout| rollout.trial.as_ref()) else {
        return;
    };
    let placement = placement(record.uid, trial.hash);
    let stand = stand(fleet, record, trial);
    census.members.push(Member { placement, stand });
    if is_stale(record, trial) {
        census.stale.push((placement, record.uid));
    }
}

fn stand(fleet: &Fleet, record: &AgentRecord, trial: &Trial) -> Stand {
    if trial.failed.contains(&record.uid) {
        Stand::Failed
    } else if is_confirmed(record, trial.hash) {
        Stand::Confirmed
    } else if fleet.session_valid(record) {
        Stand::Waiting
    } else {
        Stand::Away {
            sent: has_seen(record, trial.hash),
        }
    }
}

/// Whether the agent was sent the version, or speaks of it.
fn has_seen(record: &AgentRecord, hash: ConfigHash) -> bool {
    record.config.sent_hash == Some(hash) || record.config.reported_hash.as_deref() == Some(&hash.0)
}

fn is_stale(record: &AgentRecord, trial: &Trial) -> bool {
    record.config.failed_hash == Some(trial.hash) && !trial.failed.contains(&record.uid)
}
