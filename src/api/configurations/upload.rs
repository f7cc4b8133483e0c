//! The two forms in which a version is given: raw YAML, or JSON with files.

use ampora_proto::config::{BODY_BYTES_MAX, File, Files, FilesError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::extract::Write;
use crate::api::problem::{Code, Problem};

/// Bytes of a comment.
const COMMENT_BYTES_MAX: usize = 512;

/// Media types of raw YAML; what is stored and offered to agents is always `text/yaml`.
const YAML: [&str; 4] = [
    "text/yaml",
    "application/yaml",
    "application/x-yaml",
    "text/x-yaml",
];

/// A version as given.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) files: Files,
    pub(super) comment: String,
    pub(super) allow_empty: bool,
}

/// A version with its files.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewVersion)]
pub(super) struct Form {
    files: Vec<FormFile>,
    /// What is new, for people: 512 bytes at most.
    #[serde(default)]
    #[schema(max_length = 512)]
    comment: String,
    /// That no files or an empty body are meant.
    #[serde(default)]
    allow_empty: bool,
}

/// A file: either `body` or `body_base64`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFile)]
struct FormFile {
    /// The key in OpAMP's config map; different in each file.
    #[serde(default)]
    name: String,
    /// Without it `text/yaml`.
    content_type: Option<String>,
    /// Text.
    body: Option<String>,
    /// Bytes that are not text.
    #[schema(format = Byte)]
    body_base64: Option<String>,
}

impl Upload {
    /// Reads either form.
    ///
    /// # Errors
    /// 415 for another content type, 4xx for what cannot be a version.
    pub(super) fn parse(
        write: &Write,
        comment: Option<String>,
        allow_empty: Option<bool>,
    ) -> Result<Upload, Problem> {
        let media = write.media_type();
        let upload = if YAML.contains(&&*media) {
            let file = File {
                name: String::new(),
                content_type: "text/yaml".to_owned(),
                body: write.body.clone(),
            };
            Upload {
                files: collect(vec![file])?,
                comment: comment.unwrap_or_default(),
                allow_empty: allow_empty.unwrap_or(false),
            }
        } else if media == "application/json" {
            let form: Form = write.json()?;
            let files = form.files.into_iter().enumerate();
            let files: Vec<File> = files
                .map(|(at, file)| file.read(at))
                .collect::<Result<_, _>>()?;
            Upload {
                files: collect(files)?,
                comment: comment.unwrap_or(form.comment),
                allow_empty: allow_empty.unwrap_or(form.allow_empty),
            }
        } else {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the bytes as text/yaml, or files as application/json",
            ));
        };
        if upload.comment.len() > COMMENT_BYTES_MAX {
            return Err(Problem::at(
                Code::ValidationFailed,
                "/comment",
                format_args!("a comment may have {COMMENT_BYTES_MAX} bytes"),
            ));
        }
        Ok(upload)
    }
}

impl FormFile {
    fn read(self, at: usize) -> Result<File, Problem> {
        let pointer = |field: &str| format!("/files/{at}/{field}");
        let body = match (self.body, self.body_base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(encoded)) => {
                let decoded = STANDARD.decode(encoded.as_bytes()).map_err(|error| {
                    Problem::at(Code::ValidationFailed, pointer("body_base64"), error)
                })?;
                Bytes::from(decoded)
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(Problem::at(
                    Code::ValidationFailed,
                    pointer("body"),
                    "a file has either body or body_base64",
                ));
            }
        };
        Ok(File {
            name: self.name,
            content_type: self.content_type.unwrap_or_else(|| "text/yaml".to_owned()),
            body,
        })
    }
}

fn collect(files: Vec<File>) -> Result<Files, Problem> {
    Files::new(files).map_err(|error| match error {
        FilesError::TooLarge => Problem::new(
            Code::PayloadTooLarge,
            format_args!("the files of a version may have {BODY_BYTES_MAX} bytes together"),
        ),
        FilesError::TooMany
        | FilesError::Duplicate(_)
        | FilesError::NameTooLong
        | FilesError::ContentTypeTooLong
        | FilesError::NotCanonical => Problem::at(Code::ValidationFailed, "/files", error),
    })
}
