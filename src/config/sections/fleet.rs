//! `agents.*`, `rollout.*`, `cluster.*` and `dispatch.*`: bounds of what is replicated, and its leases.

use std::{path::PathBuf, time::Duration};

use ampora_raft::consensus::LogLimits;

use crate::config::{
    key::{Effect, Key, Shown},
    secret::Secret,
};

/// Ten years: a bound against units mistaken for seconds.
const FORGET_SECONDS_MAX: u64 = 315_360_000;

/// The log keeps at least two steps of its purge, and at most what a disk of a node may have.
const LOG_BYTES_MIN: u64 = 8 * 1024 * 1024;
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// Bounds of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    /// Most agents of the cluster.
    pub max: u32,
    /// Most agents that came with one enrollment token.
    pub max_per_token: Option<u32>,
    /// How long an agent stays known after it was last connected; zero is for ever. Agents that never had a
    /// configuration or a label stay a day at most. `None` is a week, and a day for these.
    pub forget_after: Option<Duration>,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            max: 250_000,
            max_per_token: None,
            forget_after: None,
        }
    }
}

/// How a change of configuration spreads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// That many failing agents of one group stop a configuration there.
    pub quarantine_failures: u32,
    /// An agent that has not confirmed by then leaves the window.
    pub confirm_timeout: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            quarantine_failures: 3,
            confirm_timeout: Duration::from_secs(60),
        }
    }
}

/// Membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// At most this many voters; odd.
    pub voters: u32,
    /// What the log keeps for nodes that are a little late.
    pub log: LogLimits,
    /// How a node without a cluster finds the one that it joins.
    pub join: Option<JoinBy>,
    /// File with the token that allows it.
    pub join_token_file: Option<PathBuf>,
}

/// What leads a new node to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinBy {
    /// The text of a join token, which says everything; read when it is used.
    Token(Secret<String>),
    /// `host:port` of a member; the token is in a file.
    Address(String),
}

/// What every join token begins with.
pub const JOIN_TOKEN_PREFIX: &str = "ampj_";

impl Default for Cluster {
    fn default() -> Self {
        Self {
            voters: 5,
            log: LogLimits::default(),
            join: None,
            join_token_file: None,
        }
    }
}

/// Leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Node liveness, hence failover time.
    pub ownership_ttl: Duration,
    /// Named leases.
    pub leader_lease: Duration,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            ownership_ttl: Duration::from_secs(10),
            leader_lease: Duration::from_secs(10),
        }
    }
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "agents.max",
        takes: "number, 1 to 10000000",
        default: "250000",
        meaning: "Most agents of the cluster; more are answered UNAVAILABLE and counted.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=10_000_000)
                .map(|max| config.agents.max = max)
        },
        show: |config| Shown::number(config.agents.max),
    },
    Key {
        name: "agents.max_per_token",
        takes: "number, 1 to 10000000",
        default: "none",
        meaning: "Most agents that come with one enrollment token; more are answered UNAVAILABLE and counted.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=10_000_000)
                .map(|max| config.agents.max_per_token = Some(max))
        },
        show: |config| Shown::optional(config.agents.max_per_token, Shown::number),
    },
    Key {
        name: "agents.forget_after_seconds",
        takes: "seconds, 0 to 315360000",
        default: "604800 (agents that never had a configuration or a label: 86400)",
        meaning: "An agent disconnected for that long leaves the inventory, one that never had a configuration or a label after a day at the latest; 0 is never.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(0..=FORGET_SECONDS_MAX)
                .map(|after| config.agents.forget_after = Some(after))
        },
        show: |config| Shown::optional(config.agents.forget_after, Shown::seconds),
    },
    Key {
        name: "rollout.quarantine_failures",
        takes: "number, 1 to 1000",
        default: "3",
        meaning: "That many failing agents of one group stop a configuration there until an operator lifts it.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=1_000)
                .map(|failures| config.rollout.quarantine_failures = failures)
        },
        show: |config| Shown::number(config.rollout.quarantine_failures),
    },
    Key {
        name: "rollout.confirm_timeout_seconds",
        takes: "seconds, 1 to 86400",
        default: "60",
        meaning: "An agent that has not confirmed by then leaves the slow-start window without widening it.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=86_400)
                .map(|timeout| config.rollout.confirm_timeout = timeout)
        },
        show: |config| Shown::seconds(config.rollout.confirm_timeout),
    },
    Key {
        name: "cluster.voters",
        takes: "odd number, 1 to 7",
        default: "5",
        meaning: "At most this many voters; a second node stays a learner until a third comes.",
        effect: Effect::Now,
        set: |config, given| {
            let voters = given.count(1..=7)?;
            if voters % 2 == 0 {
                return Err(format!(
                    "expected an odd number from 1 to 7, found `{voters}`"
                ));
            }
            config.cluster.voters = voters;
            Ok(())
        },
        show: |config| Shown::number(config.cluster.voters),
    },
    Key {
        name: "cluster.join",
        takes: "join token, or host:port",
        default: "none",
        meaning: "Joins a cluster at the first start: by the token that `ampora cluster join-token` prints, or at that node with the token of `cluster.join_token_file`. Ignored once a member.",
        effect: Effect::Now,
        set: |config, given| {
            let by = if given.text()?.starts_with(JOIN_TOKEN_PREFIX) {
                given.secret().map(JoinBy::Token)?
            } else {
                given.reachable().map(JoinBy::Address)?
            };
            config.cluster.join = Some(by);
            Ok(())
        },
        show: |config| {
            Shown::optional(config.cluster.join.as_ref(), |by| match by {
                JoinBy::Token(_) => Shown::Redacted,
                JoinBy::Address(address) => Shown::text(address),
            })
        },
    },
    Key {
        name: "cluster.join_token_file",
        takes: "path",
        default: "none",
        meaning: "File with the join token; read when the node joins.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.cluster.join_token_file = Some(path))
        },
        show: |config| {
            Shown::optional(config.cluster.join_token_file.as_ref(), |path| {
                Shown::path(path)
            })
        },
    },
    Key {
        name: "cluster.log_max_bytes",
        takes: "bytes, 8388608 to 68719476736",
        default: "536870912",
        meaning: "What the log keeps for nodes that were away; who was away for longer gets a snapshot.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .integer(LOG_BYTES_MIN..=LOG_BYTES_MAX)
                .map(|bytes| config.cluster.log.bytes = bytes)
        },
        show: |config| Shown::number(config.cluster.log.bytes),
    },
    Key {
        name: "cluster.log_max_entries",
        takes: "number, 1000 to 10000000",
        default: "100000",
        meaning: "The same, counted in entries; whichever comes first.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .integer(1_000..=10_000_000)
                .map(|entries| config.cluster.log.entries = entries)
        },
        show: |config| Shown::number(config.cluster.log.entries),
    },
    Key {
        name: "dispatch.ownership_ttl_seconds",
        takes: "seconds, 1 to 3600",
        default: "10",
        meaning: "Node liveness: how long after the death of a node its agents count as nobody's.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|ttl| config.dispatch.ownership_ttl = ttl)
        },
        show: |config| Shown::seconds(config.dispatch.ownership_ttl),
    },
    Key {
        name: "dispatch.leader_lease_seconds",
        takes: "seconds, 1 to 3600",
        default: "10",
        meaning: "Time of a named lease.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|lease| config.dispatch.leader_lease = lease)
        },
        show: |config| Shown::seconds(config.dispatch.leader_lease),
    },
];
