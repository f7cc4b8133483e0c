//! The agents' door: a listener, the WebSocket and plain-HTTP transports. Bytes in, bytes out; what a message
//! means is known behind [`Agents`].

mod exchange;

pub use exchange::{AgentConnection, Agents, Closed, Peer, Push, Transport};

/// Placeholder until the listener lands.
pub fn serve<A: Agents>(
    _: tokio::net::TcpListener,
    _: A,
    _: &crate::config::Config,
    _: &crate::tasks::Tasks,
) {
}
