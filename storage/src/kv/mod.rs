//! The seam to the disk: an ordered map from bytes to bytes with atomic batches and a flush.

mod crash;
mod sled;

use std::fmt;
use std::io;

pub use crash::CrashKv;
pub use sled::{Fatal, SledKv};

/// No value is larger: sled 0.34 moves leaves of larger ones into files that it never syncs.
pub const VALUE_BYTES_MAX: usize = 4096;

/// No batch has more changes: sled holds a lock of the whole process while it applies one. The rows of the
/// largest entry fit: marks of 254 deliveries of as many dispatches with the longest messages.
pub const BATCH_OPS_MAX: usize = 2560;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Remove(Vec<u8>),
}

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An ordered map on a disk.
pub trait Kv: fmt::Debug + Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// At most `limit` pairs from `from` on and before `to`, in key order.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>>;

    /// The last pair from `from` on and before `to`.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn last(&self, from: &[u8], to: &[u8]) -> io::Result<Option<Pair>>;

    /// Makes all changes or none. They are visible at once and durable after the next [`Kv::flush`].
    ///
    /// # Errors
    /// Fails when the disk does, and when a value or the batch is too large.
    fn batch(&self, ops: Vec<Op>) -> io::Result<()>;

    /// Waits until all changes so far have reached the disk.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn flush(&self) -> io::Result<()>;
}

/// Refuses what would harm the store.
fn check(ops: &[Op]) -> io::Result<()> {
    if ops.len() > BATCH_OPS_MAX {
        return Err(io::Error::other(format!(
            "a batch of {} changes is larger than {BATCH_OPS_MAX}",
            ops.len()
        )));
    }
    let large = ops.iter().find_map(|op| match op {
        Op::Put(_, value) if value.len() > VALUE_BYTES_MAX => Some(value.len()),
        Op::Put(..) | Op::Remove(_) => None,
    });
    match large {
        Some(bytes) => Err(io::Error::other(format!(
            "a value of {bytes} bytes is larger than {VALUE_BYTES_MAX}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
