//! What is asked of errors when data is written: is it the data, or the way?

use tokio_postgres::error::SqlState;

use super::Error;

impl Error {
    /// What the server said, if it refused a query.
    pub(super) fn code(&self) -> Option<&SqlState> {
        if let Self::Query { code, .. } = self {
            Some(code)
        } else {
            None
        }
    }

    /// Whether the server refuses what was sent (classes 22 and 54), which it would again.
    pub(super) fn is_about_data(&self) -> bool {
        let code = self.code().map(SqlState::code);
        code.is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
    }
}

/// A number for a `bigint`.
pub(super) fn bigint(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Number(number))
}
