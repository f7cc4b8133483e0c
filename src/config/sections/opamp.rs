//! `opamp.*`: the agents' door, its bounds and its protection, and what agents are told.

use std::{net::SocketAddr, time::Duration};

use super::{
    Network, Tls,
    listeners::{file, loopback, network_texts, networks},
};
use crate::config::{
    Config,
    given::Given,
    key::{Effect, Key, Shown},
};

/// Largest message that may be allowed, in bytes: one message is held in memory whole.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How agents prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// They need not.
    Open,
    /// By an enrollment token.
    Token,
}

/// The agents' door and what agents are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opamp {
    /// Address of the listener; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What other nodes and printed commands use; `None` is the listener's address.
    pub advertise: Option<String>,
    /// The path of both transports.
    pub path: String,
    /// Limit of one message after decompression, both directions.
    pub max_message_bytes: u64,
    /// Silence after which an agent is shown stale.
    pub heartbeat_window: Duration,
    /// Offered to agents that can take it.
    pub heartbeat_interval: Duration,
    /// Heartbeats of all agents of this node together; the interval grows to stay under it.
    pub heartbeat_budget_per_second: u32,
    /// `None` is open, which is allowed on loopback only.
    pub auth: Option<Auth>,
    /// TLS on this door.
    pub tls: Tls,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Admission bound of this node.
    pub max_connections: u32,
    /// New connections beyond this are told to come later.
    pub accept_rate_per_second: u32,
    /// Time between pings to a silent WebSocket.
    pub ping_interval: Duration,
    /// A peer that does not take a message within this time is cut off.
    pub write_timeout: Duration,
    /// Agents that may be asked for their full state in a second.
    pub full_states_per_second: u32,
    /// Bytes of full state that may be asked for in a second.
    pub full_state_bytes_per_second: u32,
    /// A new connection has to bring its first request within this time.
    pub request_timeout: Duration,
    /// The body of one request has to arrive within this time.
    pub body_timeout: Duration,
}

impl Default for Opamp {
    fn default() -> Self {
        Self {
            listen: loopback(4320),
            advertise: None,
            path: "/v1/opamp".to_owned(),
            max_message_bytes: 10_485_760,
            heartbeat_window: Duration::from_secs(90),
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_budget_per_second: 2_000,
            auth: None,
            tls: Tls::default(),
            trusted_proxies: Vec::new(),
            max_connections: 100_000,
            accept_rate_per_second: 2_000,
            ping_interval: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            full_states_per_second: 200,
            full_state_bytes_per_second: 8_388_608,
            request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
        }
    }
}

fn set_path(config: &mut Config, given: &Given) -> Result<(), String> {
    let path = given.text()?;
    let plain = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#{}*".contains(&b));
    if !path.starts_with('/') || !plain {
        return Err(format!("expected a path such as /v1/opamp, found `{path}`"));
    }
    path.clone_into(&mut config.opamp.path);
    Ok(())
}

