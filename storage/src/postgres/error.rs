//! What a write or a read may come to.

use tokio_postgres::error::SqlState;

/// Why the tables did not take or give something. Whether a transaction whose end failed was committed is unknown:
/// the cursor tells.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server, or the way to it.
    #[error("postgres did not do it")]
    Postgres(#[from] tokio_postgres::Error),
    /// Somebody wrote under a newer fence of this duty: nothing was changed.
    #[error("the lease `{name}` was held under a newer fence than {fence}")]
    StaleFence {
        /// The duty.
        name: &'static str,
        /// What was shown.
        fence: u64,
    },
    /// There is no partition at all that could take a row.
    #[error("agent_status_history has no partition")]
    NoPartition,
    /// A number that a column cannot hold.
    #[error("the number {0} is too large for a column")]
    Number(u64),
}

impl StoreError {
    /// What the server said, if it said something.
    pub fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::StaleFence { .. } | Self::NoPartition | Self::Number(_) => None,
        }
    }

    /// Whether the server refuses what was sent (classes 22 and 54), which it would again.
    pub(super) fn is_about_data(&self) -> bool {
        let code = self.state().map(SqlState::code);
        code.is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
    }
}

/// A number for a `bigint`.
pub(super) fn bigint(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Number(number))
}
