//! What `/configurations` takes and answers, for the document.

use http::Method;
use serde_json::json;

use super::diff::{DiffQuery, Differences};
use super::shape::{ConfigurationList, VersionShown, VersionWithFiles, Whole};
use super::upload::Form;
use super::{CreateQuery, ListQuery};
use crate::api::openapi::Operation;
use crate::api::problem::Code;

const ONE: &str = "/api/v1/configurations/{name}";
const TAG: &str = "The number of the newest version: what `If-Match` takes.";
const EXAMPLE: &str = "receivers:\n  otlp:\n    protocols:\n      grpc:\n";

/// The operations of this room.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/v1/configurations",
            "list_configurations",
            "Configurations, by name",
        )
        .query::<ListQuery>()
        .answers::<ConfigurationList>(200, "A page"),
        Operation::get(
            ONE,
            "show_configuration",
            "A configuration with a page of its versions",
        )
        .says("Newest first.")
        .query::<ListQuery>()
        .answers::<Whole>(200, "The configuration")
        .with("ETag", TAG)
        .fails(&[Code::ConfigurationNotFound]),
        Operation::get(
            "/api/v1/configurations/{name}/versions/{version}",
            "show_version",
            "A version with its bytes as they were given",
        )
        .answers::<VersionWithFiles>(200, "The version")
        .fails(&[
            Code::ConfigurationNotFound,
            Code::InvalidParameter,
            Code::VersionNotFound,
        ]),
        Operation::get(
            "/api/v1/configurations/{name}/diff",
            "diff_versions",
            "What differs between two versions",
        )
        .query::<DiffQuery>()
        .answers::<Differences>(200, "File by file")
        .fails(&[Code::ConfigurationNotFound, Code::VersionNotFound]),
        create(
            Method::PUT,
            ONE,
            "put_configuration",
            "Make these bytes the newest version",
        ),
        create(
            Method::POST,
            "/api/v1/configurations/{name}/versions",
            "create_version",
            "Make a version of these bytes",
        ),
    ]
}

/// Both words for the same.
fn create(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::write(method, path, id, summary)
        .says(
            "Bytes are kept as given and never change. The configuration is made when it is new. Bytes that a version \
             of it has answer that version. YAML syntax is checked for YAML content types alone; no files or an \
             empty body stops a collector and so needs `allow_empty`. 1 MiB in all files together.",
        )
        .query::<CreateQuery>()
        .takes::<Form>(&json!({
            "files": [{"name": "collector.yaml", "content_type": "text/yaml", "body": EXAMPLE}],
            "comment": "first",
        }))
        .takes_text("text/yaml", EXAMPLE)
        .answers::<VersionShown>(200, "The version that has these bytes")
        .answers::<VersionShown>(201, "The new version")
        .with("ETag", TAG)
        .header("If-Match")
        .header("If-None-Match")
        .fails(&[
            Code::PreconditionFailed,
            Code::BodyIncomplete,
            Code::EmptyConfiguration,
            Code::InvalidYaml,
        ])
}
