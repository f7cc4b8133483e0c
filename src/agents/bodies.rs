//! Bodies that agents report, on their way to files.
//!
//! A connection never waits for the disk: one thread
//! writes, and what it has not written is read from memory. When it falls behind by more than a bound,
//! the connection that brings the next body writes it itself.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::SystemTime;

use ampora_raft::ids::BodyHash;
use ampora_storage::bodies::{Bodies, Swept};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

/// A first report brings three bodies of a few KiB: some thousand agents may arrive at once.
const WAITING_MAX: usize = 16_384;

/// Beyond this much memory bodies are written by whoever brings them.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The reported bodies of the agents of this node.
#[derive(Clone, Debug)]
pub struct ReportedBodies {
    inner: Arc<Inner>,
    jobs: SyncSender<BodyHash>,
}

#[derive(Debug)]
struct Inner {
    files: Bodies,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bodies: BTreeMap<BodyHash, Bytes>,
    bytes: usize,
}

impl ReportedBodies {
    /// Starts the writing thread; it ends when the last handle is dropped.
    ///
    /// # Errors
    /// Fails when the thread cannot be started.
    pub fn start(files: Bodies) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            files,
            waiting: Mutex::default(),
        });
        let (jobs, receiver) = sync_channel(WAITING_MAX);
        let writer = inner.clone();
        std::thread::Builder::new()
            .name("bodies".to_owned())
            .spawn(move || drive(&writer, &receiver))?;
        Ok(Self { inner, jobs })
    }

    /// Keeps a body and answers the hash by which it is found.
    pub fn put(&self, body: Bytes) -> BodyHash {
        let hash = Bodies::hash(&body);
        {
            let mut waiting = self.inner.waiting.lock();
            if waiting.bodies.contains_key(&hash) {
                return hash;
            }
            if waiting.bytes + body.len() > WAITING_BYTES_MAX {
                drop(waiting);
                self.inner.write_here(&body);
                return hash;
            }
            waiting.bytes += body.len();
            waiting.bodies.insert(hash, body);
        }
        match self.jobs.try_send(hash) {
            Ok(()) => {}
            Err(TrySendError::Full(hash) | TrySendError::Disconnected(hash)) => {
                self.inner.write_waiting(hash);
            }
        }
        hash
    }

    /// Removes what is old and not kept; see [`Bodies::sweep`].
    ///
    /// # Errors
    /// Fails when the directory cannot be read.
    pub fn sweep(
        &self,
        bytes_max: u64,
        older_than: SystemTime,
        keep: impl Fn(BodyHash) -> bool,
    ) -> io::Result<Swept> {
        self.inner.files.sweep(bytes_max, older_than, keep)
    }

    /// A body, from memory or from its file.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is damaged.
    pub fn get(&self, hash: BodyHash) -> io::Result<Option<Vec<u8>>> {
        if let Some(body) = self.inner.waiting.lock().bodies.get(&hash) {
            return Ok(Some(body.to_vec()));
        }
        self.inner.files.get(hash)
    }
}

impl Inner {
    fn write_waiting(&self, hash: BodyHash) {
        let body = self.waiting.lock().bodies.get(&hash).cloned();
        let Some(body) = body else { return };
        self.write(&body);
        let mut waiting = self.waiting.lock();
        if waiting.bodies.remove(&hash).is_some() {
            waiting.bytes -= body.len();
        }
    }

    /// Writes on the thread of whoever brings the body, which slows that one down and holds up nobody else.
    fn write_here(&self, body: &[u8]) {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
            tokio::task::block_in_place(|| self.write(body));
        } else {
            self.write(body);
        }
    }

    /// A body that cannot be written is lost, not fatal: the agent can be asked for it again.
    fn write(&self, body: &[u8]) {
        if let Err(error) = self.files.put(body) {
            tracing::warn!(%error, "cannot keep a body that an agent reported");
        }
    }
}

fn drive(inner: &Inner, jobs: &Receiver<BodyHash>) {
    while let Ok(hash) = jobs.recv() {
        inner.write_waiting(hash);
    }
}
