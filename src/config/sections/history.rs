//! `postgres.*`, `history.*`, `audit.*` and `live.*`: what is kept of the past, and how the present is told.

use std::{path::PathBuf, time::Duration};

use ampora_storage::postgres::connect::check_url;

use crate::config::{
    Secret,
    given::Given,
    key::{Effect, Key, Shown},
};

/// A hundred years, in days.
const RETENTION_DAYS_MAX: u32 = 36_500;

/// Smallest spool that holds a minute of a fleet of 10 000 agents.
const SPOOL_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// How a connection to Postgres is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all.
    Disable,
    /// Encrypted; the server is not checked.
    Require,
    /// Encrypted; the server has a certificate of a known authority.
    VerifyCa,
    /// Encrypted; the certificate is of a known authority and names the host.
    VerifyFull,
}

/// Every spelling of `postgres.tls`.
pub(crate) const POSTGRES_TLS: [(&str, PostgresTls); 4] = [
    ("disable", PostgresTls::Disable),
    ("require", PostgresTls::Require),
    ("verify-ca", PostgresTls::VerifyCa),
    ("verify-full", PostgresTls::VerifyFull),
];

/// The external history store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Where history is written; `None` keeps it embedded.
    pub url: Option<Secret<String>>,
    /// The file that `url` came from.
    pub url_file: Option<PathBuf>,
    /// Where history is read, when that is another server.
    pub read_url: Option<Secret<String>>,
    /// The file that `read_url` came from.
    pub read_url_file: Option<PathBuf>,
    /// Connections of this node.
    pub max_pool_size: u32,
    /// `None` is verify-full off loopback.
    pub tls: Option<PostgresTls>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            read_url: None,
            read_url_file: None,
            max_pool_size: 20,
            tls: None,
        }
    }
}

/// The status history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Cap of the node-local spool.
    pub spool_max_bytes: u64,
    /// Days after which history goes.
    pub retention_days: u32,
}

impl Default for History {
    fn default() -> Self {
        Self {
            spool_max_bytes: 1024 * 1024 * 1024,
            retention_days: 30,
        }
    }
}

/// The audit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Days after which audit records go.
    pub retention_days: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            retention_days: 365,
        }
    }
}

/// The live stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Window in which changes are coalesced.
    pub coalesce: Duration,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            coalesce: Duration::from_millis(250),
        }
    }
}

/// Checks a connection URL without ever repeating it: it may hold a password.
fn checked_url(secret: Secret<String>) -> Result<Secret<String>, String> {
    match check_url(secret.expose()) {
        Ok(()) => Ok(secret),
        Err(error) => Err(format!(
            "expected a URL such as postgres://user@host/database; {error}"
        )),
    }
}

fn url(given: &Given) -> Result<Secret<String>, String> {
    checked_url(given.secret()?)
}

fn url_file(given: &Given) -> Result<(PathBuf, Secret<String>), String> {
    let (path, secret) = given.secret_file()?;
    checked_url(secret).map(|secret| (path, secret))
}

/// A secret shows only where it came from: as its file when it has one, else as a placeholder.
fn secret(value: Option<&Secret<String>>, file: Option<&PathBuf>) -> Shown {
    match (value, file) {
        (Some(_), None) => Shown::Redacted,
        (_, Some(_)) | (None, None) => Shown::Unset,
    }
}

