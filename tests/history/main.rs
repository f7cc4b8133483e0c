//! History and audit as operators meet them: real nodes, simulated agents that report all the time, and real Postgres
//! servers that are stopped, frozen, cut off, locked and filled meanwhile.
#![expect(
    clippy::disallowed_methods,
    reason = "a test of processes looks at them from outside, by real time"
)]

#[path = "../cluster/agent.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod agent;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod cluster;
mod doors;
mod exchange;
mod fleet;
mod moved;
#[path = "../support/net.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod net;
mod past;
#[path = "../support/postgres/mod.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod postgres;
mod questions;
mod restarts;
mod restored;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod trouble;
mod wire;
