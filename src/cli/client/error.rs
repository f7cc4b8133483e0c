//! Why a command for a running node did not do what it was asked, in words that say what to do next.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::trust::TrustError;

/// Why a command for a running node failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A file that was named cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is there that was to be made.
    #[error("{} exists: --force replaces it", .0.display())]
    Exists(PathBuf),
    /// A backup is no use for what was asked.
    #[error("cannot {doing} {}", path.display())]
    Backup {
        /// What was asked.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No connection.
    #[error(
        "cannot reach {url}: {reason}\n\
         hint: is a node running there? start one with `ampora serve`, or name another with --url or AMPORA_URL"
    )]
    Unreachable {
        /// The base address.
        url: String,
        /// Why.
        reason: String,
    },
    /// Somebody is there, and is not known to be the one that was meant.
    #[error(
        "{url} shows a certificate that is not trusted: {reason}\n\
         hint: name the authority that signed it with --ca-file or AMPORA_CA_FILE"
    )]
    Untrusted {
        /// The base address.
        url: String,
        /// Why.
        reason: String,
    },
    /// TLS cannot be spoken with the files given.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The connection broke or the answer came too late.
    #[error("no answer from {url}: {reason}{}", lost_hint(*.is_change))]
    Lost {
        /// The base address.
        url: String,
        /// Why.
        reason: String,
        /// Whether the request asked for a change.
        is_change: bool,
    },
    /// What answered does not speak as the REST API does.
    #[error(
        "{url} answered {status} in a way that no node does: {reason}\n\
         hint: name the admin address of a node (`admin.listen`) with --url or AMPORA_URL"
    )]
    Foreign {
        /// The whole address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What was wrong.
        reason: String,
    },
    /// The node wants a token, and none was found.
    #[error(
        "{url} wants a token, and none was found:\n  {}\n\
         hint: give one with --token or AMPORA_TOKEN, or run this where the data directory of the node is",
        looked.join("\n  ")
    )]
    NoToken {
        /// The base address.
        url: String,
        /// Where it was looked for.
        looked: Vec<String>,
    },
    /// The node refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Instructions that did not succeed everywhere.
    #[error("{0}")]
    Undelivered(String),
    /// The chain of audit records is not whole.
    #[error("{0}")]
    Audit(String),
    /// The node says that it cannot serve.
    #[error("the node is not ready")]
    NotReady,
    /// A person stopped it.
    #[error("interrupted{0}")]
    Interrupted(String),
    /// An answer that cannot be written as YAML.
    #[error("cannot write the answer as YAML: {0}")]
    Yaml(String),
}

fn lost_hint(is_change: bool) -> &'static str {
    if is_change {
        "\nhint: the change may have been made: look before you repeat it"
    } else {
        ""
    }
}

impl ClientError {
    /// What was wrong with a backup.
    pub(super) fn backup(
        doing: &'static str,
        path: &Path,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Backup {
            doing,
            path: path.to_owned(),
            source: Box::new(error),
        }
    }

    /// Whether it is the fault of what was typed.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    /// Whether asking again later may help a reader that waits for something.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused(problem) => problem.retryable,
            Self::Usage(_)
            | Self::File { .. }
            | Self::Untrusted { .. }
            | Self::Trust(_)
            | Self::Write { .. }
            | Self::Exists(_)
            | Self::Backup { .. }
            | Self::Foreign { .. }
            | Self::NoToken { .. }
            | Self::Undelivered(_)
            | Self::Audit(_)
            | Self::NotReady
            | Self::Interrupted(_)
            | Self::Yaml(_) => false,
        }
    }
}
