//! Peers that cost without saying anything whole: raw bytes, opened again as soon as they are cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Sockets that share one source address.
const SOCKETS_PER_SOURCE: usize = 4_000;

/// Between two bytes of a peer that drips.
const DRIP: Duration = Duration::from_secs(1);

/// What a peer does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing at all.
    Silent,
    /// A header, a byte a second.
    DrippingHeader,
    /// A chunked body, a chunk a second.
    DrippingBody,
    /// A chunked body that inflates a thousandfold, a chunk a second.
    DrippingBomb,
    /// One message in endless fragments.
    Fragments,
    /// One message in endless fragments of nothing.
    EmptyFragments,
    /// Requests, and no look at the answers.
    Unread,
    /// Messages that are none, as fast as they are answered.
    Malformed,
    /// Upgrades, one after the other, whatever is answered.
    Connects,
}

impl Kind {
    /// All of them, with how many sockets do so at once.
    pub(crate) const ALL: [(Self, &'static str, usize); 9] = [
        (Self::Silent, "silent", 6_000),
        (Self::DrippingHeader, "dripping_header", 4_000),
        (Self::DrippingBody, "dripping_body", 1_000),
        (Self::DrippingBomb, "dripping_bomb", 1_000),
        (Self::Fragments, "fragments", 50),
        (Self::EmptyFragments, "empty_fragments", 50),
        (Self::Unread, "unread", 500),
        (Self::Malformed, "malformed", 100),
        (Self::Connects, "connects", 200),
    ];
}

/// Peers that go on until they are dropped.
pub(crate) struct Flood {
    opened: Arc<AtomicU64>,
    _peers: JoinSet<()>,
}

impl Flood {
    /// So many sockets of a kind.
    pub(crate) fn start(kind: Kind, sockets: usize, server: SocketAddr) -> Self {
        let opened = Arc::new(AtomicU64::new(0));
        let mut peers = JoinSet::new();
        for number in 0..sockets {
            let opened = opened.clone();
            peers.spawn(async move {
                loop {
                    match connect(server, number).await {
                        Ok(stream) => {
                            opened.fetch_add(1, Ordering::Relaxed);
                            // however it ends, there is another one
                            drop(misbehave(kind, stream).await);
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            });
        }
        Self {
            opened,
            _peers: peers,
        }
    }

    /// Connections so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

async fn connect(server: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let source = u32::try_from(number / SOCKETS_PER_SOURCE).unwrap_or_default();
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 2, 1)) + source);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(server).await
}

const POST: &str = "POST /v1/opamp HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n";

const UPGRADE: &str = "GET /v1/opamp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n";

/// The beginning of a gzip file.
const GZIP: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];

async fn misbehave(kind: Kind, mut stream: TcpStream) -> std::io::Result<()> {
    match kind {
        Kind::Silent => {
            stream.read_u8().await?;
            Ok(())
        }
        Kind::DrippingHeader => {
            let head = "GET /v1/opamp HTTP/1.1\r\nX-Long: ";
            drip(stream, head.as_bytes(), b"x").await
        }
        Kind::DrippingBody => {
            let head = format!("{POST}\r\n");
            drip(stream, head.as_bytes(), b"1\r\nx\r\n").await
        }
        Kind::DrippingBomb => {
            let mut head = format!("{POST}Content-Encoding: gzip\r\n\r\na\r\n").into_bytes();
            head.extend(GZIP);
            // a stored block without an end is as good as any: what it holds is not looked at before it is whole
            drip(stream, &head, b"\r\n4\r\n\x63\x60\x18\x05").await
        }
        Kind::Fragments => {
            stream.write_all(UPGRADE.as_bytes()).await?;
            let first = frame(0x02, &[0; 1_000]);
            let more = frame(0x00, &[0; 1_000]).repeat(64);
            endless(stream, &first, &more).await
        }
        Kind::EmptyFragments => {
            stream.write_all(UPGRADE.as_bytes()).await?;
            let more = frame(0x00, &[]).repeat(1_000);
            endless(stream, &frame(0x02, &[]), &more).await
        }
        Kind::Unread => {
            let ask = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
            endless(stream, b"", ask.as_bytes()).await
        }
        Kind::Malformed => {
            stream.write_all(UPGRADE.as_bytes()).await?;
            let message = frame(0x82, &[0xFF; 100]);
            loop {
                stream.write_all(&message).await?;
                if stream.read(&mut [0; 4_096]).await? == 0 {
                    return Ok(());
                }
            }
        }
        Kind::Connects => {
            stream.write_all(UPGRADE.as_bytes()).await?;
            stream.read_u8().await?;
            Ok(())
        }
    }
}

/// Says `head`, then one `drop` after the other until it is cut.
async fn drip(mut stream: TcpStream, head: &[u8], drop: &[u8]) -> std::io::Result<()> {
    stream.write_all(head).await?;
    loop {
        tokio::time::sleep(DRIP).await;
        stream.write_all(drop).await?;
    }
}

/// Says `first`, then `more` as fast as it is taken, and never reads.
async fn endless(mut stream: TcpStream, first: &[u8], more: &[u8]) -> std::io::Result<()> {
    stream.write_all(first).await?;
    loop {
        stream.write_all(more).await?;
    }
}

/// A masked frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        Ok(_) | Err(_) => {
            out.push(0x80 | 126);
            let long = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            out.extend(long.to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}