pub(super) const POSTGRES: &[Key] = &[
    Key {
        name: "postgres.url",
        takes: "URL, secret",
        default: "none",
        meaning: "Postgres 14 or newer for history, such as `postgres://user:password@host/database?sslrootcert=/etc/ca.pem`; without it \
                  history is embedded.",
        effect: Effect::Now,
        set: |config, given| url(given).map(|url| config.postgres.url = Some(url)),
        show: |config| {
            secret(
                config.postgres.url.as_ref(),
                config.postgres.url_file.as_ref(),
            )
        },
    },
    Key {
        name: "postgres.url_file",
        takes: "path",
        default: "none",
        meaning: "File that holds `postgres.url`.",
        effect: Effect::Now,
        set: |config, given| {
            let (path, url) = url_file(given)?;
            config.postgres.url_file = Some(path);
            config.postgres.url = Some(url);
            Ok(())
        },
        show: |config| Shown::optional(config.postgres.url_file.as_ref(), |path| Shown::path(path)),
    },
    Key {
        name: "postgres.read_url",
        takes: "URL, secret",
        default: "none",
        meaning: "Where the dashboard and history queries go, when that is a replica: while it is at most 10 s behind.",
        effect: Effect::Now,
        set: |config, given| url(given).map(|url| config.postgres.read_url = Some(url)),
        show: |config| {
            secret(
                config.postgres.read_url.as_ref(),
                config.postgres.read_url_file.as_ref(),
            )
        },
    },
    Key {
        name: "postgres.read_url_file",
        takes: "path",
        default: "none",
        meaning: "File that holds `postgres.read_url`.",
        effect: Effect::Now,
        set: |config, given| {
            let (path, url) = url_file(given)?;
            config.postgres.read_url_file = Some(path);
            config.postgres.read_url = Some(url);
            Ok(())
        },
        show: |config| {
            Shown::optional(config.postgres.read_url_file.as_ref(), |path| {
                Shown::path(path)
            })
        },
    },
    Key {
        name: "postgres.max_pool_size",
        takes: "number, 1 to 1000",
        default: "20",
        meaning: "Connections of this node to each of the two servers.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=1_000)
                .map(|size| config.postgres.max_pool_size = size)
        },
        show: |config| Shown::number(config.postgres.max_pool_size),
    },
    Key {
        name: "postgres.tls",
        takes: "`disable`, `require`, `verify-ca`, `verify-full`",
        default: "`verify-full` off loopback",
        meaning: "How connections are protected. Not set, it is what `sslmode` in the URL says, and nothing on loopback and Unix sockets.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .one_of(&POSTGRES_TLS)
                .map(|tls| config.postgres.tls = Some(tls))
        },
        show: |config| {
            Shown::optional(config.postgres.tls, |tls| {
                let name = POSTGRES_TLS.iter().find(|(_, value)| *value == tls);
                Shown::optional(name, |(name, _)| Shown::text(name))
            })
        },
    },
];

pub(super) const STREAMS: &[Key] = &[
    Key {
        name: "history.spool_max_bytes",
        takes: "bytes, ≥ 16777216",
        default: "1073741824",
        meaning: "Disk that the spool of this node is meant to take: it holds a quarter of it in events, because its store \
                  gives room back late, and may take twice as much for a while.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .integer(SPOOL_BYTES_MIN..=u64::MAX)
                .map(|bytes| config.history.spool_max_bytes = bytes)
        },
        show: |config| Shown::Number(config.history.spool_max_bytes),
    },
    Key {
        name: "history.retention_days",
        takes: "days, 1 to 36500",
        default: "30",
        meaning: "Days after which status history goes.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=RETENTION_DAYS_MAX)
                .map(|days| config.history.retention_days = days)
        },
        show: |config| Shown::number(config.history.retention_days),
    },
    Key {
        name: "audit.retention_days",
        takes: "days, 1 to 36500",
        default: "365",
        meaning: "Days after which audit records go.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=RETENTION_DAYS_MAX)
                .map(|days| config.audit.retention_days = days)
        },
        show: |config| Shown::number(config.audit.retention_days),
    },
    Key {
        name: "live.coalesce_ms",
        takes: "milliseconds, 10 to 10000",
        default: "250",
        meaning: "Window in which changes of the live stream are coalesced.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .millis(10..=10_000)
                .map(|window| config.live.coalesce = window)
        },
        show: |config| {
            let millis = config.live.coalesce.as_millis();
            Shown::Number(u64::try_from(millis).unwrap_or(u64::MAX))
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_postgres_is_read_when_it_is_given() {
        let checked = |url: &str| checked_url(Secret::new(url.to_owned()));
        for good in [
            "postgres:///d?host=/run/postgresql&user=u",
            "postgres://u:p@/d?host=/cloudsql/a:b",
            "postgres://u@one:5432,two:5433/d?target_session_attrs=read-write",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
        let error = checked("postgres://u:hunter2@h/d?sslmod=x").unwrap_err();
        assert!(error.contains("`sslmod`") && !error.contains("hunter2"));
        assert!(checked("hunter2://h").is_err_and(|error| !error.contains("hunter2")));
    }
}
