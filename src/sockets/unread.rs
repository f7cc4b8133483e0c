//! A byte stream whose peer has to take what it is sent: a write that gets nowhere for a time fails. Otherwise an
//! answer that nobody reads is held for as long as its peer likes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Cut, cut};

/// A stream with a limit on stalled writes.
#[derive(Debug)]
pub struct Unread<S> {
    stream: S,
    door: &'static str,
    limit: Duration,
    /// Runs while a write gets nowhere.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Unread<S> {
    /// A write that gets nowhere for `limit` fails; `door` names the listener in metrics.
    pub fn new(stream: S, limit: Duration, door: &'static str) -> Self {
        Self {
            stream,
            door,
            limit,
            stalled: None,
        }
    }

    fn judged<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        cut(self.door, Cut::Unread);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judged(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judged(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_reads_slowly_is_served() {
        let (mut peer, stream) = tokio::io::duplex(10);
        let mut stream = Unread::new(stream, Duration::from_secs(60), "test");
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                peer.read_exact(&mut [0; 10]).await.expect("bytes");
            }
        };
        let (written, ()) = tokio::join!(stream.write_all(&[7; 100]), slow);
        written.expect("somebody reads");
        assert!(stream.stalled.is_none());
    }

    #[tokio::test]
    async fn a_peer_that_stops_reading_is_given_up() {
        let (_peer, stream) = tokio::io::duplex(10);
        let mut stream = Unread::new(stream, Duration::from_millis(10), "test");
        let failed = stream.write_all(&[7; 100]).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
