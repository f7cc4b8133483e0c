//! The writing side: rows go in, chunks come out; where they go is the caller's business.

use std::io;

use ampora_raft::rows::{Row, RowKey};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{CHUNK_BYTES, Counts, End, FORMAT, FRAME_BYTES, Header, MAGIC, Stored, Tag};
use crate::codec::{Kind, encode};

/// A backup that is being written.
#[derive(Debug)]
pub struct Writer {
    sha: Sha256,
    waiting: Vec<Stored>,
    waiting_bytes: usize,
    counts: Counts,
    chunks: u64,
}

impl Writer {
    /// Begins; the answer are the first bytes.
    ///
    /// # Errors
    /// Fails on a header larger than anything stored.
    pub fn begin(header: &Header) -> io::Result<(Self, Vec<u8>)> {
        let mut writer = Self {
            sha: Sha256::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            counts: Counts::default(),
            chunks: 0,
        };
        let mut first = MAGIC.to_vec();
        first.extend_from_slice(&FORMAT.to_be_bytes());
        first.extend(frame(Tag::Head, &encode(Kind::BackupHead, header)?)?);
        writer.sha.update(&first);
        Ok((writer, first))
    }

    /// Takes a row; answers a chunk when one is full.
    ///
    /// # Errors
    /// Fails on a row larger than anything stored.
    pub fn row(&mut self, key: &RowKey, row: &Row) -> io::Result<Option<Vec<u8>>> {
        let row = Bytes::from(encode(Kind::Row, row)?);
        let name = Bytes::from(key.to_bytes());
        self.counts.add(key, &name);
        let bytes = name.len() + row.len();
        let is_full = !self.waiting.is_empty() && self.waiting_bytes + bytes > CHUNK_BYTES;
        let chunk = if is_full { Some(self.chunk()?) } else { None };
        self.waiting.push(Stored { key: name, row });
        self.waiting_bytes += bytes;
        Ok(chunk)
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let rows = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.chunks += 1;
        let chunk = frame(Tag::Rows, &encode(Kind::BackupRows, &rows)?)?;
        self.sha.update(&chunk);
        Ok(chunk)
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Fails on a row larger than anything stored.
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        let mut last = if self.waiting.is_empty() {
            Vec::new()
        } else {
            self.chunk()?
        };
        let end = End {
            chunks: self.chunks,
            rows: self.counts.numbers(),
            sha256: self.sha.finalize().into(),
        };
        last.extend(frame(Tag::End, &encode(Kind::BackupEnd, &end)?)?);
        Ok(last)
    }
}

fn frame(tag: Tag, envelope: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(envelope.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(FRAME_BYTES + envelope.len());
    frame.push(tag.byte());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(envelope);
    Ok(frame)
}
