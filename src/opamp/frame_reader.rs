//! A reader that never hands out bytes past the end of the current WebSocket frame.
//!
//! The library's buffer is then empty between messages, so that it may be tiny for a hundred thousand idle
//! sockets and be thrown away after a large message. Bytes are read once per readiness into a buffer of the
//! thread; only those of a following frame are kept here. The reader understands lengths alone (RFC 6455
//! §5.2): everything else is for the library to judge.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::budget::{Budget, Reservation};

/// Bytes taken from a socket at once.
const SCRATCH_BYTES: usize = 16 * 1024;

/// A frame header has at most this many bytes: two, a length of eight, a mask of four.
const HEADER_BYTES_MAX: usize = 14;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// What of a frame is still to come.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// Its header, of which so many bytes are there.
    Header([u8; HEADER_BYTES_MAX], usize),
    /// So many bytes of its payload.
    Payload(u64),
}

const NOTHING: Frame = Frame::Header([0; HEADER_BYTES_MAX], 0);

/// A stream that is aligned to frames.
#[derive(Debug)]
pub(super) struct FrameReader<S> {
    stream: S,
    budget: Budget,
    frame: Frame,
    /// Bytes of following frames, already read.
    ahead: Bytes,
    /// Bytes of the message so far, announced by the headers of its frames.
    message_bytes: u64,
    /// The message has frames to come.
    unfinished: bool,
    /// Made for large messages only.
    reservation: Option<Box<Reservation>>,
}

impl<S> FrameReader<S> {
    /// Reads from `ahead`, then from `stream`.
    pub(super) fn new(stream: S, ahead: Bytes, budget: Budget) -> Self {
        Self {
            stream,
            budget,
            frame: NOTHING,
            ahead,
            message_bytes: 0,
            unfinished: false,
            reservation: None,
        }
    }

    /// The message was handled: what it held of the budget is free again.
    pub(super) fn message_done(&mut self) {
        self.reservation = None;
    }

    /// Whether a whole frame that ends something was read ahead: the next message will not wait.
    pub(super) fn has_frame_ahead(&self) -> bool {
        let header = &self.ahead[..self.ahead.len().min(HEADER_BYTES_MAX)];
        let frame_bytes = || {
            let payload = usize::try_from(payload_bytes(header)?).ok()?;
            header_bytes(header)?.checked_add(payload)
        };
        let ends = header.first().is_some_and(|first| first & FIN != 0);
        ends && frame_bytes().is_some_and(|bytes| bytes <= self.ahead.len())
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_inside_message(&self) -> bool {
        self.unfinished || !matches!(self.frame, Frame::Header(_, 0))
    }

    /// Whether the message in progress waits for the byte budget of the node.
    pub(super) fn waits_for_budget(&self) -> bool {
        self.reservation.is_some()
    }

    /// Copies from `source` to `buf` up to the end of the frame, and says how many bytes.
    fn hand_out(&mut self, source: &[u8], buf: &mut ReadBuf<'_>) -> usize {
        let mut taken = 0;
        while taken < source.len() && buf.remaining() > 0 {
            let rest = &source[taken..];
            match &mut self.frame {
                Frame::Payload(left) => {
                    let some = usize::try_from(*left).unwrap_or(usize::MAX);
                    let some = some.min(rest.len()).min(buf.remaining());
                    buf.put_slice(&rest[..some]);
                    taken += some;
                    *left -= some as u64;
                    if *left == 0 {
                        self.frame = NOTHING;
                        break;
                    }
                }
                Frame::Header(header, length) => {
                    let byte = rest[0];
                    buf.put_slice(&[byte]);
                    taken += 1;
                    header[*length] = byte;
                    *length += 1;
                    let Some(payload) = payload_bytes(&header[..*length]) else {
                        continue;
                    };
                    let first = header[0];
                    self.begin(first, payload);
                    if payload == 0 {
                        break;
                    }
                }
            }
        }
        taken
    }

    /// A whole header was seen.
    fn begin(&mut self, first: u8, payload: u64) {
        const OPCODE: u8 = 0x0F;
        const CONTROL: u8 = 0x08;
        self.frame = match payload {
            0 => NOTHING,
            bytes => Frame::Payload(bytes),
        };
        if first & CONTROL != 0 {
            return;
        }
        if first & OPCODE != 0 {
            self.message_bytes = 0;
        }
        self.message_bytes = self.message_bytes.saturating_add(payload);
        self.unfinished = first & FIN == 0;
    }

    /// Waits until the message fits the budget of the node.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.message_bytes <= u64::try_from(SCRATCH_BYTES).unwrap_or(u64::MAX) {
            return Poll::Ready(());
        }
        let budget = &self.budget;
        let reservation = self
            .reservation
            .get_or_insert_with(|| Box::new(budget.reservation()));
        reservation.poll_cover(self.message_bytes, cx)
    }
}

/// First byte: the message ends with this frame.
const FIN: u8 = 0x80;

/// Second byte: the payload is masked.
const MASKED: u8 = 0x80;

