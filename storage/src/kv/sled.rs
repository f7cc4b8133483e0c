//! sled behind the seam: the only file that names it. Pinned to 0.34.7, with the barrier of
//! [`crate::barrier`] under its flush.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Kv, Op, Pair, check};

/// Pages of sled that stay in memory; the log's tail and the rows behind it fit.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Counts starts, so that the check of the barrier writes a value that changes.
const STARTS: &[u8] = b"m:starts";

/// Hears of an error after which nothing more may be written.
pub type Fatal = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// One sled database.
#[derive(Clone)]
pub struct SledKv {
    db: ::sled::Db,
    path: PathBuf,
    fatal: Fatal,
}

impl fmt::Debug for SledKv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SledKv").field(&self.path).finish()
    }
}

impl SledKv {
    /// Opens or creates the database in `path`, and refuses when its flush does not reach the disk barrier
    /// or its `blobs/` is not empty.
    ///
    /// # Errors
    /// Fails when the disk does, or on one of these two.
    pub fn open(path: &Path, fatal: Fatal) -> io::Result<Self> {
        Self::open_cached(path, CACHE_BYTES, fatal)
    }

    /// The same with so many bytes of pages in memory.
    ///
    /// # Errors
    /// Like [`SledKv::open`].
    pub fn open_cached(path: &Path, cache_bytes: u64, fatal: Fatal) -> io::Result<Self> {
        let db = ::sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .open()?;
        let kv = Self {
            db,
            path: path.to_owned(),
            fatal,
        };
        kv.check_barrier()?;
        let blobs = kv.blobs()?;
        if blobs > 0 {
            return Err(io::Error::other(format!(
                "{blobs} files in {}: values outside the durable log; restore a backup",
                path.join("blobs").display()
            )));
        }
        Ok(kv)
    }

    /// Files in `blobs/`: always 0, because no value is large enough.
    ///
    /// # Errors
    /// Fails when the directory cannot be read.
    pub fn blobs(&self) -> io::Result<usize> {
        match std::fs::read_dir(self.path.join("blobs")) {
            Ok(entries) => Ok(entries.count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn check_barrier(&self) -> io::Result<()> {
        let before = crate::barrier::barriers();
        let starts = self.get(STARTS)?.unwrap_or_default();
        let starts = starts.try_into().map_or(0, u64::from_be_bytes);
        let next = starts.wrapping_add(1).to_be_bytes().to_vec();
        self.batch(vec![Op::Put(STARTS.to_vec(), next)])?;
        self.flush()?;
        if crate::barrier::barriers() == before {
            return Err(io::Error::other(
                "the store's flush does not reach the disk barrier of this executable",
            ));
        }
        Ok(())
    }

    /// After an error of sled the memory and the disk may differ: nothing goes on.
    fn checked<T>(&self, result: ::sled::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let error = io::Error::from(error);
            (self.fatal)(&error);
            error
        })
    }
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.checked(self.db.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        self.db
            .range::<&[u8], _>(bounds)
            .take(limit)
            .map(|pair| {
                let (key, value) = self.checked(pair)?;
                Ok((key.to_vec(), value.to_vec()))
            })
            .collect()
    }

    fn last(&self, from: &[u8], to: &[u8]) -> io::Result<Option<Pair>> {
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        self.db
            .range::<&[u8], _>(bounds)
            .next_back()
            .map(|pair| {
                let (key, value) = self.checked(pair)?;
                Ok((key.to_vec(), value.to_vec()))
            })
            .transpose()
    }

    fn batch(&self, ops: Vec<Op>) -> io::Result<()> {
        check(&ops)?;
        let mut batch = ::sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(key, value),
                Op::Remove(key) => batch.remove(key),
            }
        }
        self.checked(self.db.apply_batch(batch))
    }

    fn flush(&self) -> io::Result<()> {
        self.checked(self.db.flush()).map(drop)
    }
}
