//! `admin.*`, `peer.*` and `metrics.*`: the doors that are not for agents, and what all doors share.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::Network;
use crate::config::{
    given::Given,
    key::{Effect, Key, Shown},
};

/// Most networks that `trusted_proxies` may list: each is compared for each connection.
const TRUSTED_PROXIES_MAX: usize = 256;

/// Files of the TLS of one door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Authorities of client certificates, PEM; when given, clients need one.
    pub client_ca_file: Option<PathBuf>,
}

impl Tls {
    /// Tells whether a certificate is named.
    pub const fn is_stated(&self) -> bool {
        self.cert_file.is_some()
    }
}

/// The operators' door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address of the listener; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// States that this door may be reached over a network without TLS.
    pub insecure: bool,
    /// TLS on this door.
    pub tls: Tls,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: loopback(4321),
            insecure: false,
            tls: Tls::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The door between nodes; closed until the node has issued or used a join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Address of the listener; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What other nodes use; `None` is the listener's address.
    pub advertise: Option<String>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            listen: loopback(4322),
            advertise: None,
        }
    }
}

/// A door of its own for `/metrics` and `/health/*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// `None` leaves both on the admin listener.
    pub listen: Option<SocketAddr>,
    /// States that this door may be reached over a network.
    pub insecure: bool,
}

pub(super) const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

pub(super) fn networks(given: &Given) -> Result<Vec<Network>, String> {
    let items = given.list();
    if items.len() > TRUSTED_PROXIES_MAX {
        return Err(format!("expected at most {TRUSTED_PROXIES_MAX} networks"));
    }
    items
        .iter()
        .map(|item| item.parse().map_err(|error| format!("{error}")))
        .collect()
}

pub(super) fn network_texts(networks: &[Network]) -> Shown {
    if networks.is_empty() {
        return Shown::Unset;
    }
    Shown::List(networks.iter().map(ToString::to_string).collect())
}

pub(super) fn file(path: Option<&PathBuf>) -> Shown {
    Shown::optional(path, |path| Shown::path(path))
}

pub(super) const ADMIN: &[Key] = &[
    Key {
        name: "admin.listen",
        takes: "address",
        default: "127.0.0.1:4321",
        meaning: "REST API, `/health/*` and `/metrics`. Off loopback, say `admin.insecure: true`.",
        effect: Effect::Now,
        set: |config, given| given.listener().map(|listen| config.admin.listen = listen),
        show: |config| Shown::text(config.admin.listen),
    },
    Key {
        name: "admin.insecure",
        takes: "`true`, `false`",
        default: "false",
        meaning: "Allows the admin listener on a network without TLS: tokens cross it readable.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .flag()
                .map(|insecure| config.admin.insecure = insecure)
        },
        show: |config| Shown::Flag(config.admin.insecure),
    },
    Key {
        name: "admin.tls.cert_file",
        takes: "path",
        default: "none",
        meaning: "Certificate chain of this door, PEM.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.admin.tls.cert_file = Some(path))
        },
        show: |config| file(config.admin.tls.cert_file.as_ref()),
    },
    Key {
        name: "admin.tls.key_file",
        takes: "path",
        default: "none",
        meaning: "Private key of this door, PEM.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.admin.tls.key_file = Some(path))
        },
        show: |config| file(config.admin.tls.key_file.as_ref()),
    },
    Key {
        name: "admin.tls.client_ca_file",
        takes: "path",
        default: "none",
        meaning: "Authorities of client certificates, PEM; when given, operators need one.",
        effect: Effect::Now,
        set: |config, given| {
            given
                .path()
                .map(|path| config.admin.tls.client_ca_file = Some(path))
        },
        show: |config| file(config.admin.tls.client_ca_file.as_ref()),
    },
    Key {
        name: "admin.trusted_proxies",
        takes: "list of networks",
        default: "none",
        meaning: "Networks whose `X-Forwarded-For` or PROXY header names the client for limits, logs and audit.",
        effect: Effect::Now,
        set: |config, given| networks(given).map(|list| config.admin.trusted_proxies = list),
        show: |config| network_texts(&config.admin.trusted_proxies),
    },
];

pub(super) const PEER_AND_METRICS: &[Key] = &[
    Key {
        name: "peer.listen",
        takes: "address",
        default: "127.0.0.1:4322",
        meaning: "Node to node; closed until a join token was issued or used.",
        effect: Effect::Now,
        set: |config, given| given.listener().map(|listen| config.peer.listen = listen),
        show: |config| Shown::text(config.peer.listen),
    },
    Key {
        name: "peer.advertise",
        takes: "host:port",
        default: "the listener's address",
        meaning: "What other nodes use. With a listener on all addresses: the one by which this node reaches the cluster.",
        effect: Effect::Now,
        set: |config, given| given.reachable().map(|to| config.peer.advertise = Some(to)),
        show: |config| Shown::optional(config.peer.advertise.as_ref(), Shown::text),
    },
    Key {
        name: "metrics.listen",
        takes: "address",
        default: "none",
        meaning: "Moves `/metrics` and `/health/*` to a listener of their own. Off loopback, say `metrics.insecure: true`.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .listener()
                .map(|listen| config.metrics.listen = Some(listen))
        },
        show: |config| Shown::optional(config.metrics.listen, Shown::text),
    },
    Key {
        name: "metrics.insecure",
        takes: "`true`, `false`",
        default: "false",
        meaning: "Allows the metrics listener on a network: it asks for no token.",
        effect: Effect::Later,
        set: |config, given| {
            given
                .flag()
                .map(|insecure| config.metrics.insecure = insecure)
        },
        show: |config| Shown::Flag(config.metrics.insecure),
    },
];
