//! One data directory: its lock, its format, and the store inside.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskState};
use crate::flush::{FlushTimer, Flusher, untimed};
use crate::kv::{Fatal, Kv, SledKv};
use crate::log::Log;
use crate::rows::Rows;

/// The first line of `format`.
const FORMAT_NAME: &str = "ampora data";

/// The file of the format while it is written.
const FORMAT_NEW: &str = "format.new";

/// Stands in a directory while a backup is restored into it.
const RESTORING: &str = "restoring";

/// What this program writes; it reads nothing newer.
const FORMAT_VERSION: u32 = 1;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Free bytes below which nothing is written; `None` for the usual watermark.
    pub watermark_bytes: Option<u64>,
    /// Hears of an error after which nothing more may be written: the process should end.
    pub fatal: Fatal,
    /// Runs each flush, so that it can be measured.
    pub timer: FlushTimer,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            watermark_bytes: None,
            fatal: Arc::new(|_| {}),
            timer: untimed(),
        }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("watermark_bytes", &self.watermark_bytes)
            .finish_non_exhaustive()
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody uses it.
    #[error(
        "{path} is in use by another process (pid {pid}): stop it, or use another node.data_dir"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Whoever locked it last.
        pid: String,
    },
    /// There are files in it that are not ours.
    #[error("{0} is not empty and was not made by ampora: use an empty directory as node.data_dir")]
    Foreign(PathBuf),
    /// A backup was to go there, and something is in the way.
    #[error("{0} is not empty: a backup is restored into an empty directory only")]
    NotEmpty(PathBuf),
    /// A restore into it did not come to its end.
    #[error(
        "a restore into {0} did not come to its end: empty the directory and restore the backup again"
    )]
    Unfinished(PathBuf),
    /// It was written by a later program.
    #[error(
        "{path} has format {found}, this program reads up to {FORMAT_VERSION}: use a newer ampora"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// The disk has no room.
    #[error("{0}: make room before the start")]
    NoRoom(String),
    /// A step failed.
    #[error("cannot {step} in {path}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// An open data directory.
#[derive(Debug)]
pub struct Store {
    kv: Arc<SledKv>,
    flusher: Flusher,
    rows: Arc<Rows>,
    disk: Disk,
    _lock: File,
}

impl Store {
    /// Opens or makes the directory.
    ///
    /// # Errors
    /// Fails when it is in use, not ours, newer, full, or damaged; nothing is changed then.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        if is_unfinished(path) {
            return Err(OpenError::Unfinished(path.to_owned()));
        }
        Self::open_for(path, options, Purpose::Use)
    }

    /// Opens an empty directory for a backup that is about to be restored into it. Until [`Store::restored`] nobody
    /// else opens it.
    ///
    /// # Errors
    /// Fails when it is in use or not empty, without room, or cannot be written.
    pub fn open_to_restore(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        check_empty(path)?;
        Self::open_for(path, options, Purpose::Restore)
    }

    /// Everything is restored and flushed.
    ///
    /// # Errors
    /// Fails when the directory cannot be written.
    pub fn restored(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path.join(RESTORING))?;
        File::open(path)?.sync_all()
    }

    fn open_for(path: &Path, options: &StoreOptions, purpose: Purpose) -> Result<Self, OpenError> {
        let io = |step| {
            move |source| OpenError::Io {
                path: path.to_owned(),
                step,
                source,
            }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io("make the directory"))?;
        check_format(path)?;
        let lock = lock(path)?;
        // once more, because another process may have had it in between
        let fresh = check_format(path)?;
        let disk = Disk::new(path, options.watermark_bytes);
        if let Some(reason) = disk.refusal() {
            return Err(OpenError::NoRoom(reason));
        }
        if purpose == Purpose::Restore {
            File::create_new(path.join(RESTORING))
                .and_then(|file| file.sync_all())
                .map_err(io("mark the directory"))?;
        }
        if fresh {
            write_format(path).map_err(io("write the format"))?;
        }
        let kv = SledKv::open(&path.join("store"), options.fatal.clone())
            .map_err(io("open the store"))?;
        let kv = Arc::new(kv);
        let shared: Arc<dyn Kv> = kv.clone();
        let flusher = Flusher::start(shared.clone(), options.timer.clone())
            .map_err(io("start the flush thread"))?;
        let rows = Rows::start(
            shared,
            flusher.clone(),
            Some(disk.clone()),
            options.fatal.clone(),
        )
        .map_err(io("open the rows"))?;
        Ok(Self {
            kv,
            flusher,
            rows,
            disk,
            _lock: lock,
        })
    }

    /// The log.
    pub fn log(&self) -> Log {
        Log::new(self.kv.clone(), self.flusher.clone())
    }

    /// The rows.
    pub fn rows(&self) -> Arc<Rows> {
        self.rows.clone()
    }

    /// What the disk has.
    ///
    /// # Errors
    /// Fails when the file system does not answer.
    pub fn disk(&self) -> io::Result<DiskState> {
        self.disk.state()
    }

    /// Files in sled's `blobs/`: always 0.
    ///
    /// # Errors
    /// Fails when the directory cannot be read.
    pub fn blobs(&self) -> io::Result<usize> {
        self.kv.blobs()
    }
}

