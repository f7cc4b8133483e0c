//! The agents' door: a listener, the WebSocket and plain-HTTP transports. Bytes in, bytes out; what a message
//! means is known behind [`Agents`].

mod admission;
mod budget;
mod coding;
mod exchange;
mod frame_reader;
mod handshake;
mod limits;
mod listener;
mod patience;
mod poll;
mod reply;
mod route;
mod socket;

pub use exchange::{AgentConnection, Agents, Answer, Closed, Denied, Later, Peer, Push, Transport};
pub use listener::serve;
