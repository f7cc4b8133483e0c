//! The openraft types of this project, and what openraft asks of ours.

use std::fmt;

use crate::outcome::Outcome;
use crate::proposal::{Entry, Proposal};

openraft::declare_raft_types!(
    /// Our choice of openraft's associated types.
    pub TypeConfig: D = Entry, R = Outcome, AsyncRuntime = Runtime
);

/// The runtime that openraft runs on: tokio, with its random numbers drawn from a seed, so that the same
/// code runs in the simulator.
pub type Runtime =
    openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.proposal.inner() {
            Proposal::Found { .. } => "Found",
            Proposal::RegisterNode(_) => "RegisterNode",
            Proposal::NodeBatch(_) => "NodeBatch",
            Proposal::StageBody(_) => "StageBody",
            Proposal::CreateVersion(_) => "CreateVersion",
            Proposal::PutGroup(_) => "PutGroup",
            Proposal::DeleteGroup { .. } => "DeleteGroup",
            Proposal::CreateDispatch(_) => "CreateDispatch",
            Proposal::ExpandDispatch { .. } => "ExpandDispatch",
            Proposal::MarkDeliveries(_) => "MarkDeliveries",
            Proposal::CancelDispatch { .. } => "CancelDispatch",
            Proposal::ExpireDeliveries { .. } => "ExpireDeliveries",
            Proposal::PutToken { .. } => "PutToken",
            Proposal::Asked { .. } => "Asked",
            Proposal::NoteWallTime { .. } => "NoteWallTime",
            Proposal::TrimAudit { .. } => "TrimAudit",
            Proposal::NoteRead(_) => "NoteRead",
            Proposal::SetLabels(_) => "SetLabels",
            Proposal::ForgetAgent { .. } => "ForgetAgent",
            Proposal::Retention(_) => "Retention",
            Proposal::CreateVersionAfter { .. } => "CreateVersionAfter",
            Proposal::MoveRollout(_) => "MoveRollout",
            Proposal::ForgetFailures(_) => "ForgetFailures",
            Proposal::LiftQuarantine { .. } => "LiftQuarantine",
            Proposal::RevertGroup { .. } => "RevertGroup",
            Proposal::PutRolloutRules { .. } => "PutRolloutRules",
            Proposal::CreateToken { .. } => "CreateToken",
            Proposal::DeleteToken { .. } => "DeleteToken",
            Proposal::CreateEnrollmentToken { .. } => "CreateEnrollmentToken",
            Proposal::DeleteEnrollmentToken { .. } => "DeleteEnrollmentToken",
            Proposal::SweepTokens { .. } => "SweepTokens",
            Proposal::NoteSnapshot(_) => "NoteSnapshot",
            Proposal::LeaderStart { .. } => "LeaderStart",
            Proposal::Tick { .. } => "Tick",
            Proposal::DrainNode { .. } => "DrainNode",
            Proposal::LeaveNode { .. } => "LeaveNode",
            Proposal::AcquireLease { .. } => "AcquireLease",
            Proposal::ReleaseLease { .. } => "ReleaseLease",
            Proposal::UnderLease { .. } => "UnderLease",
            Proposal::PutPeer { .. } => "PutPeer",
            Proposal::CreateJoinToken { .. } => "CreateJoinToken",
            Proposal::RedeemJoinToken { .. } => "RedeemJoinToken",
            Proposal::RemoveNode { .. } => "RemoveNode",
            Proposal::SetFeatureLevel { .. } => "SetFeatureLevel",
            Proposal::SetMemberRole { .. } => "SetMemberRole",
            Proposal::TransferLeader { .. } => "TransferLeader",
        };
        write!(f, "{name} by {}", self.origin.actor)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => write!(f, "rejected: {rejection}"),
            Self::Done
            | Self::Registered { .. }
            | Self::Batch(_)
            | Self::Version { .. }
            | Self::Group { .. }
            | Self::Dispatch(_)
            | Self::Deliveries { .. }
            | Self::Removed { .. }
            | Self::Token(_)
            | Self::EnrollmentToken(_)
            | Self::Ticked { .. }
            | Self::Lease { .. }
            | Self::JoinToken(_)
            | Self::Joined { .. }
            | Self::LeaderAsked { .. } => f.write_str("done"),
        }
    }
}
