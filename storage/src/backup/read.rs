//! The reading side: every byte is checked before anything is made of it, and whoever reads to the end knows that all of
//! it was as it was written.

use std::io::{self, Read};

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::rows::{Row, RowKey};
use sha2::{Digest, Sha256};

use super::{
    BackupError, Counts, ENVELOPE_BYTES_MAX, End, FORMAT, FRAME_BYTES, Header, MAGIC, Stored,
    Summary, Tag,
};
use crate::codec::{Kind, decode};

/// A backup that is being read.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    header: Header,
    counts: Counts,
    chunks: u64,
    end: Option<[u8; 32]>,
}

impl<R: Read> Reader<R> {
    /// Reads what stands before the rows.
    ///
    /// # Errors
    /// It is foreign, newer, damaged or cannot be read.
    pub fn open(input: R) -> Result<Self, BackupError> {
        let mut input = Input {
            inner: input,
            offset: 0,
            sha: Sha256::new(),
        };
        let magic = input.take(MAGIC.len())?;
        if magic != MAGIC {
            return Err(if MAGIC.starts_with(&magic) && !magic.is_empty() {
                input.truncated()
            } else {
                BackupError::Foreign
            });
        }
        let format = input.whole(4)?;
        input.sha.update(&magic);
        input.sha.update(&format);
        let format = format.try_into().map_or(u32::MAX, u32::from_be_bytes);
        if format != FORMAT {
            return Err(BackupError::Newer { found: format });
        }
        let (tag, offset, envelope) = input.chunk()?;
        if tag != Tag::Head {
            return Err(damaged(offset, "it does not begin with its header"));
        }
        let header: Header = decode(Kind::BackupHead, &envelope).map_err(unreadable(offset))?;
        if header.feature_level > FEATURE_LEVEL {
            return Err(BackupError::Features {
                found: header.feature_level,
                version: header.version,
            });
        }
        Ok(Self {
            input,
            header,
            counts: Counts::default(),
            chunks: 0,
            end: None,
        })
    }

    /// Of what it is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset
    }

    /// The rows of the next chunk; `None` at the end, when everything was whole.
    ///
    /// # Errors
    /// It is damaged, ends too early, has something behind its end, or cannot be read.
    pub fn rows(&mut self) -> Result<Option<Vec<(RowKey, Row)>>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let (tag, offset, envelope) = self.input.chunk()?;
        match tag {
            Tag::Head => Err(damaged(offset, "it has another header")),
            Tag::Rows => {
                let stored: Vec<Stored> =
                    decode(Kind::BackupRows, &envelope).map_err(unreadable(offset))?;
                self.chunks += 1;
                let rows = stored.into_iter().map(|stored| self.row(&stored, offset));
                rows.collect::<Result<Vec<_>, _>>().map(Some)
            }
            Tag::End => {
                let end: End = decode(Kind::BackupEnd, &envelope).map_err(unreadable(offset))?;
                self.check_end(&end, offset)?;
                self.end = Some(end.sha256);
                Ok(None)
            }
        }
    }

    fn row(&mut self, stored: &Stored, offset: u64) -> Result<(RowKey, Row), BackupError> {
        let Some(key) = RowKey::from_bytes(&stored.key) else {
            let version = &self.header.version;
            let what = format!("a row of an unknown kind, written by ampora {version}");
            return Err(damaged(offset, &what));
        };
        let row = decode(Kind::Row, &stored.row).map_err(unreadable(offset))?;
        self.counts.add(&key, &stored.key);
        Ok((key, row))
    }

    fn check_end(&mut self, end: &End, offset: u64) -> Result<(), BackupError> {
        let sha256: [u8; 32] = self.input.sha.clone().finalize().into();
        if end.sha256 != sha256 {
            return Err(damaged(
                offset,
                "its SHA-256 is not that of what stands before",
            ));
        }
        if end.chunks != self.chunks || end.rows != self.counts.numbers() {
            return Err(damaged(offset, "its counts are not those of its rows"));
        }
        if !self.input.take(1)?.is_empty() {
            return Err(damaged(
                self.input.offset - 1,
                "something stands behind its end",
            ));
        }
        Ok(())
    }

    /// Reads to the end without keeping anything, and says what was there.
    ///
    /// # Errors
    /// See [`Reader::rows`].
    pub fn summary(mut self) -> Result<Summary, BackupError> {
        while self.rows()?.is_some() {}
        Ok(Summary {
            chunks: self.chunks,
            rows: self.counts.names(),
            bytes: self.input.offset,
            sha256: self.end.unwrap_or_default(),
        })
    }
}

#[derive(Debug)]
struct Input<R> {
    inner: R,
    offset: u64,
    /// Over everything but the end.
    sha: Sha256,
}

impl<R: Read> Input<R> {
    /// So many bytes, or as many as there are.
    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, BackupError> {
        let mut taken = Vec::new();
        let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
        let read = self.inner.by_ref().take(limit).read_to_end(&mut taken);
        self.offset += taken.len() as u64;
        match read {
            Ok(_) => Ok(taken),
            Err(source) => Err(BackupError::Read {
                offset: self.offset,
                source,
            }),
        }
    }

    fn whole(&mut self, bytes: usize) -> Result<Vec<u8>, BackupError> {
        let taken = self.take(bytes)?;
        if taken.len() == bytes {
            Ok(taken)
        } else {
            Err(self.truncated())
        }
    }

    fn truncated(&self) -> BackupError {
        BackupError::Truncated {
            offset: self.offset,
        }
    }

    /// What the next chunk is, where it begins, and its envelope.
    fn chunk(&mut self) -> Result<(Tag, u64, Vec<u8>), BackupError> {
        let offset = self.offset;
        let frame = self.whole(FRAME_BYTES)?;
        let (tag, length) = match frame.split_first() {
            Some((tag, length)) => (*tag, length),
            None => return Err(self.truncated()),
        };
        let tags = [Tag::Head, Tag::Rows, Tag::End];
        let Some(tag) = tags.into_iter().find(|known| known.byte() == tag) else {
            return Err(damaged(offset, "no chunk begins so"));
        };
        let length = length.try_into().map_or(u32::MAX, u32::from_be_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > ENVELOPE_BYTES_MAX {
            return Err(damaged(offset, "a chunk is longer than any may be"));
        }
        let envelope = self.whole(length)?;
        if tag != Tag::End {
            self.sha.update(&frame);
            self.sha.update(&envelope);
        }
        Ok((tag, offset, envelope))
    }
}

fn damaged(offset: u64, what: &str) -> BackupError {
    BackupError::Damaged {
        offset,
        what: what.to_owned(),
    }
}

fn unreadable(offset: u64) -> impl Fn(io::Error) -> BackupError {
    move |error| damaged(offset, &error.to_string())
}
