//! `CreateVersion`: a new immutable version over a body that is whole. Old bytes again are the old version.

use std::sync::Arc;

use super::audit::Json;
use super::context::{Context, short};
use super::limits::{
    CONFIGURATIONS_MAX, DETAIL_BYTES_MAX, FILE_NAMES_BYTES_MAX, FILES_MAX, KEY_BYTES_MAX,
    VERSION_LIST_BYTES_MAX, VERSIONS_MAX,
};
use super::{Fleet, limit_reached};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::CreateVersion;
use crate::records::{BodyMeta, Configuration, FileMeta, Version};

impl Fleet {
    /// The same for a proposer that saw which version is the newest.
    pub(super) fn create_version_after(
        &mut self,
        cx: &mut Context<'_>,
        newest: u32,
        given: &CreateVersion,
    ) -> Result<Outcome, Rejection> {
        let known = self.configurations.get(&given.configuration);
        let current = known.map_or(0, |known| known.newest);
        if current != newest {
            return Err(Rejection::RevisionMismatch {
                current: current.into(),
                expected: newest.into(),
            });
        }
        self.create_version(cx, given)
    }

    pub(super) fn create_version(
        &mut self,
        cx: &mut Context<'_>,
        given: &CreateVersion,
    ) -> Result<Outcome, Rejection> {
        check(given)?;
        let known = self.configurations.get(&given.configuration).cloned();
        if let Some(known) = &known
            && let Some(version) = known.versions.iter().find(|old| old.hash == given.hash)
        {
            return Ok(Outcome::Version {
                version: Arc::clone(version),
                created: false,
            });
        }
        let body = match self.bodies.get(&given.hash) {
            Some(body) if body.is_whole() => (**body).clone(),
            Some(_) | None => return Err(Rejection::BodyIncomplete(given.hash)),
        };
        let mut configuration = match known {
            Some(known) => Arc::unwrap_or_clone(known),
            None if self.configurations.len() >= CONFIGURATIONS_MAX => {
                return Err(limit_reached("configurations", CONFIGURATIONS_MAX));
            }
            None => Configuration {
                name: Arc::clone(&given.configuration),
                versions: Vec::new(),
                newest: 0,
            },
        };
        let number = next_number(&configuration)?;
        let version = Arc::new(Version {
            number,
            hash: given.hash,
            files: given.files.clone(),
            comment: Arc::clone(&given.comment),
            created_ms: cx.wall_ms,
            created_by: Arc::clone(cx.actor),
        });
        let listed = configuration
            .versions
            .iter()
            .map(|old| version_bytes(old))
            .sum::<usize>();
        if listed + version_bytes(&version) > VERSION_LIST_BYTES_MAX {
            return Err(limit_reached(
                "bytes of a version list",
                VERSION_LIST_BYTES_MAX,
            ));
        }
        cx.audit(
            "version.create",
            &format_args!("{}@{number}", configuration.name),
            Json::Null,
            Json::from(&*version),
        );
        configuration.versions.push(Arc::clone(&version));
        configuration.newest = number;
        let references = body.references.saturating_add(1);
        self.put_body(cx, given.hash, BodyMeta { references, ..body });
        self.put_configuration(cx, configuration);
        Ok(Outcome::Version {
            version,
            created: true,
        })
    }
}

fn check(given: &CreateVersion) -> Result<(), Rejection> {
    short(&given.configuration, KEY_BYTES_MAX, "name")?;
    short(&given.comment, DETAIL_BYTES_MAX, "comment")?;
    if given.files.len() > FILES_MAX {
        return Err(Rejection::TooLarge("number of files".into()));
    }
    if files_bytes(&given.files) > FILE_NAMES_BYTES_MAX {
        return Err(Rejection::TooLarge("names of files".into()));
    }
    Ok(())
}

fn next_number(configuration: &Configuration) -> Result<u32, Rejection> {
    let full = || limit_reached("versions", VERSIONS_MAX);
    if configuration.versions.len() >= VERSIONS_MAX {
        return Err(full());
    }
    configuration.newest.checked_add(1).ok_or_else(full)
}

/// Bytes of an encoded list of files, at most.
fn files_bytes(files: &[FileMeta]) -> usize {
    files
        .iter()
        .map(|file| file.name.len() + file.content_type.len() + 27)
        .sum()
}

/// Bytes of an encoded version, at most: four numbers, a hash, two texts, the files.
fn version_bytes(version: &Version) -> usize {
    90 + version.comment.len() + version.created_by.len() + files_bytes(&version.files)
}
