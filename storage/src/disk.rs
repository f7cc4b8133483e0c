//! How much room the disk has. At a watermark nothing more is written, because sled does not survive a
//! disk that is full.

use std::io;
use std::path::{Path, PathBuf};

/// Below this much room nothing is written, or below a tenth of a small disk.
const WATERMARK_BYTES_MAX: u64 = 256 * 1024 * 1024;
const WATERMARK_SHARE: u64 = 10;

/// The disk under a directory.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    watermark: Option<u64>,
}

/// What the disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskState {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Below this nothing is written.
    pub watermark_bytes: u64,
}

impl Disk {
    /// The disk under `path`; `watermark` replaces the usual one.
    pub fn new(path: &Path, watermark: Option<u64>) -> Self {
        Self {
            path: path.to_owned(),
            watermark,
        }
    }

    /// Asks the disk.
    ///
    /// # Errors
    /// Fails when the file system does not answer.
    pub fn state(&self) -> io::Result<DiskState> {
        let stat = rustix::fs::statvfs(&self.path)?;
        let usual = (stat.f_blocks * stat.f_frsize / WATERMARK_SHARE).min(WATERMARK_BYTES_MAX);
        Ok(DiskState {
            free_bytes: stat.f_bavail * stat.f_frsize,
            watermark_bytes: self.watermark.unwrap_or(usual),
        })
    }

    /// Why nothing may be written, if so.
    pub fn refusal(&self) -> Option<String> {
        match self.state() {
            Ok(state) => state.refusal(),
            Err(error) => Some(format!("the disk does not answer: {error}")),
        }
    }
}

impl DiskState {
    /// Why nothing may be written, if so.
    pub fn refusal(&self) -> Option<String> {
        (self.free_bytes < self.watermark_bytes).then(|| {
            format!(
                "the disk is almost full: {} MiB are free, changes are refused below {} MiB",
                self.free_bytes >> 20,
                self.watermark_bytes >> 20
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_below_its_watermark_refuses_and_recovers() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Disk::new(dir.path(), Some(1)).refusal(), None);
        let refusal = Disk::new(dir.path(), Some(u64::MAX))
            .refusal()
            .expect("refused");
        assert!(refusal.contains("almost full"), "{refusal}");
    }
}
