//! `/configurations`: named containers of immutable versions.
//!
//! A version is made in two steps: its canonical bytes go to the log in parts, then one proposal makes the
//! version of them. Parts are safe to repeat and useless alone, so only the second step carries the key.

mod check;
mod described;
mod diff;
mod shape;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use ampora_proto::config::{self, Files};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{CreateVersion, Proposal, StageBody};
use ampora_raft::records::{Configuration, FileMeta, Version};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

pub(crate) use self::described::operations;
pub(crate) use self::diff::diff;

use self::shape::{ConfigurationList, Summary, VersionShown, VersionWithFiles};
use self::upload::Upload;
use super::Api;
use super::extract::{Params, Segments, Write};
use super::paging::{List, Page, take};
use super::precondition;
use super::problem::{Code, Problem};
use super::reject::{checked_name, refused, unreadable};

/// Bytes of one part: under the 256 KiB of an entry with room for what surrounds it.
const PART_BYTES: usize = 240 * 1024;

/// A page of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    r#continue: Option<String>,
}

/// `GET /configurations`.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<ConfigurationList>, Problem> {
    let page = Page::new(List::Configurations, query.limit.as_deref(), &[])?;
    let after = page
        .after(query.r#continue.as_deref())?
        .map(|key| String::from_utf8(key).map_err(|_| page.foreign()))
        .transpose()?;
    let view = api.backend.view();
    let (items, next) = take(view.fleet.configurations(after.as_deref()), &page, |item| {
        item.name.as_bytes()
    });
    Ok(Json(ConfigurationList {
        applied_index: view.applied_index,
        r#continue: next,
        items: items.into_iter().map(|item| Summary::of(item)).collect(),
    }))
}

fn find(api: &Api, name: &str) -> Result<(Arc<Configuration>, u64), Problem> {
    let view = api.backend.view();
    let found = view.fleet.configuration(name).cloned().ok_or_else(|| {
        Problem::new(
            Code::ConfigurationNotFound,
            format_args!("there is no configuration {name:?}"),
        )
    })?;
    Ok((found, view.applied_index))
}

/// `GET /configurations/{name}`: the summary and a page of its versions, newest first.
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    let (configuration, applied_index) = find(&api, &name)?;
    let page = Page::new(List::Versions, query.limit.as_deref(), &[Some(&name)])?;
    let before = match page.after(query.r#continue.as_deref())? {
        None => u32::MAX,
        Some(key) => u32::from_be_bytes(key.try_into().map_err(|_| page.foreign())?),
    };
    let older = configuration
        .versions
        .iter()
        .rev()
        .filter(|version| version.number < before || before == u32::MAX);
    let (versions, next) = take(older, &page, |version| version.number.to_be_bytes());
    let versions = versions
        .into_iter()
        .map(|version| VersionShown::of(&configuration.name, version))
        .collect();
    let answer = Summary::of(&configuration).with(versions, next, applied_index);
    Ok(tagged(StatusCode::OK, answer, configuration.newest))
}

/// An answer with the entity tag of its configuration: the number of the newest version.
fn tagged<T: Serialize>(status: StatusCode, answer: T, newest: u32) -> Response {
    let mut response = (status, Json(answer)).into_response();
    if let Some(tag) = precondition::tag(newest.into()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `GET /configurations/{name}/versions/{n}`, with the bytes as they were given. `newest` is a number too.
pub(crate) async fn version(
    State(api): State<Api>,
    Segments((name, number)): Segments<(String, String)>,
) -> Result<Json<VersionWithFiles>, Problem> {
    let (configuration, _) = find(&api, &name)?;
    let version = find_version(&configuration, &number, "/path/version")?;
    let files = read_files(&api, version).await?;
    let answer = VersionShown::of(&configuration.name, version).with(&files);
    Ok(Json(answer))
}

/// A version by its number or the word `newest`.
fn find_version<'a>(
    configuration: &'a Configuration,
    text: &str,
    pointer: &str,
) -> Result<&'a Arc<Version>, Problem> {
    let wanted = match text {
        "newest" => configuration.newest,
        text => text.parse::<u32>().map_err(|_| {
            Problem::at(
                Code::InvalidParameter,
                pointer,
                "a version is a number from 1 on, or the word newest",
            )
        })?,
    };
    let mut versions = configuration.versions.iter();
    let found = versions.find(|version| version.number == wanted);
    found.ok_or_else(|| {
        let name = &configuration.name;
        Problem::new(
            Code::VersionNotFound,
            format_args!("there is no version {wanted} of configuration {name:?}"),
        )
    })
}

