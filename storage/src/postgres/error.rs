//! Why Postgres does not do what it was asked, for operators. No text repeats a URL or a password.

use std::io;
use std::path::PathBuf;

use tokio_postgres::error::{DbError, SqlState};

/// Why something in Postgres did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL cannot be used.
    #[error("the URL of Postgres cannot be used: {0}")]
    Url(String),
    /// The file of authorities cannot be used.
    #[error("the authorities of sslrootcert, {}, cannot be used", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS cannot be spoken at all.
    #[error("TLS to Postgres cannot be set up")]
    TlsSettings(#[source] rustls::Error),
    /// Nobody answers there, or the connection broke.
    #[error("Postgres at {server} is away")]
    Away {
        /// Where.
        server: String,
        /// What is known of it.
        source: tokio_postgres::Error,
    },
    /// The server is there and does not let us in: user, password, database or its own rules.
    #[error("Postgres at {server} lets nobody in with this URL: {says}")]
    Refused {
        /// Where.
        server: String,
        /// In its own words.
        says: String,
    },
    /// TLS was refused by one of the two sides.
    #[error("TLS to Postgres at {server} fails")]
    Tls {
        /// Where.
        server: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// No answer in time.
    #[error("Postgres at {server} has not answered within {seconds} s ({what})")]
    Timeout {
        /// Where.
        server: String,
        /// The query, or `connect`.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// Every connection of the pool is in use.
    #[error("all {size} connections to Postgres at {server} are in use (`postgres.max_pool_size`)")]
    Full {
        /// Where.
        server: String,
        /// How many there are.
        size: usize,
    },
    /// A query was refused.
    #[error("the query {name} was refused: {says}")]
    Query {
        /// Which.
        name: &'static str,
        /// In the words of the server.
        says: String,
        /// SQLSTATE.
        code: SqlState,
    },
    /// An answer or a parameter was not of the expected type.
    #[error("the query {name} does not fit the schema")]
    Misfit {
        /// Which.
        name: &'static str,
        /// Where.
        source: tokio_postgres::Error,
    },
    /// A query that always has a row had none.
    #[error("the query {name} was answered with nothing")]
    Empty {
        /// Which.
        name: &'static str,
    },
    /// The schema belongs to a newer binary.
    #[error(
        "the schema in Postgres has version {found}, this binary knows up to {known}: a newer Ampora has migrated it"
    )]
    SchemaNewer {
        /// The version that is there.
        found: u32,
        /// The newest that this binary knows.
        known: u32,
    },
    /// The schema has to be migrated first.
    #[error(
        "the schema in Postgres has version {found}, this binary needs {known}: run `ampora migrate`"
    )]
    SchemaOlder {
        /// The version that is there; 0 is none.
        found: u32,
        /// What this binary needs.
        known: u32,
    },
    /// A pooler stands between, which gives every transaction another backend.
    #[error(
        "Postgres at {server} is behind a pooler in transaction mode, through which a migration cannot hold its lock: \
         run `ampora migrate` with a `postgres.url` that leads to the server itself"
    )]
    Pooled {
        /// Where.
        server: String,
    },
    /// Another migration is under way and does not come to its end.
    #[error("another node is migrating Postgres at {server}")]
    Migrating {
        /// Where.
        server: String,
    },
    /// A migration failed; those before it have been applied.
    #[error("Postgres at {server} cannot be migrated")]
    Migration {
        /// Where.
        server: String,
        /// Which, and why.
        source: Box<refinery::Error>,
    },
    /// A cursor stands before where it stood: an older copy of the database. Nothing was changed.
    #[error("Postgres has less than it had: `{cursor}` stands at {found}, it was at {known}")]
    SetBack {
        /// Of which stream.
        cursor: String,
        /// Where it was.
        known: u64,
        /// Where it is.
        found: u64,
    },
    /// Somebody wrote under a newer fence of this duty: nothing was changed.
    #[error("the lease `{name}` was held under a newer fence than {fence}")]
    StaleFence {
        /// The duty.
        name: &'static str,
        /// What was shown.
        fence: u64,
    },
    /// No partition can take a row.
    #[error("agent_status_history has no partition")]
    NoPartition,
    /// A number that no column can hold.
    #[error("the number {0} is too large for a column")]
    Number(u64),
}

