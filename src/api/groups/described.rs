//! What `/groups` takes and answers, for the document.

use http::Method;
use serde_json::json;

use super::preview::{Preview, PreviewQuery};
use super::shape::{DryDelete, GroupList, GroupShown};
use super::trial::ChangeQuery;
use super::{Form, ListQuery};
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
                 `version` it means the newest at this moment. A new group starts slowly. An agent belongs to the group of the highest priority \
                 that matches, then to the smallest name.",
            )
                .header("If-None-Match")
            .takes::<Form>(&json!({
                "selector": "env=prod",
                "priority": 10,
                "pace": "slow-start",
            }))
            .answers::<GroupShown>(200, "The group; with `dry_run` what it would become")
            .answers::<GroupShown>(201, "The new group")
            .may_have("ETag", TAG)
            .fails(&[
                Code::ConfigurationNotFound,
                Code::InvalidSelector,
                Code::VersionNotFound,
            ]),
        change(Method::DELETE, ONE, "delete_group", "Delete a group")
            .says("Its agents go to the next group that matches them.")
            .answers::<DryDelete>(200, "With `dry_run`: who would change")
            .answers_nothing(204, "It is gone"),
        Operation::get("/api/v1/groups/{name}/preview", "preview_group", "Who belongs and who would change")
            .says("For the group as it is, or as the query proposes it; also for one that is not there yet.")
            .query::<PreviewQuery>()
            .answers::<Preview>(200, "A page")
            .fails(&[
                Code::ConfigurationNotFound,
                Code::GroupNotFound,
                Code::InvalidSelector,
                Code::LimitReached,
                Code::ValidationFailed,
                Code::VersionNotFound,
            ]),
        change(
            Method::POST,
            "/api/v1/groups/{name}/quarantine/lift",
            "lift_quarantine",
            "Offer what is quarantined in the group again",
        )
        .says("To ten agents first.")
        .answers::<GroupShown>(200, "The group; with `dry_run` what it would become")
        .may_have("ETag", TAG)
        .fails(&[Code::NothingQuarantined]),
        change(
            Method::POST,
            "/api/v1/groups/{name}/revert",
            "revert_group",
            "Back to what was settled before",
        )
        .says("For every agent at once.")
        .answers::<GroupShown>(200, "The group; with `dry_run` what it would become")
        .may_have("ETag", TAG)
        .fails(&[Code::NothingToRevert]),
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
        .query::<ChangeQuery>()
        .header("If-Match")
        .fails(&[
            Code::TooManyAffected,
            Code::GroupNotFound,
            Code::InvalidParameter,
            Code::PreconditionFailed,
        ])
}
