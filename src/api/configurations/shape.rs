//! Configurations and versions as REST shows them.

use std::sync::Arc;

use ampora_proto::config;
use ampora_raft::records::{Configuration, FileMeta, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::rfc3339;

/// A page of configurations, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigurationList {
    pub(super) applied_index: u64,
    pub(super) r#continue: Option<String>,
    pub(super) items: Vec<Summary>,
}

/// A configuration without its versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigurationSummary)]
pub(crate) struct Summary {
    /// The hash of the newest version.
    hash: Option<String>,
    name: Arc<str>,
    /// The number of the newest version.
    newest: u32,
    updated_at: Option<String>,
    /// The name of a token.
    updated_by: Option<Arc<str>>,
    versions_count: usize,
}

/// A configuration with a page of its versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Configuration)]
pub(crate) struct Whole {
    applied_index: u64,
    r#continue: Option<String>,
    /// The hash of the newest version.
    hash: Option<String>,
    name: Arc<str>,
    /// The number of the newest version.
    newest: u32,
    updated_at: Option<String>,
    /// The name of a token.
    updated_by: Option<Arc<str>>,
    versions: Vec<VersionShown>,
    versions_count: usize,
}

/// A version without its bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct VersionShown {
    comment: Arc<str>,
    created_at: String,
    /// The name of a token.
    created_by: Arc<str>,
    files: Vec<FileShown>,
    /// What agents are offered and report: one number.
    hash: String,
    name: Arc<str>,
    version: u32,
}

/// A file without its bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = File)]
pub(crate) struct FileShown {
    content_type: Arc<str>,
    name: Arc<str>,
    /// Bytes.
    size: u32,
}

/// A version with its bytes as they were given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionWithFiles {
    comment: Arc<str>,
    created_at: String,
    /// The name of a token.
    created_by: Arc<str>,
    files: Vec<FileWithBody>,
    /// What agents are offered and report: one number.
    hash: String,
    name: Arc<str>,
    version: u32,
}

/// A file with its bytes: text where they are, else base64.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileWithBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body_base64: Option<String>,
    content_type: String,
    name: String,
    /// Bytes.
    size: usize,
}

impl Summary {
    pub(super) fn of(configuration: &Configuration) -> Summary {
        let newest = configuration
            .versions
            .iter()
            .find(|version| version.number == configuration.newest)
            .or(configuration.versions.last());
        Summary {
            hash: newest.map(|version| version.hash.to_string()),
            name: configuration.name.clone(),
            newest: configuration.newest,
            updated_at: newest.map(|version| rfc3339(version.created_ms)),
            updated_by: newest.map(|version| version.created_by.clone()),
            versions_count: configuration.versions.len(),
        }
    }

    /// The same with a page of its versions.
    pub(super) fn with(
        self,
        versions: Vec<VersionShown>,
        r#continue: Option<String>,
        applied_index: u64,
    ) -> Whole {
        Whole {
            applied_index,
            r#continue,
            hash: self.hash,
            name: self.name,
            newest: self.newest,
            updated_at: self.updated_at,
            updated_by: self.updated_by,
            versions,
            versions_count: self.versions_count,
        }
    }
}

impl VersionShown {
    pub(super) fn of(name: &Arc<str>, version: &Version) -> VersionShown {
        VersionShown {
            comment: version.comment.clone(),
            created_at: rfc3339(version.created_ms),
            created_by: version.created_by.clone(),
            files: version.files.iter().map(FileShown::of).collect(),
            hash: version.hash.to_string(),
            name: name.clone(),
            version: version.number,
        }
    }

    /// The same with bytes.
    pub(super) fn with(self, files: &config::Files) -> VersionWithFiles {
        VersionWithFiles {
            comment: self.comment,
            created_at: self.created_at,
            created_by: self.created_by,
            files: files.iter().map(FileWithBody::of).collect(),
            hash: self.hash,
            name: self.name,
            version: self.version,
        }
    }
}

impl FileShown {
    fn of(file: &FileMeta) -> FileShown {
        FileShown {
            content_type: file.content_type.clone(),
            name: file.name.clone(),
            size: file.size,
        }
    }
}

impl FileWithBody {
    fn of(file: &config::File) -> FileWithBody {
        let (body, body_base64) = match std::str::from_utf8(&file.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&file.body))),
        };
        FileWithBody {
            body,
            body_base64,
            content_type: file.content_type.clone(),
            name: file.name.clone(),
            size: file.body.len(),
        }
    }
}
