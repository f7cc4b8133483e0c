//! `node.*` and `log.*`: who this process is, where it keeps things, and how it speaks.

use std::{path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use crate::config::key::{Effect, Key, Shown};

/// Longest time that a drain may take, in seconds: orchestrators kill well before an hour.
const DRAIN_SECONDS_MAX: u64 = 3600;

/// Smallest sensible memory limit: an idle node with its caches stays under 64 MiB.
const MEMORY_LIMIT_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Longest node name, in bytes: it is shown in tables and carried in a record of the Fleet.
const NAME_BYTES_MAX: usize = 63;

/// Identity, place and limits of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The Raft node id; `None` is chosen at the first start and kept in the data directory.
    pub id: Option<u64>,
    /// Shown to people; `None` is the host name.
    pub name: Option<String>,
    /// Everything that this node keeps.
    pub data_dir: PathBuf,
    /// Admission stops before the memory of the process reaches this.
    pub memory_limit_bytes: Option<u64>,
    /// After SIGTERM the process ends within this time.
    pub drain: Duration,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: None,
            name: None,
            data_dir: PathBuf::from("./ampora-data"),
            memory_limit_bytes: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `None` is text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// A level, or directives such as `info,ampora::api=debug`; known to parse.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: None,
            level: "info".to_owned(),
        }
    }
}

pub(super) const NODE: &[Key] = &[
    Key {
        name: "node.id",
        takes: "number ≥ 1",
        default: "chosen at the first start, then kept",
        meaning: "Raft node id.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .integer(1..=u64::MAX)
                .map(|id| config.node.id = Some(id))
        },
        show: |config| Shown::optional(config.node.id, Shown::Number),
    },
    Key {
        name: "node.name",
        takes: "text, ≤ 63 bytes",
        default: "host name",
        meaning: "What people see as the name of this node.",
        effect: Effect::Now,
        set: |config, given| {
            let name = given.text()?;
            if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(format!("expected at most {NAME_BYTES_MAX} printable bytes"));
            }
            config.node.name = Some(name.to_owned());
            Ok(())
        },
        show: |config| Shown::optional(config.node.name.as_ref(), Shown::text),
    },
    Key {
        name: "node.data_dir",
        takes: "path",
        default: "./ampora-data",
        meaning: "Directory of everything that this node keeps; one process at a time.",
        effect: Effect::Now,
        set: |config, given| given.path().map(|path| config.node.data_dir = path),
        show: |config| Shown::path(&config.node.data_dir),
    },
    Key {
        name: "node.memory_limit_bytes",
        takes: "bytes, ≥ 67108864",
        default: "none",
        meaning: "New connections are refused before the memory of the process reaches this.",
        effect: Effect::Later,
        set: |config, given| {
            let limit = given.integer(MEMORY_LIMIT_BYTES_MIN..=u64::MAX)?;
            config.node.memory_limit_bytes = Some(limit);
            Ok(())
        },
        show: |config| Shown::optional(config.node.memory_limit_bytes, Shown::Number),
    },
    Key {
        name: "node.drain_seconds",
        takes: "seconds, 0 to 3600",
        default: "30",
        meaning: "After SIGTERM the process ends within this time.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(0..=DRAIN_SECONDS_MAX)
                .map(|drain| config.node.drain = drain)
        },
        show: |config| Shown::seconds(config.node.drain),
    },
];

pub(super) const LOG: &[Key] = &[
    Key {
        name: "log.format",
        takes: "`text`, `json`",
        default: "`text` on a terminal, else `json`",
        meaning: "How a log line looks. Logs go to standard error.",
        effect: Effect::Now,
        set: |config, given| {
            let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            given
                .one_of(&choices)
                .map(|format| config.log.format = Some(format))
        },
        show: |config| {
            Shown::optional(config.log.format, |format| match format {
                LogFormat::Text => Shown::text("text"),
                LogFormat::Json => Shown::text("json"),
            })
        },
    },
    Key {
        name: "log.level",
        takes: "level or directives",
        default: "info",
        meaning: "`error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,ampora::api=debug`.",
        effect: Effect::Now,
        set: |config, given| {
            let level = given.list().join(",");
            EnvFilter::builder()
                .parse(&level)
                .map_err(|_| format!("expected a log level or directives, found `{level}`"))?;
            config.log.level = level;
            Ok(())
        },
        show: |config| Shown::text(&config.log.level),
    },
];
