//! The listeners of a node, opened before anything else can fail late, with the addresses that they really
//! have when port 0 was asked for.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use super::run::RunError;
use crate::config::{Config, Tls};
use crate::doors::{Certificates, Entrance, TlsError};
use crate::tasks::Tasks;

/// The longest queue that the kernel grants by default; beyond it a SYN waits a second (`somaxconn`).
const BACKLOG: u32 = 4096;

/// The certificates of both doors; none where there is no TLS.
#[derive(Debug)]
pub(super) struct Protection {
    opamp: Option<Arc<Certificates>>,
    admin: Option<Arc<Certificates>>,
}

impl Protection {
    /// Reads the certificates. Holds its thread.
    ///
    /// # Errors
    /// When one cannot be used: nobody is served without the protection that was asked for.
    pub(super) fn load(config: &Config) -> Result<Self, TlsError> {
        Ok(Self {
            opamp: Certificates::load("opamp", &config.opamp.tls)?,
            admin: Certificates::load("admin", &config.admin.tls)?,
        })
    }

    /// Takes up changed certificates until `tasks` is stopped.
    pub(super) fn watch(&self, tasks: &Tasks) {
        for certificates in self.opamp.iter().chain(&self.admin) {
            certificates.watch(tasks);
        }
    }

    /// The way in for agents.
    pub(super) fn opamp_entrance(&self, config: &Config) -> Entrance {
        Entrance::new("opamp", self.opamp.clone(), &config.opamp.trusted_proxies)
    }

    /// The way in for operators.
    pub(super) fn admin_entrance(&self, config: &Config) -> Entrance {
        Entrance::new("admin", self.admin.clone(), &config.admin.trusted_proxies)
    }
}

/// The certificate file of a door, as others of this machine find it.
pub(super) fn certificate_file(tls: &Tls) -> Option<PathBuf> {
    let path = tls.cert_file.as_ref()?;
    Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
}

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

/// What is left when the operators' door is served: theirs opens first.
#[derive(Debug)]
pub(super) struct AgentsDoor {
    /// Agents.
    pub(super) opamp: TcpListener,
    /// Where that is.
    pub(super) opamp_address: SocketAddr,
    /// Where operators are served.
    pub(super) admin_address: SocketAddr,
}

impl Doors {
    /// Parts the operators' door from the rest.
    pub(super) fn part(self) -> (AgentsDoor, TcpListener) {
        let rest = AgentsDoor {
            opamp: self.opamp,
            opamp_address: self.opamp_address,
            admin_address: self.admin_address,
        };
        (rest, self.admin)
    }

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
