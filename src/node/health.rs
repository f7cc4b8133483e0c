//! The health of this node, part by part.

use std::io;

use ampora_raft::consensus::RaftStatus;
use ampora_storage::disk::DiskState;

use crate::api::backend::{Health, Part, PartState};

/// Health from what the parts say of themselves.
pub(super) fn of(
    status: &RaftStatus,
    disk: &io::Result<DiskState>,
    started: bool,
    draining: bool,
) -> Health {
    Health {
        started,
        raft: match (status.leader, status.quorum) {
            (Some(_), true) => Part::ok(),
            (Some(_), false) => {
                degraded("no quorum answers: reads may be stale and changes are refused")
            }
            (None, _) => degraded("no leader: reads may be stale and changes are refused"),
        },
        storage: match disk {
            Ok(state) => state
                .refusal()
                .map_or_else(Part::ok, |reason| degraded(&reason)),
            Err(error) => failed(&format!("the disk does not answer: {error}")),
        },
        history: Part::ok(),
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
