//! HTTP on a stream that came in, in the version that was agreed on, with bounds on what a peer can hold.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::Linger;
use super::stream::Stream;
use crate::sockets::Unread;
use crate::tasks::Tasks;

/// Requests of one HTTP/2 connection at once: a proxy sends the polls of many agents over one.
const STREAMS_MAX: u32 = 128;

/// Bytes of one HTTP/2 request that may come unasked for.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Bytes of all requests of an HTTP/2 connection that may come unasked for.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one HTTP/2 answer that wait for the peer.
const STREAM_SEND_BYTES: usize = 64 * 1024;

/// What a connection that is told to end may still take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, the only one that opens a `WebSocket` here.
    Http1,
    /// HTTP/2, agreed on in TLS.
    Http2,
}

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// A request line and its headers have to arrive within this, counted from the answer before.
    pub head_timeout: Duration,
    /// Bytes of a request line and its headers.
    pub head_bytes: usize,
    /// An HTTP/2 connection without a byte for this long is ended.
    pub idle_timeout: Duration,
    /// Whoever takes nothing of an answer for this long is cut.
    pub write_timeout: Duration,
    /// The listener in metrics.
    pub door: &'static str,
}

/// What an HTTP/1.1 connection is held by: also when it becomes something else.
pub type Held = Linger<Unread<Stream>>;

/// Serves a connection until it ends, becomes something else, or `tasks` is stopped and what is under way is done.
///
/// # Errors
/// When the peer breaks the protocol or is lost.
pub async fn speak<A, F, B>(
    stream: Stream,
    protocol: Protocol,
    answer: A,
    limits: HttpLimits,
    tasks: &Tasks,
) -> Result<(), hyper::Error>
where
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let stopping = tasks.stopping();
    let stream = Unread::new(stream, limits.write_timeout, limits.door);
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_timeout)
                .max_buf_size(limits.head_bytes)
                .serve_connection(TokioIo::new(Linger::new(stream)), service)
                .with_upgrades();
            let mut connection = pin!(connection);
            tokio::select! {
                ended = &mut connection => ended,
                () = stopping.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Protocol::Http2 => {
            let bytes = Arc::new(AtomicU64::new(0));
            let watched = Watched {
                stream,
                bytes: bytes.clone(),
            };
            let connection = http2::Builder::new(Tracked(tasks.clone()))
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(STREAM_SEND_BYTES)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .serve_connection(TokioIo::new(watched), service);
            let mut connection = pin!(connection);
            tokio::select! {
                ended = &mut connection => return ended,
                () = idle(&bytes, limits.idle_timeout) => {}
                () = stopping.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            // whoever went silent in the middle is not waited for
            let last_words = tokio::time::timeout(LAST_WORDS, connection);
            last_words.await.unwrap_or(Ok(()))
        }
    }
}

/// Ends when no byte has gone either way for `timeout`, or for a little longer.
async fn idle(bytes: &AtomicU64, timeout: Duration) {
    let mut seen = None;
    loop {
        let now = bytes.load(Ordering::Relaxed);
        if seen.replace(now) == Some(now) {
            return;
        }
        tokio::time::sleep(timeout).await;
    }
}

/// Spawns what an HTTP/2 connection does beside itself.
#[derive(Clone, Debug)]
struct Tracked(Tasks);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A stream that counts its bytes.
#[derive(Debug)]
struct Watched {
    stream: Unread<Stream>,
    bytes: Arc<AtomicU64>,
}

impl Watched {
    fn went(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.went(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.went(*bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
