//! Group commit: one thread that flushes for everybody who waits, once for all of them, and tells them in
//! the order in which they came.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::kv::Kv;

/// Appends that may wait for one flush; beyond it whoever appends waits.
const WAITING_MAX: usize = 4096;

type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Hears how long a flush took.
pub type FlushTimer = Arc<dyn Fn(&dyn Fn() -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// The thread's mailbox.
#[derive(Clone)]
pub struct Flusher {
    jobs: SyncSender<Done>,
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flusher")
    }
}

impl Flusher {
    /// Starts the thread; it ends when the last handle is dropped. `timer` runs each flush, so that the
    /// caller can measure it.
    ///
    /// # Errors
    /// Fails when the thread cannot be started.
    pub fn start(kv: Arc<dyn Kv>, timer: FlushTimer) -> io::Result<Self> {
        let (jobs, receiver) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn(move || drive(&*kv, &receiver, &timer))?;
        Ok(Self { jobs })
    }

    /// Calls `done` after the next flush that begins from here on.
    ///
    /// # Errors
    /// Fails when the thread is gone.
    pub fn then(&self, done: impl FnOnce(io::Result<()>) + Send + 'static) -> io::Result<()> {
        self.jobs
            .send(Box::new(done))
            .map_err(|_| io::Error::other("the flush thread is gone"))
    }

    /// Waits for a flush.
    ///
    /// # Errors
    /// Fails when the flush does.
    pub async fn flushed(&self) -> io::Result<()> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.then(move |result| drop(tell.send(result)))?;
        told.await.map_err(io::Error::other)?
    }

    /// Waits for a flush on a thread that may be held.
    ///
    /// # Errors
    /// Fails when the flush does.
    pub fn wait(&self) -> io::Result<()> {
        let (tell, told) = sync_channel(1);
        self.then(move |result| drop(tell.send(result)))?;
        told.recv().map_err(io::Error::other)?
    }
}

/// A measure that only flushes.
pub fn untimed() -> FlushTimer {
    Arc::new(|flush| flush())
}

fn drive(kv: &dyn Kv, jobs: &Receiver<Done>, timer: &FlushTimer) {
    let mut waiting = Vec::new();
    while let Ok(job) = jobs.recv() {
        waiting.push(job);
        waiting.extend(jobs.try_iter());
        let flushed = timer(&|| kv.flush()).map_err(|error| error.to_string());
        for done in waiting.drain(..) {
            done(flushed.clone().map_err(io::Error::other));
        }
    }
}