/// What a directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Use,
    Restore,
}

fn is_unfinished(path: &Path) -> bool {
    path.join(RESTORING).symlink_metadata().is_ok()
}

/// Whether a backup can be restored into it: it is empty, or not there.
///
/// # Errors
/// It is in use, not empty, or cannot be read; nothing is changed.
pub fn check_empty(path: &Path) -> Result<(), OpenError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(_) if unused(path) => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    if is_unfinished(path) {
        return Err(OpenError::Unfinished(path.to_owned()));
    }
    Err(match holder(path) {
        Some(pid) => OpenError::Locked {
            path: path.to_owned(),
            pid,
        },
        None => OpenError::NotEmpty(path.to_owned()),
    })
}

/// Who has the directory locked, if anybody does; changes nothing.
fn holder(path: &Path) -> Option<String> {
    let mut file = File::open(path.join("lock")).ok()?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    if locked != Err(rustix::io::Errno::WOULDBLOCK) {
        return None;
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    Some(pid)
}

/// Whether the directory was never used; an error when it is not ours to use.
fn check_format(path: &Path) -> Result<bool, OpenError> {
    let text = match std::fs::read_to_string(path.join("format")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && unused(path) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        Err(source) => {
            return Err(OpenError::Io {
                path: path.to_owned(),
                step: "read the format",
                source,
            });
        }
    };
    let found = text.trim_end().strip_prefix(FORMAT_NAME).map(str::trim);
    match found.map(|version| (version, version.parse::<u32>())) {
        Some((_, Ok(version))) if version <= FORMAT_VERSION => Ok(false),
        Some((found, _)) => Err(OpenError::Newer {
            path: path.to_owned(),
            found: found.to_owned(),
        }),
        None => Err(OpenError::Foreign(path.to_owned())),
    }
}

/// Whether there is nothing but what a first start leaves when it ends before it wrote the format, and what
/// a file system of its own begins with.
fn unused(path: &Path) -> bool {
    let Ok(mut entries) = std::fs::read_dir(path) else {
        return false;
    };
    entries.all(|entry| {
        entry.is_ok_and(|entry| {
            ["lock", FORMAT_NEW, "lost+found"]
                .iter()
                .any(|name| entry.file_name() == *name)
        })
    })
}

/// All or nothing: half a format would be a directory that is not ours.
fn write_format(path: &Path) -> io::Result<()> {
    let fresh = path.join(FORMAT_NEW);
    let mut file = File::create(&fresh)?;
    file.write_all(format!("{FORMAT_NAME} {FORMAT_VERSION}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path.join("format"))?;
    File::open(path)?.sync_all()
}

/// Locks the directory for the life of the process; the file says who has it.
fn lock(path: &Path) -> Result<File, OpenError> {
    let open = || -> io::Result<(File, bool)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))?;
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        match locked {
            Ok(()) => Ok((file, true)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok((file, false)),
            Err(error) => Err(error.into()),
        }
    };
    let claim = |mut file: File| -> io::Result<File> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(file)
    };
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        step: "lock the directory",
        source,
    };
    match open().map_err(io)? {
        (file, true) => claim(file).map_err(io),
        (mut file, false) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(io)?;
            Err(OpenError::Locked {
                path: path.to_owned(),
                pid,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_used_by_one_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("data");
        let store = Store::open(&path, &StoreOptions::default()).expect("opens");
        let refused = Store::open(&path, &StoreOptions::default()).expect_err("in use");
        let pid = std::process::id().to_string();
        assert!(refused.to_string().contains(&pid), "{refused}");
        drop(store);
    }

    /// The threads of the store before may still have it for a moment.
    fn open_when_closed(path: &Path) {
        loop {
            match Store::open(path, &StoreOptions::default()) {
                Ok(_) => return,
                Err(OpenError::Io { source, .. }) if source.to_string().contains("lock") => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_first_start_that_ended_anywhere_is_repeated() {
        let dir = tempfile::tempdir().expect("a directory");
        let full = StoreOptions {
            watermark_bytes: Some(u64::MAX),
            ..StoreOptions::default()
        };
        let refused = Store::open(dir.path(), &full).expect_err("no room");
        assert!(matches!(refused, OpenError::NoRoom(_)), "{refused}");
        std::fs::write(dir.path().join(FORMAT_NEW), "amp").expect("written");
        std::fs::create_dir(dir.path().join("lost+found")).expect("made");
        for _ in 0..3 {
            open_when_closed(dir.path());
        }
        assert!(dir.path().join("format").try_exists().expect("readable"));
    }

    #[test]
    fn what_is_not_ours_or_newer_is_refused_untouched() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
        let refused = Store::open(dir.path(), &StoreOptions::default()).expect_err("foreign");
        assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
        std::fs::write(dir.path().join("format"), "ampora data 99\n").expect("written");
        let refused = Store::open(dir.path(), &StoreOptions::default()).expect_err("newer");
        assert!(refused.to_string().contains("format 99"), "{refused}");
        assert!(!dir.path().join("store").try_exists().expect("readable"));
    }
}
