//! The listeners of a node, opened before anything else can fail late, with the addresses that they really
//! have when port 0 was asked for.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::run::RunError;
use crate::config::Config;

/// The longest queue that the kernel grants by default; beyond it a SYN waits a second (`somaxconn`).
const BACKLOG: u32 = 4096;

/// Both doors, open and not yet served.
#[derive(Debug)]
pub(super) struct Doors {
    /// Agents.
    pub(super) opamp: TcpListener,
    /// Where that is.
    pub(super) opamp_address: SocketAddr,
    /// Operators.
    pub(super) admin: TcpListener,
    /// Where that is.
    pub(super) admin_address: SocketAddr,
}

impl Doors {
    /// Opens both.
    ///
    /// # Errors
    /// Fails when an address is in use or not ours.
    pub(super) fn open(config: &Config) -> Result<Self, RunError> {
        let (opamp, opamp_address) = listen("opamp.listen", config.opamp.listen)?;
        let (admin, admin_address) = listen("admin.listen", config.admin.listen)?;
        Ok(Self {
            opamp,
            opamp_address,
            admin,
            admin_address,
        })
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let open = || -> io::Result<(TcpListener, SocketAddr)> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // a restarted node takes its port back although old connections linger in TIME_WAIT
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let real = listener.local_addr()?;
        Ok((listener, real))
    };
    open().map_err(|source| RunError::Listen {
        key,
        address,
        source,
    })
}
