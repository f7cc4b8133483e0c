//! How the answers of the log become problems: one exhaustive table, so that a new refusal of the fleet does
//! not compile before it has a code.

use std::sync::Arc;

use ampora_raft::outcome::{Outcome, Rejection};

use super::backend::{ClusterError, ProposeError};
use super::problem::{Code, Problem};

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        let code = match &rejection {
            Rejection::AlreadyFounded
            | Rejection::Fenced(_)
            | Rejection::Gap { .. }
            | Rejection::CursorMoved
            | Rejection::NotForOperators
            | Rejection::RolloutMoved(_)
            | Rejection::LeaseBusy { .. }
            | Rejection::StaleLease(_)
            | Rejection::NotUnderLease
            | Rejection::NodeDraining(_)
            | Rejection::JoinTokenUnknown
            | Rejection::JoinTokenExpired
            | Rejection::JoinTokenSpent
            | Rejection::NodeIdTaken(_)
            | Rejection::PeerKeyTaken(_) => Code::Internal,
            Rejection::UnknownNode(_) => Code::NodeNotFound,
            Rejection::LevelTooHigh { .. } | Rejection::LevelTooLow { .. } => Code::LevelRefused,
            Rejection::BodyIncomplete(_) | Rejection::BodyMismatch(_) => Code::BodyIncomplete,
            Rejection::KeyReused => Code::IdempotencyKeyReused,
            Rejection::LacksCapability => Code::LacksCapability,
            Rejection::LimitReached { .. } => Code::LimitReached,
            Rejection::NothingQuarantined(_) => Code::NothingQuarantined,
            Rejection::NothingToRevert(_) => Code::NothingToRevert,
            Rejection::RevisionMismatch { .. } => Code::PreconditionFailed,
            Rejection::SelectorMissing => Code::ValidationFailed,
            Rejection::TooLarge(_) => Code::PayloadTooLarge,
            Rejection::UnknownAgent(_) => Code::AgentNotFound,
            Rejection::UnknownConfiguration(_) => Code::ConfigurationNotFound,
            Rejection::UnknownDispatch(_) => Code::DispatchNotFound,
            Rejection::UnknownGroup(_) => Code::GroupNotFound,
            Rejection::UnknownVersion { .. } => Code::VersionNotFound,
            Rejection::AgentConnected(_) => Code::AgentConnected,
            Rejection::UnknownToken(_) => Code::TokenNotFound,
            Rejection::TokenExists(_) => Code::Internal,
            Rejection::LastAdminToken => Code::LastAdminToken,
        };
        Problem::new(code, rejection)
    }
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Problem {
        let code = match error {
            ClusterError::Log(error) => return error.into(),
            ClusterError::Door(_) => Code::PeerDoorClosed,
            ClusterError::Token(_) => Code::ValidationFailed,
            ClusterError::Refused(_) => Code::JoinRefused,
            ClusterError::Unreachable(_) => Code::PeerUnreachable,
            ClusterError::Failed(_) => Code::Internal,
        };
        Problem::new(code, error)
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Problem {
        let code = match &error {
            ProposeError::NotLeader { .. } => Code::NotLeader,
            ProposeError::Overloaded => Code::Overloaded,
            ProposeError::OutcomeUnknown => Code::OutcomeUnknown,
            ProposeError::Stopped => Code::NodeStopping,
            ProposeError::Unavailable(_) => Code::Unavailable,
        };
        Problem::new(code, error)
    }
}

/// What an outcome other than the one asked for means: a refusal of the fleet, or a fault of ours.
pub(crate) fn refused(outcome: Outcome) -> Problem {
    if let Outcome::Rejected(rejection) = outcome {
        return rejection.into();
    }
    tracing::error!(?outcome, "the fleet answered something else than was asked");
    Problem::new(
        Code::Internal,
        "the fleet answered something else than was asked",
    )
}

/// A stored body or file that could not be read.
pub(crate) fn unreadable(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "failed to read a stored body");
    Problem::new(Code::Internal, "a stored body could not be read")
}

/// Checks a name of a configuration or group.
///
/// # Errors
/// The name does not match `[a-z0-9][a-z0-9._-]{0,62}`.
pub(crate) fn checked_name(name: &str) -> Result<Arc<str>, Problem> {
    let first = name.bytes().next();
    let starts = first.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest = name.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    });
    if starts && rest && name.len() <= NAME_BYTES_MAX {
        return Ok(Arc::from(name));
    }
    Err(Problem::at(
        Code::ValidationFailed,
        "/path/name",
        "a name has 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit",
    ))
}

/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_the_contract() {
        for good in ["a", "0", "edge-1.2_x", &"a".repeat(63)] {
            assert!(checked_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a/b", "ä", &"a".repeat(64)] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_have_happened_is_never_called_safe() {
        let problem = Problem::from(ProposeError::OutcomeUnknown);
        assert_eq!(problem.code().may_have_taken_effect(), "unknown");
        let problem = Problem::from(ProposeError::Unavailable("no quorum".to_owned()));
        assert_eq!(problem.code().may_have_taken_effect(), "no");
    }
}
