//! Bodies that agents reported, as files named by their SHA-256. They can be had again from the agent, so
//! nothing here is flushed; a damaged file counts as absent.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use ampora_raft::ids::BodyHash;
use sha2::{Digest, Sha256};

/// The files of one node; clones share them.
#[derive(Clone, Debug)]
pub struct Bodies {
    dir: PathBuf,
    /// Names of files that are being written.
    written: Arc<AtomicU64>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files that stayed.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Files that went.
    pub removed: u64,
}

impl Bodies {
    /// Opens or makes the directory, and removes what an earlier process left half written.
    ///
    /// # Errors
    /// Fails when the directory cannot be made or read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                remove(&path)?;
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            written: Arc::default(),
        })
    }

    /// The name of a body.
    pub fn hash(body: &[u8]) -> BodyHash {
        BodyHash(Sha256::digest(body).into())
    }

    fn path(&self, hash: BodyHash) -> PathBuf {
        let name = hash.to_string();
        self.dir.join(&name[..2]).join(&name[2..])
    }

    /// Keeps a body; one that is there already stays as it is.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn put(&self, body: &[u8]) -> io::Result<BodyHash> {
        let hash = Self::hash(body);
        let path = self.path(hash);
        if path.try_exists()? {
            touch(&path)?;
            return Ok(hash);
        }
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let fresh = self.dir.join(format!("{number}.new"));
        let written = write(&fresh, body).and_then(|()| std::fs::rename(&fresh, path));
        if written.is_err() {
            // on a full disk each try would leave its part behind
            drop(std::fs::remove_file(&fresh));
        }
        written.map(|()| hash)
    }

    /// A body; `None` when there is no file or it is not what its name says.
    ///
    /// # Errors
    /// Fails when the file is there and cannot be read.
    pub fn get(&self, hash: BodyHash) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(hash);
        match std::fs::read(&path) {
            Ok(body) if Self::hash(&body) == hash => Ok(Some(body)),
            Ok(_damaged) => {
                tracing::warn!(body.hash = %hash, "a kept body is damaged and was removed");
                remove(&path)?;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes every body that is older than `older_than` and that `keep` does not want, and oldest first what
    /// exceeds `bytes_max`.
    ///
    /// # Errors
    /// Fails when the directory cannot be read.
    pub fn sweep(
        &self,
        bytes_max: u64,
        older_than: SystemTime,
        keep: impl Fn(BodyHash) -> bool,
    ) -> io::Result<Swept> {
        let mut swept = Swept::default();
        let mut kept = Vec::new();
        for shard in std::fs::read_dir(&self.dir)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(shard.path())? {
                let file = file?;
                let metadata = file.metadata()?;
                let modified = metadata.modified()?;
                let named = name(&shard.path(), &file.path());
                if modified >= older_than || named.is_some_and(&keep) {
                    kept.push((modified, metadata.len(), file.path()));
                } else {
                    remove(&file.path())?;
                    swept.removed += 1;
                }
            }
        }
        kept.sort();
        swept.kept_bytes = kept.iter().map(|(_, bytes, _)| bytes).sum();
        swept.kept = kept.len() as u64;
        for (_, bytes, path) in kept {
            if swept.kept_bytes <= bytes_max {
                break;
            }
            remove(&path)?;
            swept.kept_bytes -= bytes;
            swept.kept -= 1;
            swept.removed += 1;
        }
        Ok(swept)
    }
}

/// Removes a file; one that somebody else has removed or renamed meanwhile is gone as well.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a file young again, so that a sweep waits for whoever names it now.
fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let at = |nanos| Timespec {
        tv_sec: 0,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: at(UTIME_OMIT),
        last_modification: at(UTIME_NOW),
    };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(body)
}

/// The hash that a file is named by.
fn name(shard: &Path, file: &Path) -> Option<BodyHash> {
    let mut name = shard.file_name()?.to_str()?.to_owned();
    name.push_str(file.file_name()?.to_str()?);
    let bytes = hex::decode(name).ok()?;
    Some(BodyHash(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_or_counts_as_absent() {
        let dir = tempfile::tempdir().expect("a directory");
        let bodies = Bodies::open(dir.path()).expect("opens");
        let hash = bodies.put(b"effective: yes").expect("written");
        assert_eq!(
            bodies.get(hash).expect("read"),
            Some(b"effective: yes".to_vec())
        );
        std::fs::write(bodies.path(hash), b"something else").expect("damaged");
        assert_eq!(bodies.get(hash).expect("read"), None);
        assert_eq!(bodies.get(Bodies::hash(b"never")).expect("read"), None);
    }

    #[test]
    fn a_sweep_keeps_what_is_wanted_within_the_cap() {
        let dir = tempfile::tempdir().expect("a directory");
        let bodies = Bodies::open(dir.path()).expect("opens");
        let hashes: Vec<_> = (0..4_u8)
            .map(|n| bodies.put(&[n; 100]).expect("written"))
            .collect();
        let swept = bodies
            .sweep(u64::MAX, SystemTime::UNIX_EPOCH, |_| false)
            .expect("readable");
        assert_eq!((swept.kept, swept.removed), (4, 0), "all are young");
        let far = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(10_000_000_000);
        let swept = bodies
            .sweep(250, far, |hash| hash != hashes[0])
            .expect("readable");
        assert_eq!((swept.kept, swept.kept_bytes, swept.removed), (2, 200, 2));
        assert_eq!(bodies.get(hashes[0]).expect("read"), None);
    }
}
