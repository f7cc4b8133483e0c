//! Frames on the wire between nodes: a head of fixed size, then as many bytes as it says.
//!
//! `[length u32][number u64][within_ms u32][what u8]`, big-endian. What the bytes mean is not known here.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame, in bytes behind the head: a body of 8 MiB, what stands around it, and the envelope.
pub(super) const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024 + 64 * 1024;

const HEAD_BYTES: usize = 17;

/// Memory is taken as bytes come, not as they are announced.
const READ_BYTES: usize = 64 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Something is asked.
    Call = 1,
    /// What was asked is answered, under its number.
    Answer = 2,
    /// Something is asked for consensus: it does not share the memory that other calls hold.
    Urgent = 3,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes that follow.
    pub(super) bytes: usize,
    /// Number of the call on its connection; numbers grow.
    pub(super) number: u64,
    /// How long the caller waits; zero in an answer.
    pub(super) within: Duration,
    pub(super) what: What,
}

/// Why a frame was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The connection ended or failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// More bytes were announced than are taken.
    #[error("a frame of {0} bytes is too large")]
    Oversize(usize),
    /// The head makes no sense.
    #[error("the head of a frame cannot be read")]
    Malformed,
}

impl FrameError {
    /// The same for callers, who know of failed connections alone.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::Oversize(_) | Self::Malformed => io::Error::new(io::ErrorKind::InvalidData, self),
        }
    }
}

impl Head {
    fn encode(&self) -> io::Result<[u8; HEAD_BYTES]> {
        if self.bytes > FRAME_BYTES_MAX {
            let why = FrameError::Oversize(self.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let length = u32::try_from(self.bytes).map_err(io::Error::other)?;
        let within_ms = u32::try_from(self.within.as_millis()).unwrap_or(u32::MAX);
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4..12].copy_from_slice(&self.number.to_be_bytes());
        head[12..16].copy_from_slice(&within_ms.to_be_bytes());
        head[16] = self.what as u8;
        Ok(head)
    }
}

/// Reads a head; none when the connection ends between two frames.
///
/// # Errors
/// When more than `bytes_max` are announced, or nothing sensible is said.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> Result<Option<Head>, FrameError> {
    let first = match stream.read_u8().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        first => first?,
    };
    let mut rest = [0; 3];
    stream.read_exact(&mut rest).await?;
    let [second, third, fourth] = rest;
    let length = u32::from_be_bytes([first, second, third, fourth]);
    let number = stream.read_u64().await?;
    let within = Duration::from_millis(stream.read_u32().await?.into());
    let what = match stream.read_u8().await? {
        1 => What::Call,
        2 => What::Answer,
        3 => What::Urgent,
        _ => return Err(FrameError::Malformed),
    };
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > bytes_max {
        return Err(FrameError::Oversize(bytes));
    }
    Ok(Some(Head {
        bytes,
        number,
        within,
        what,
    }))
}

/// Reads what follows a head; `heard` is called whenever something came.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: usize,
    heard: impl Fn(),
) -> io::Result<Bytes> {
    let mut body = BytesMut::with_capacity(bytes.min(READ_BYTES));
    let mut rest = stream.take(bytes as u64);
    while body.len() < bytes {
        if rest.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard();
    }
    Ok(body.freeze())
}

/// Writes a frame and sends it on its way.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    number: u64,
    within: Duration,
    what: What,
    body: &[u8],
) -> io::Result<()> {
    let head = Head {
        bytes: body.len(),
        number,
        within,
        what,
    };
    stream.write_all(&head.encode()?).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let within = Duration::from_millis(250);
        write(&mut out, 7, within, What::Call, body)
            .await
            .expect("small");
        out
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_its_bytes_stay() {
        let bytes = written(b"body").await;
        assert_eq!(
            hex::encode(&bytes),
            "000000040000000000000007000000fa01626f6479"
        );
        let mut stream = bytes.as_slice();
        let head = read_head(&mut stream, 4)
            .await
            .expect("a head")
            .expect("a frame");
        let expected = Head {
            bytes: 4,
            number: 7,
            within: Duration::from_millis(250),
            what: What::Call,
        };
        assert_eq!(head, expected);
        let body = read_body(&mut stream, 4, || {}).await.expect("whole");
        assert_eq!(body, &b"body"[..]);
        assert!(read_head(&mut stream, 4).await.expect("the end").is_none());
    }

    #[tokio::test]
    async fn what_is_cut_or_nonsense_or_too_large_is_an_error() {
        let bytes = written(b"body").await;
        for end in 1..bytes.len() {
            let mut stream = &bytes[..end];
            let read = async {
                let head = read_head(&mut stream, 4)
                    .await?
                    .ok_or(FrameError::Malformed)?;
                Ok::<_, FrameError>(read_body(&mut stream, head.bytes, || {}).await?)
            };
            assert!(matches!(read.await, Err(FrameError::Io(_))), "{end}");
        }
        let too_large = read_head(&mut bytes.as_slice(), 3).await;
        assert!(matches!(too_large, Err(FrameError::Oversize(4))));
        let mut nonsense = bytes;
        nonsense[16] = 4;
        let read = read_head(&mut nonsense.as_slice(), 4).await;
        assert!(matches!(read, Err(FrameError::Malformed)));
        let large = vec![0; FRAME_BYTES_MAX + 1];
        let refused = write(&mut Vec::new(), 1, Duration::ZERO, What::Answer, &large).await;
        assert_eq!(
            refused.expect_err("too large").kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