impl Error {
    /// Whether the same may work later without anybody changing anything: the server is away, busy or being replaced.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Away { .. }
            | Self::Timeout { .. }
            | Self::Full { .. }
            | Self::Migrating { .. } => true,
            Self::Query { code, .. } => is_passing(code),
            Self::Url(_)
            | Self::Authorities { .. }
            | Self::TlsSettings(_)
            | Self::Refused { .. }
            | Self::Tls { .. }
            | Self::Empty { .. }
            | Self::SchemaNewer { .. }
            | Self::SchemaOlder { .. }
            | Self::Pooled { .. }
            | Self::Migration { .. }
            | Self::Misfit { .. }
            | Self::StaleFence { .. }
            | Self::SetBack { .. }
            | Self::NoPartition
            | Self::Number(_) => false,
        }
    }

    /// The whole chain of reasons in one line.
    pub fn reason(&self) -> String {
        chain(self)
    }

    /// Why a connection could not be made.
    pub(super) fn connecting(server: &str, error: tokio_postgres::Error) -> Self {
        let server = server.to_owned();
        if let Some(says) = error.as_db_error() {
            if is_passing(says.code()) {
                return Self::Away {
                    server,
                    source: error,
                };
            }
            let says = in_words(says);
            return Self::Refused { server, says };
        }
        // the library tells kinds by their texts alone
        match error.to_string().as_str() {
            "error performing TLS handshake" => Self::Tls {
                server,
                source: error,
            },
            // the second is a password that the URL does not have
            "authentication error" | "invalid configuration" => Self::Refused {
                server,
                says: chain(&error),
            },
            _ => Self::Away {
                server,
                source: error,
            },
        }
    }

    /// Why a query did not work.
    pub(super) fn querying(name: &'static str, server: &str, error: tokio_postgres::Error) -> Self {
        if let Some(says) = error.as_db_error() {
            let code = says.code().clone();
            let says = in_words(says);
            return Self::Query { name, says, code };
        }
        let text = error.to_string();
        if text.starts_with("error communicating") || error.is_closed() {
            return Self::Away {
                server: server.to_owned(),
                source: error,
            };
        }
        Self::Misfit {
            name,
            source: error,
        }
    }

    /// Whether the connection is of no use after this.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Away { .. } | Self::Timeout { .. } | Self::Misfit { .. } => true,
            // a primary that has become a replica goes on to answer, and never accepts a word again
            Self::Query { code, .. } => {
                *code == SqlState::READ_ONLY_SQL_TRANSACTION || code.code().starts_with("57P")
            }
            Self::Url(_)
            | Self::Authorities { .. }
            | Self::TlsSettings(_)
            | Self::Refused { .. }
            | Self::Tls { .. }
            | Self::Empty { .. }
            | Self::SchemaNewer { .. }
            | Self::SchemaOlder { .. }
            | Self::Pooled { .. }
            | Self::Migration { .. }
            | Self::Migrating { .. }
            | Self::Full { .. }
            | Self::StaleFence { .. }
            | Self::SetBack { .. }
            | Self::NoPartition
            | Self::Number(_) => false,
        }
    }
}

/// Classes of SQLSTATE that pass: connections, resources, shutdown and start, conflicts with others, and a primary that
/// is a replica for the moment. A query that ran too long is among them: the server is slow.
fn is_passing(code: &SqlState) -> bool {
    let passing = ["08", "53", "57", "58", "40"];
    passing.iter().any(|class| code.code().starts_with(class))
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}

/// What the server says, in one line.
fn in_words(error: &DbError) -> String {
    let mut text = format!("{} ({})", error.message(), error.code().code());
    if let Some(hint) = error.hint() {
        text = format!("{text}; {hint}");
    }
    text.replace('\n', " ")
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