/// The files of a version as they were given.
async fn read_files(api: &Api, version: &Version) -> Result<Files, Problem> {
    let stored = api
        .backend
        .read_body(version.hash)
        .await
        .map_err(|error| unreadable(&error))?;
    stored
        .and_then(|bytes| config::decode_files(Bytes::from(bytes)).ok())
        .ok_or_else(|| {
            tracing::error!(config.hash = %version.hash, "the body of a version is not whole");
            Problem::new(
                Code::Internal,
                "the stored body of this version is not whole",
            )
        })
}

/// The query of a new version whose body is raw bytes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateQuery {
    /// That no files or an empty body are meant.
    allow_empty: Option<bool>,
    /// What is new, for people: 512 bytes at most.
    #[param(max_length = 512)]
    comment: Option<String>,
}

/// `POST /configurations/{name}/versions`, and `PUT /configurations/{name}`, which says the same in the words of
/// "make it so": both take the same bodies and answer the version that has these bytes. `If-Match` names the
/// newest version that the caller saw.
pub(crate) async fn create(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    Params(query): Params<CreateQuery>,
    write: Write,
) -> Result<Response, Problem> {
    let name = checked_name(&name)?;
    let Upload {
        files,
        comment,
        allow_empty,
    } = Upload::parse(&write, query.comment, query.allow_empty)?;
    check::files(&files, allow_empty)?;
    let current = find(&api, &name).ok().map(|(known, _)| known.newest.into());
    let newest = precondition::revision(&write.headers, current)?;
    let hash = ampora_raft::ids::ConfigHash(config::hash(&files));
    let stored = api.backend.view().fleet.body(&hash).cloned();
    let is_whole = stored.is_some_and(|body| body.references > 0);
    if !is_whole {
        stage(&api, &write, hash, &files).await?;
    }
    let version = CreateVersion {
        configuration: Arc::clone(&name),
        hash,
        files: metas(&files),
        comment: Arc::from(comment),
    };
    let proposal = match newest {
        None => Proposal::CreateVersion(version),
        // a tag beyond the numbers of versions is never the newest one
        Some(newest) => Proposal::CreateVersionAfter {
            newest: u32::try_from(newest).unwrap_or(u32::MAX),
            version,
        },
    };
    let committed = write.ask(&api, proposal).await?;
    let Outcome::Version { version, created } = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = VersionShown::of(&name, &version);
    let newest = find(&api, &name).map_or(version.number, |(known, _)| known.newest);
    Ok(tagged(status, answer, newest))
}

/// Brings the canonical bytes into the log, part by part.
async fn stage(
    api: &Api,
    write: &Write,
    hash: ampora_raft::ids::ConfigHash,
    files: &Files,
) -> Result<(), Problem> {
    let whole = config::encode_files(files);
    let count = whole.len().div_ceil(PART_BYTES);
    let too_large = || Problem::new(Code::PayloadTooLarge, "the files are too large together");
    let parts = u16::try_from(count).map_err(|_| too_large())?;
    for part in 0..parts {
        let from = usize::from(part) * PART_BYTES;
        let proposal = Proposal::StageBody(StageBody {
            hash,
            part,
            parts,
            bytes: whole.slice(from..whole.len().min(from + PART_BYTES)),
        });
        let committed = api.backend.propose(write.step_origin(), proposal).await?;
        if committed.outcome != Outcome::Done {
            return Err(refused(committed.outcome));
        }
    }
    Ok(())
}

fn metas(files: &Files) -> Vec<FileMeta> {
    files
        .iter()
        .map(|file| FileMeta {
            name: Arc::from(file.name.as_str()),
            content_type: Arc::from(file.content_type.as_str()),
            size: u32::try_from(file.body.len()).unwrap_or(u32::MAX),
        })
        .collect()
}
