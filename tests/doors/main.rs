//! The doors of the real binary: TLS and its reload, HTTP/2, client certificates, proxies that name clients, and the
//! command line through all of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod certificates;
mod clients;
mod commands;
mod proxies;
#[path = "../support/proxy.rs"]
mod proxy;
mod real;
mod refusals;
mod reload;
#[path = "../support/mod.rs"]
mod support;
mod tls;
