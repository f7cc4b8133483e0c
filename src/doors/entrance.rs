//! The way in: from an accepted connection to a stream that speaks HTTP, with the address of who is behind it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use super::certificates::Certificates;
use super::forwarded;
use super::proxy_header::{self, Header};
use super::speak::Protocol;
use super::stream::{Stream, Wire};
use crate::config::Network;
use crate::telemetry::names;

/// How a TLS record that begins a handshake begins.
const HANDSHAKE: u8 = 0x16;

/// What is answered to a PROXY header that cannot be read.
const BAD_PROXY_HEADER: &str = "the PROXY header cannot be read\n";

/// What is answered on a door with TLS to who speaks without.
const SPEAK_TLS: &str = "this port speaks TLS: use https:// or wss://\n";

/// The way in of one door.
#[derive(Clone, Debug)]
pub struct Entrance {
    door: &'static str,
    certificates: Option<Arc<Certificates>>,
    trusted: Arc<[Network]>,
}

/// A connection that came in.
#[derive(Debug)]
pub struct Entered {
    /// Its bytes, inside TLS where the door has it.
    pub stream: Stream,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who it is from: the peer, or who a trusted proxy named at its start. Its requests may name somebody else.
    pub client: IpAddr,
}

/// Why a connection did not come in.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// It ended before it had said enough.
    #[error("the connection ended")]
    Gone(#[source] io::Error),
    /// A trusted proxy sent a header that cannot be read.
    #[error("its PROXY header is broken")]
    ProxyHeader,
    /// It does not speak TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// The door is too crowded for a handshake.
    #[error("the door is too crowded for another handshake")]
    Crowded,
    /// It showed no certificate where one is asked for, or one that is not known.
    #[error("it showed no certificate that is known here")]
    Stranger(#[source] io::Error),
    /// The handshake failed otherwise: no common version, or the other side does not trust this one.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
}

impl Unwelcome {
    fn of_handshake(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if matches!(
            inner,
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_))
        ) {
            Self::Stranger(error)
        } else {
            Self::Handshake(error)
        }
    }
}

impl Entrance {
    /// A door by its name in the configuration.
    pub fn new(
        door: &'static str,
        certificates: Option<Arc<Certificates>>,
        trusted: &[Network],
    ) -> Self {
        if certificates.is_some() {
            metrics::counter!(names::TLS_HANDSHAKE_FAILURES, "door" => door).absolute(0);
        }
        Self {
            door,
            certificates,
            trusted: trusted.into(),
        }
    }

    /// Who a request is from, when its connection is from `nearest`.
    pub fn client(&self, nearest: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(nearest, headers, |address| self.is_trusted(address))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Brings a connection in. `has_room` is asked when a handshake was asked for and has not cost anything yet.
    /// The caller bounds the time.
    ///
    /// # Errors
    /// When there is nothing to speak HTTP on; who speaks without TLS or sends a broken PROXY header has been told.
    pub async fn enter(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        has_room: impl FnOnce() -> bool,
    ) -> Result<Entered, Unwelcome> {
        let mut wire = Wire::new(tcp);
        let peer = peer.ip().to_canonical();
        let client = if self.is_trusted(peer) {
            proxied(&mut wire).await?.unwrap_or(peer)
        } else {
            peer
        };
        let Some(certificates) = &self.certificates else {
            return Ok(Entered {
                stream: Stream::Left(wire),
                protocol: Protocol::Http1,
                client,
            });
        };
        if wire.ahead().is_empty() {
            wire.read_ahead(1).await.map_err(Unwelcome::Gone)?;
        }
        if wire.ahead().first() != Some(&HANDSHAKE) {
            refuse(&mut wire, SPEAK_TLS).await;
            return Err(Unwelcome::NotTls);
        }
        let handshake = secure(wire, certificates, has_room).await;
        if matches!(
            handshake,
            Err(Unwelcome::Handshake(_) | Unwelcome::Stranger(_))
        ) {
            metrics::counter!(names::TLS_HANDSHAKE_FAILURES, "door" => self.door).increment(1);
        }
        let (stream, protocol) = handshake?;
        Ok(Entered {
            stream,
            protocol,
            client,
        })
    }
}

async fn secure(
    wire: Wire,
    certificates: &Certificates,
    has_room: impl FnOnce() -> bool,
) -> Result<(Stream, Protocol), Unwelcome> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), wire);
    let hello = hello.await.map_err(Unwelcome::Handshake)?;
    if !has_room() {
        return Err(Unwelcome::Crowded);
    }
    let handshake = hello.into_stream(certificates.current());
    let stream = handshake.await.map_err(Unwelcome::of_handshake)?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    Ok((Stream::Right(Box::new(stream)), protocol))
}

/// Who a trusted proxy speaks for, when it says so first.
async fn proxied(wire: &mut Wire) -> Result<Option<IpAddr>, Unwelcome> {
    loop {
        match proxy_header::read(wire.ahead()) {
            Header::Absent => return Ok(None),
            Header::Present { bytes, client } => {
                wire.discard(bytes);
                return Ok(client);
            }
            Header::More => {
                let read = wire.read_ahead(proxy_header::BYTES_MAX).await;
                read.map_err(Unwelcome::Gone)?;
            }
            Header::Broken => {
                refuse(wire, BAD_PROXY_HEADER).await;
                return Err(Unwelcome::ProxyHeader);
            }
        }
    }
}

/// Says in plain HTTP why nothing else will be said.
async fn refuse(wire: &mut Wire, why: &str) {
    let length = why.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\n\r\n{why}"
    );
    // whoever does not listen is not told
    drop(wire.write_all(answer.as_bytes()).await);
    drop(wire.shutdown().await);
}
