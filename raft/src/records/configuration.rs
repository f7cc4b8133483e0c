//! Configurations: named containers of immutable versions. Bodies are rows, never in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::ConfigHash;

/// A named container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// `[a-z0-9][a-z0-9._-]{0,62}`.
    pub name: Arc<str>,
    /// Versions in order; numbers grow and are never reused.
    pub versions: Vec<Arc<Version>>,
    /// The number of the newest version ever made.
    pub newest: u32,
}

/// One immutable version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// The canonical hash over all files: what agents are offered.
    pub hash: ConfigHash,
    /// The files, sorted by name; their bytes are in the body of `hash`.
    pub files: Vec<FileMeta>,
    /// What the operator said about it, at most 512 bytes.
    pub comment: Arc<str>,
    /// Wall time, for people.
    pub created_ms: u64,
    /// Who.
    pub created_by: Arc<str>,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// The key in OpAMP's config map; may be empty.
    pub name: Arc<str>,
    /// The content type, may be empty.
    pub content_type: Arc<str>,
    /// Bytes of the file.
    pub size: u32,
}

/// What is known of a stored body: it comes in parts, and is whole when all have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyMeta {
    /// How many parts there are.
    pub parts: u16,
    /// Which have come: bit n is part n.
    pub present: u64,
    /// Bytes that have come.
    pub size: u32,
    /// Versions that refer to it; 0 while it is only uploaded.
    pub references: u32,
    /// Wall time of the first part, for the sweep of uploads that were never used.
    pub staged_ms: u64,
    /// Log index of the first part: the order in which unused uploads leave when there are too many.
    pub staged_index: u64,
}

/// A version by name, number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRef {
    /// The configuration.
    pub configuration: Arc<str>,
    /// The number.
    pub version: u32,
    /// Its hash.
    pub hash: ConfigHash,
}
