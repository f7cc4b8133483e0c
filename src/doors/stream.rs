//! A connection as the layers above see it: bytes, with or without TLS, and what was read of them before it was
//! known whose they are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// A TCP connection with bytes that were read ahead.
#[derive(Debug)]
pub struct Wire {
    tcp: TcpStream,
    /// Boxed, and gone once it was read: an idle agent is not to pay for it.
    ahead: Option<Box<Ahead>>,
}

#[derive(Debug, Default)]
struct Ahead {
    bytes: Vec<u8>,
    taken: usize,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, ahead: None }
    }

    /// What was read ahead and not taken.
    pub(super) fn ahead(&self) -> &[u8] {
        let rest = self.ahead.as_ref().map(|ahead| &ahead.bytes[ahead.taken..]);
        rest.unwrap_or_default()
    }

    /// Reads more ahead, up to `limit` in all.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub(super) async fn read_ahead(&mut self, limit: usize) -> io::Result<()> {
        let ahead = self.ahead.get_or_insert_default();
        let room = limit.saturating_sub(ahead.bytes.len());
        let mut more = (&mut self.tcp).take(room as u64);
        match more.read_buf(&mut ahead.bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes bytes that were read ahead away.
    pub(super) fn discard(&mut self, count: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.taken = ahead.bytes.len().min(ahead.taken + count);
            if ahead.taken == ahead.bytes.len() {
                self.ahead = None;
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_some() {
            let count = self.ahead().len().min(buf.remaining());
            buf.put_slice(&self.ahead()[..count]);
            self.discard(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

/// A connection that came in: readable for whoever carries it, or inside TLS.
pub type Stream = Either<Wire, Box<TlsStream<Wire>>>;
