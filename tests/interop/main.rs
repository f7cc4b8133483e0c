//! Real clients against the real binary: the stock opampsupervisor with a stock collector, that collector with the opamp
//! extension alone, and agents on the client libraries of four languages, over WebSocket and over plain HTTP, each alone
//! and all at once; and a generator of calls against the REST API. What is asserted is what REST shows an operator, and
//! what the clients themselves did. Everything runs on loopback; nothing is left running, whatever happens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::print_stderr, reason = "a failed test says where its logs are")]

mod all_at_once;
mod clients;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod cluster;
mod configurations;
mod contact;
mod dispatches;
mod enrollment;
mod extension;
mod failover;
#[path = "../support/front.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod front;
mod legacy;
mod libraries;
mod library;
#[path = "../support/net.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod net;
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
mod rest;
mod restarts;
mod schemathesis;
mod secure;
mod server;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod wait;
