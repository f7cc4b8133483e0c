//! The configuration of a node: every key with its type, where values come from, and what is wrong with them.
//!
//! Sources are layered, later wins: defaults, one YAML file, the environment, flags. Nothing here reads the process:
//! environment, host name and places arrive in [`Sources`], so that tests never touch what the process has.
//! Nothing here knows what a value is used for.

mod combinations;
mod file;
mod given;
mod key;
mod layer;
mod load;
mod npgsql;
mod print;
mod problem;
mod secret;
pub mod sections;
mod spelling;
mod target;
#[cfg(test)]
mod tests;

pub use self::{
    key::{Effect, Key, Shown},
    load::{Loaded, Sources, default_files, load},
    print::{effective, reference},
    problem::{ConfigError, Origin, Problem},
    secret::{REDACTED, Secret},
    sections::{
        Admin, Agents, Audit, Auth, Cluster, Config, Dispatch, History, JOIN_TOKEN_PREFIX, JoinBy,
        Live, Log, LogFormat, Metrics, Network, Node, Opamp, Peer, Postgres, PostgresTls, Rollout,
        Tls, keys,
    },
    target::{Target, locate_admin},
};
