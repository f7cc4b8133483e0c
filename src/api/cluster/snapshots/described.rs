//! What `/cluster/snapshots` takes and answers, for the document.

use http::Method;
use serde_json::json;

use super::{Nothing, Snapshot};
use crate::api::cluster::NoQuery;
use crate::api::openapi::Operation;
use crate::api::problem::Code;

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::write(
            Method::POST,
            "/api/v1/cluster/snapshots",
            "take_snapshot",
            "Hold a consistent copy of everything, to be read as a backup",
        )
        .says("This node alone holds it, for some minutes. The same idempotency key names the same snapshot while it is held.")
        .query::<NoQuery>()
        .takes::<Nothing>(&json!({}))
        .answers::<Snapshot>(201, "The snapshot")
        .with("Location", "Where it is read."),
        Operation::get(
            "/api/v1/cluster/snapshots/{id}",
            "read_snapshot",
            "Read a snapshot as a backup",
        )
        .says("`ampora backup` checks and restores it. It holds hashes of tokens: keep it as you keep keys.")
        .query::<NoQuery>()
        .asks_the_log()
        .answers_as::<String>(200, "application/octet-stream", "The backup")
        .with("Content-Disposition", "A name for the file.")
        .fails(&[Code::SnapshotNotFound]),
    ]
}
