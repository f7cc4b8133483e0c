//! The health of this node, part by part.

use std::io;

use ampora_raft::consensus::RaftStatus;
use ampora_storage::disk::DiskState;

use crate::api::backend::{Health, Part, PartState};

/// Health from what the parts say of themselves.
pub(super) fn of(
    status: &RaftStatus,
    disk: &io::Result<DiskState>,
    history: Option<String>,
    started: bool,
    draining: bool,
) -> Health {
    Health {
        started,
        raft: raft(status),
        storage: match disk {
            Ok(state) => state
                .refusal()
                .map_or_else(Part::ok, |reason| degraded(&reason)),
            Err(error) => failed(&format!("the disk does not answer: {error}")),
        },
        // history lags and is read from the nodes meanwhile: never a failure
        history: history.map_or_else(Part::ok, |reason| degraded(&reason)),
        opamp: match (started, draining) {
            (true, false) => Part::ok(),
            (false, _) if is_member(status) => failed("the node is starting"),
            (false, _) => failed("the node joins a cluster and learns what it has"),
            (true, true) => failed("the node is stopping"),
        },
    }
}

/// Whether the log that this node has names it.
fn is_member(status: &RaftStatus) -> bool {
    let mut members = status.voters.iter().chain(&status.learners);
    members.any(|member| *member == status.node)
}

/// Agents are served with and without a leader, so that this is never a failure.
fn raft(status: &RaftStatus) -> Part {
    if status.quorum {
        return Part::ok();
    }
    let leader = status.leader.map_or_else(
        || "no leader".to_owned(),
        |leader| format!("node {} leads and is not heard with a quorum", leader.0),
    );
    degraded(&format!(
        "{leader}: reads may be stale and changes are refused until a majority of the {} voters is in reach",
        status.voters.len()
    ))
}

fn degraded(reason: &str) -> Part {
    Part {
        state: PartState::Degraded,
        reason: reason.to_owned(),
    }
}

fn failed(reason: &str) -> Part {
    Part {
        state: PartState::Failed,
        reason: reason.to_owned(),
    }
}
