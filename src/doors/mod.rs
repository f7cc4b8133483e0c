//! What every listener needs before anybody speaks HTTP, and the HTTP that is then spoken.
//!
//! Connections within their bound, the client's address from trusted proxies alone, TLS with certificates that are
//! taken up while the node runs, and HTTP/1.1 or HTTP/2. Knows neither agents nor operators: who comes in is served by the room that opened the door.

mod accept;
mod certificates;
mod entrance;
mod forwarded;
mod linger;
mod pem;
mod proxy_header;
mod speak;
mod stream;
#[cfg(test)]
mod testing;
mod validity;

pub use accept::accept;
pub use certificates::Certificates;
pub use entrance::{Entered, Entrance, Unwelcome};
pub use pem::TlsError;
pub use speak::{Held, HttpLimits, Protocol, speak};
pub use stream::{Stream, Wire};
