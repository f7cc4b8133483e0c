//! A byte stream that ends politely: after its own end it reads for a moment what the peer still sends.
//! Otherwise the kernel answers unread bytes with a reset, and the peer never sees the reply that says why.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the end is held open.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read and thrown away at most.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A stream with a polite end.
#[derive(Debug)]
pub struct Linger<S> {
    stream: S,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    until: Pin<Box<Sleep>>,
    discarded: usize,
}

impl<S> Linger<S> {
    /// Gives a stream a polite end.
    pub fn new(stream: S) -> Self {
        Self { stream, end: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linger<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let end = this.end.get_or_insert_with(|| End {
            until: Box::pin(tokio::time::sleep(LINGER)),
            discarded: 0,
        });
        let mut scratch = [0; 8192];
        while end.discarded < DISCARDED_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    end.discarded += buf.filled().len();
                }
                // the peer has ended too, or is gone: either way there is nothing to wait for
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return end.until.as_mut().poll(cx).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::tasks::Tasks;

    #[tokio::test]
    async fn the_peer_reads_the_reply_although_it_was_still_sending() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let mut peer = TcpStream::connect(address).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut stream = Linger::new(stream);
        peer.write_all(&[7; 300_000]).await.expect("sends");
        stream.write_all(b"too much").await.expect("replies");
        let closing = Tasks::new().spawn(async move { stream.shutdown().await });
        let mut reply = Vec::new();
        peer.read_to_end(&mut reply).await.expect("no reset");
        assert_eq!(reply, b"too much");
        drop(peer);
        closing.await.expect("ends").expect("without an error");
    }
}