pub(super) const OPAMP: &[Key] = &[
    Key {
        name: "opamp.listen",
        takes: "address",
        default: "127.0.0.1:4320",
        meaning: "Where agents connect, by WebSocket and by plain HTTP. Off loopback, state `opamp.auth`.",
        effect: Effect::Now,
        set: |config, given| given.listener().map(|listen| config.opamp.listen = listen),
        show: |config| Shown::text(config.opamp.listen),
    },
    Key {
        name: "opamp.advertise",
        takes: "host:port",
        default: "the listener's address",
        meaning: "What other nodes and printed commands use.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .reachable()
                .map(|to| config.opamp.advertise = Some(to))
        },
        show: |config| Shown::optional(config.opamp.advertise.as_ref(), Shown::text),
    },
    Key {
        name: "opamp.path",
        takes: "path",
        default: "/v1/opamp",
        meaning: "The path of both transports.",
        effect: Effect::Now,
        set: set_path,
        show: |config| Shown::text(&config.opamp.path),
    },
    Key {
        name: "opamp.max_message_bytes",
        takes: "bytes, 1024 to 1073741824",
        default: "10485760",
        meaning: "Limit of one message after decompression, both directions; larger is closed with 1009 or answered 413.",
        effect: Effect::Now,
        set: |config, given| {
            let limit = given.integer(1024..=MESSAGE_BYTES_MAX)?;
            config.opamp.max_message_bytes = limit;
            Ok(())
        },
        show: |config| Shown::Number(config.opamp.max_message_bytes),
    },
    Key {
        name: "opamp.heartbeat_window_seconds",
        takes: "seconds, 1 to 86400",
        default: "90",
        meaning: "Silence after which an agent is shown stale.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=86_400)
                .map(|window| config.opamp.heartbeat_window = window)
        },
        show: |config| Shown::seconds(config.opamp.heartbeat_window),
    },
    Key {
        name: "opamp.heartbeat_interval_seconds",
        takes: "seconds, 1 to 3600",
        default: "30",
        meaning: "Offered to agents that can take it; grows with the fleet. Never 0.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|interval| config.opamp.heartbeat_interval = interval)
        },
        show: |config| Shown::seconds(config.opamp.heartbeat_interval),
    },
    Key {
        name: "opamp.heartbeat_budget_per_second",
        takes: "number, 1 to 1000000",
        default: "2000",
        meaning: "Heartbeats of all agents of this node together; the offered interval grows to stay under it.",
        effect: Effect::Later,
        set: |config, given| {
            let budget = given.count(1..=1_000_000)?;
            config.opamp.heartbeat_budget_per_second = budget;
            Ok(())
        },
        show: |config| Shown::number(config.opamp.heartbeat_budget_per_second),
    },
    Key {
        name: "opamp.auth",
        takes: "`open`, `token`",
        default: "`open` on loopback, else it must be stated",
        meaning: "How agents prove who they are: `token` asks each of them for an enrollment token, `open` for nothing.",
        effect: Effect::Now,
        set: |config, given| {
            let choices = [("open", Auth::Open), ("token", Auth::Token)];
            given
                .one_of(&choices)
                .map(|auth| config.opamp.auth = Some(auth))
        },
        show: |config| {
            Shown::optional(config.opamp.auth, |auth| match auth {
                Auth::Open => Shown::text("open"),
                Auth::Token => Shown::text("token"),
            })
        },
    },
    Key {
        name: "opamp.tls.cert_file",
        takes: "path",
        default: "none",
        meaning: "Certificate chain of this door, PEM.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.opamp.tls.cert_file = Some(path))
        },
        show: |config| file(config.opamp.tls.cert_file.as_ref()),
    },
    Key {
        name: "opamp.tls.key_file",
        takes: "path",
        default: "none",
        meaning: "Private key of this door, PEM.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.opamp.tls.key_file = Some(path))
        },
        show: |config| file(config.opamp.tls.key_file.as_ref()),
    },
    Key {
        name: "opamp.tls.client_ca_file",
        takes: "path",
        default: "none",
        meaning: "Authorities of client certificates, PEM; when given, agents need one.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.opamp.tls.client_ca_file = Some(path))
        },
        show: |config| file(config.opamp.tls.client_ca_file.as_ref()),
    },
    Key {
        name: "opamp.trusted_proxies",
        takes: "list of networks",
        default: "none",
        meaning: "Networks whose `X-Forwarded-For` or PROXY header names the client for limits, logs and audit.",
        effect: Effect::Now,
        set: |config, given| networks(given).map(|list| config.opamp.trusted_proxies = list),
        show: |config| network_texts(&config.opamp.trusted_proxies),
    },
    Key {
        name: "opamp.max_connections",
        takes: "number, 1 to 1000000",
        default: "100000",
        meaning: "Admission bound of this node.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=1_000_000)
                .map(|bound| config.opamp.max_connections = bound)
        },
        show: |config| Shown::number(config.opamp.max_connections),
    },
    Key {
        name: "opamp.accept_rate_per_second",
        takes: "number, 1 to 1000000",
        default: "2000",
        meaning: "New connections beyond it get 503 and a jittered Retry-After.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .count(1..=1_000_000)
                .map(|rate| config.opamp.accept_rate_per_second = rate)
        },
        show: |config| Shown::number(config.opamp.accept_rate_per_second),
    },
    Key {
        name: "opamp.ping_interval_seconds",
        takes: "seconds, 1 to 3600",
        default: "30",
        meaning: "Time between pings to a silent WebSocket.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|interval| config.opamp.ping_interval = interval)
        },
        show: |config| Shown::seconds(config.opamp.ping_interval),
    },
    Key {
        name: "opamp.write_timeout_seconds",
        takes: "seconds, 1 to 3600",
        default: "10",
        meaning: "An agent that takes nothing of a message for this long is cut off; a large one has to leave with 32 KiB a second.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|timeout| config.opamp.write_timeout = timeout)
        },
        show: |config| Shown::seconds(config.opamp.write_timeout),
    },
    Key {
        name: "opamp.full_states_per_second",
        takes: "number, 1 to 1000000",
        default: "200",
        meaning: "Agents that this node asks for their full state in a second, after a restart or a loss; the others are asked later.",
        effect: Effect::Now,
        set: |config, given| {
            let agents = given.count(1..=1_000_000)?;
            config.opamp.full_states_per_second = agents;
            Ok(())
        },
        show: |config| Shown::number(config.opamp.full_states_per_second),
    },
    Key {
        name: "opamp.full_state_bytes_per_second",
        takes: "bytes, 1024 to 1073741824",
        default: "8388608",
        meaning: "Bytes of full state that this node asks for in a second: expected first, then counted as they come.",
        effect: Effect::Now,
        set: |config, given| {
            let bytes = given.count(1024..=1_073_741_824)?;
            config.opamp.full_state_bytes_per_second = bytes;
            Ok(())
        },
        show: |config| Shown::number(config.opamp.full_state_bytes_per_second),
    },
    Key {
        name: "opamp.request_timeout_seconds",
        takes: "seconds, 1 to 3600",
        default: "10",
        meaning: "A new connection has to bring its first request within this time; at most 1 while very many say nothing.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|timeout| config.opamp.request_timeout = timeout)
        },
        show: |config| Shown::seconds(config.opamp.request_timeout),
    },
    Key {
        name: "opamp.body_timeout_seconds",
        takes: "seconds, 1 to 3600",
        default: "30",
        meaning: "The body of one plain-HTTP request has to arrive within this time; else 408.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .seconds(1..=3_600)
                .map(|timeout| config.opamp.body_timeout = timeout)
        },
        show: |config| Shown::seconds(config.opamp.body_timeout),
    },
];