/// Bytes of the length that follows the second byte.
fn length_bytes(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// The length of the header that begins so, when its second byte is there.
fn header_bytes(header: &[u8]) -> Option<usize> {
    let second = *header.get(1)?;
    let mask_bytes = if second & MASKED == 0 { 0 } else { 4 };
    Some(2 + length_bytes(second) + mask_bytes)
}

/// The length of the payload, when the header is whole.
fn payload_bytes(header: &[u8]) -> Option<u64> {
    if header.len() < header_bytes(header)? {
        return None;
    }
    let second = header[1];
    match length_bytes(second) {
        0 => Some(u64::from(second & !MASKED)),
        bytes => {
            let big_endian = header[2..2 + bytes].iter();
            Some(big_endian.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_budget(cx));
        if !this.ahead.is_empty() {
            // one read of the socket may have brought thousands of tiny frames: others have their turn in between
            ready!(poll_proceed(cx)).made_progress();
            let ahead = this.ahead.clone();
            let taken = this.hand_out(&ahead, buf);
            this.ahead.advance(taken);
            if this.ahead.is_empty() {
                this.ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let source = read.filled();
            let taken = this.hand_out(source, buf);
            if taken < source.len() {
                this.ahead = Bytes::copy_from_slice(&source[taken..]);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameReader<S> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tasks::Tasks;

    const LIMIT: usize = 64 * 1024 * 1024;

    /// A masked frame as a client sends it; the mask is zero, so that the payload stays readable.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            short @ 0..126 => out.push(0x80 | u8::try_from(short).expect("short")),
            medium @ 126..65_536 => {
                out.push(0x80 | 126);
                out.extend(u16::try_from(medium).expect("medium").to_be_bytes());
            }
            long => {
                out.push(0x80 | 127);
                out.extend((long as u64).to_be_bytes());
            }
        }
        out.extend([0; 4]);
        out.extend(payload);
        out
    }

    #[tokio::test]
    async fn no_read_passes_the_end_of_a_frame_however_the_bytes_arrive() {
        let frames = [
            frame(0x82, b"hello"),
            frame(0x89, b""),
            frame(0x02, &[1; 126]),
            frame(0x80, &[2; 70_000]),
            frame(0x82, b"x"),
        ];
        let all: Vec<u8> = frames.concat();
        let ends: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        for (step, room) in [(1, 256), (7, 3), (1000, 256), (all.len(), 4096)] {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let mut reader = FrameReader::new(server, Bytes::new(), Budget::new(LIMIT));
            let sent = all.clone();
            let sender = Tasks::new().spawn(async move {
                for some in sent.chunks(step) {
                    client.write_all(some).await.expect("sends");
                }
                client
            });
            let mut got: Vec<u8> = Vec::new();
            let mut was_ahead = false;
            let mut buf = vec![0; room];
            while got.len() < all.len() {
                let read = reader.read(&mut buf).await.expect("reads");
                let before = got.len();
                got.extend(&buf[..read]);
                let crossed = ends.iter().any(|end| before < *end && got.len() > *end);
                assert!(!crossed, "a read crossed the end of a frame");
                was_ahead |= reader.has_frame_ahead();
            }
            assert!(was_ahead || step < 1000, "whole frames are seen ahead");
            assert_eq!(got, all);
            assert!(!reader.is_inside_message());
            drop(sender.await.expect("ends"));
        }
    }

    /// Reads once.
    async fn step(reader: &mut FrameReader<tokio::io::DuplexStream>, room: usize) -> usize {
        let mut buf = vec![0; room];
        reader.read(&mut buf).await.expect("reads")
    }

    #[tokio::test]
    async fn a_message_is_open_until_its_last_frame() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(server, Bytes::new(), Budget::new(LIMIT));
        client.write_all(&frame(0x02, b"a")).await.expect("sends");
        assert!(step(&mut reader, 256).await > 0);
        assert!(reader.is_inside_message());
        client.write_all(&frame(0x89, b"")).await.expect("sends");
        assert!(step(&mut reader, 256).await > 0);
        assert!(reader.is_inside_message(), "a ping ends nothing");
        client.write_all(&frame(0x80, b"b")).await.expect("sends");
        assert!(step(&mut reader, 256).await > 0);
        assert!(!reader.is_inside_message());
    }

    #[tokio::test]
    async fn a_large_message_waits_for_the_budget() {
        let budget = Budget::new(LIMIT);
        let mut other = budget.reservation();
        other.cover(256 * 1024 * 1024).await;
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(server, Bytes::new(), budget);
        client
            .write_all(&frame(0x82, &[0; 100_000]))
            .await
            .expect("sends");
        assert_eq!(step(&mut reader, 14).await, 14, "the header");
        let waits = tokio::time::timeout(Duration::from_millis(20), step(&mut reader, 256));
        assert!(waits.await.is_err() && reader.waits_for_budget());
        drop(other);
        assert_eq!(step(&mut reader, 256).await, 256);
        reader.message_done();
        assert!(!reader.waits_for_budget());
    }
}
