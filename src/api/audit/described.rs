//! What `/audit` takes and answers, for the document.

use super::verify::{Verdict, VerifyQuery};
use super::{ListQuery, Records};
use crate::api::openapi::Operation;

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/audit", "list_audit", "Who changed what, newest first")
            .says(
                "A page looks at 10000 records at most: with a filter it may have fewer items than `limit`, even none, \
                 and still a `continue`. A record that cannot be read is shown as damaged whatever the filter.",
            )
            .query::<ListQuery>()
            .answers::<Records>(200, "A page"),
        Operation::get("/api/v1/audit/verify", "verify_audit", "Whether the chain is whole")
            .says("Checks 20000 records at most; `continue` goes on from there.")
            .query::<VerifyQuery>()
            .answers::<Verdict>(200, "What was found"),
    ]
}
