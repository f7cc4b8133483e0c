//! Who may ask for a proposal, and from which feature level on.

use super::Proposal;

/// Who may ask for a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Operators: what it changes leaves an audit record.
    Operator,
    /// Operators, as a step towards a proposal that leaves the record.
    Step,
    /// Nodes alone.
    System,
}

impl Proposal {
    /// Who may ask for it. Every new proposal is one or the other.
    pub fn asker(&self) -> Asker {
        match self {
            Self::CreateVersion(_)
            | Self::PutGroup(_)
            | Self::DeleteGroup { .. }
            | Self::CreateDispatch(_)
            | Self::CancelDispatch { .. }
            | Self::PutToken { .. }
            | Self::NoteRead(_)
            | Self::SetLabels(_)
            | Self::ForgetAgent { .. }
            | Self::CreateVersionAfter { .. }
            | Self::LiftQuarantine { .. }
            | Self::RevertGroup { .. }
            | Self::CreateToken { .. }
            | Self::DeleteToken { .. }
            | Self::CreateEnrollmentToken { .. }
            | Self::DeleteEnrollmentToken { .. }
            | Self::NoteSnapshot(_)
            | Self::CreateJoinToken { .. }
            | Self::RemoveNode { .. }
            | Self::SetFeatureLevel { .. }
            | Self::SetMemberRole { .. }
            | Self::TransferLeader { .. } => Asker::Operator,
            Self::StageBody(_) => Asker::Step,
            Self::Found { .. }
            | Self::RegisterNode(_)
            | Self::NodeBatch(_)
            | Self::ExpandDispatch { .. }
            | Self::MarkDeliveries(_)
            | Self::ExpireDeliveries { .. }
            | Self::Asked { .. }
            | Self::NoteWallTime { .. }
            | Self::TrimAudit { .. }
            | Self::Retention(_)
            | Self::MoveRollout(_)
            | Self::ForgetFailures(_)
            | Self::PutRolloutRules { .. }
            | Self::SweepTokens { .. }
            | Self::LeaderStart { .. }
            | Self::Tick { .. }
            | Self::DrainNode { .. }
            | Self::LeaveNode { .. }
            | Self::AcquireLease { .. }
            | Self::ReleaseLease { .. }
            | Self::UnderLease { .. }
            | Self::PutPeer { .. }
            | Self::RedeemJoinToken { .. } => Asker::System,
        }
    }

    /// The feature level from which on every voter can apply it: below that level nobody may propose it.
    pub fn level(&self) -> u16 {
        match self {
            Self::Asked { proposal, .. } => proposal.level(),
            Self::UnderLease { proposal, .. } => proposal.level().max(2),
            Self::CreateVersion(_)
            | Self::PutGroup(_)
            | Self::DeleteGroup { .. }
            | Self::CreateDispatch(_)
            | Self::CancelDispatch { .. }
            | Self::PutToken { .. }
            | Self::NoteRead(_)
            | Self::SetLabels(_)
            | Self::ForgetAgent { .. }
            | Self::CreateVersionAfter { .. }
            | Self::LiftQuarantine { .. }
            | Self::RevertGroup { .. }
            | Self::CreateToken { .. }
            | Self::DeleteToken { .. }
            | Self::CreateEnrollmentToken { .. }
            | Self::DeleteEnrollmentToken { .. }
            | Self::NoteSnapshot(_)
            | Self::SetFeatureLevel { .. }
            | Self::StageBody(_)
            | Self::Found { .. }
            | Self::RegisterNode(_)
            | Self::NodeBatch(_)
            | Self::ExpandDispatch { .. }
            | Self::MarkDeliveries(_)
            | Self::ExpireDeliveries { .. }
            | Self::NoteWallTime { .. }
            | Self::TrimAudit { .. }
            | Self::Retention(_)
            | Self::MoveRollout(_)
            | Self::ForgetFailures(_)
            | Self::PutRolloutRules { .. }
            | Self::SweepTokens { .. } => 1,
            Self::CreateJoinToken { .. }
            | Self::RemoveNode { .. }
            | Self::LeaderStart { .. }
            | Self::Tick { .. }
            | Self::DrainNode { .. }
            | Self::LeaveNode { .. }
            | Self::AcquireLease { .. }
            | Self::ReleaseLease { .. }
            | Self::PutPeer { .. }
            | Self::RedeemJoinToken { .. } => 2,
            Self::SetMemberRole { .. } | Self::TransferLeader { .. } => 3,
        }
    }
}
