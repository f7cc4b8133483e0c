//! What `/groups` takes and answers, for the document.

use http::Method;
use serde_json::json;

use super::shape::{GroupList, GroupShown};
use super::{Form, ListQuery, PutQuery};
use crate::api::openapi::Operation;
use crate::api::problem::Code;

const ALL: &str = "/api/v1/groups";
const ONE: &str = "/api/v1/groups/{name}";
const TAG: &str = "What `If-Match` takes.";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(ALL, "list_groups", "Groups, by name")
            .query::<ListQuery>()
            .answers::<GroupList>(200, "A page"),
        Operation::get(ONE, "show_group", "One group with its live numbers")
            .answers::<GroupShown>(200, "The group")
            .with("ETag", TAG)
            .fails(&[Code::GroupNotFound, Code::InvalidParameter]),
        change(Method::PUT, ONE, "put_group", "Make or change a group")
            .says(
                "What the body does not name stays as it is; `\"configuration\": null` assigns nothing, without \
                 `version` it means the newest at this moment. An agent belongs to the group of the highest priority \
                 that matches, then to the smallest name.",
            )
            .query::<PutQuery>()
            .header("If-None-Match")
            .takes::<Form>(&json!({
                "selector": "env=prod",
                "priority": 10,
                "pace": "all-at-once",
            }))
            .answers::<GroupShown>(200, "The group; with `dry_run` what it would become")
            .answers::<GroupShown>(201, "The new group")
            .may_have("ETag", TAG)
            .fails(&[
                Code::ConfigurationNotFound,
                Code::InvalidSelector,
                Code::PaceNotAvailable,
                Code::TooManyAffected,
                Code::VersionNotFound,
            ]),
        change(Method::DELETE, ONE, "delete_group", "Delete a group")
            .says("Its agents go to the next group that matches them.")
            .answers_nothing(204, "It is gone"),
    ]
}

/// A change of one group.
fn change(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::write(method, path, id, summary)
        .header("If-Match")
        .fails(&[
            Code::GroupNotFound,
            Code::InvalidParameter,
            Code::PreconditionFailed,
        ])
}
