//! Group commit: one thread that flushes for everybody who waits, once for all of them, and tells them in
//! the order in which they came.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;

use crate::kv::Kv;

/// Appends that may wait for one flush; beyond it whoever appends waits.
const WAITING_MAX: usize = 4096;

type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Hears how long a flush took.
pub type FlushTimer = Arc<dyn Fn(&dyn Fn() -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// The mailbox of whoever flushes.
#[derive(Clone)]
pub struct Flusher {
    jobs: SyncSender<Done>,
    /// Nobody drives this one but its turns: whoever waits flushes by itself.
    turns: Option<FlushTurns>,
}

/// The flushes of a store without a thread: each is a turn that somebody takes, as a simulated disk does.
#[derive(Clone)]
pub struct FlushTurns {
    inner: Arc<Mutex<Turns>>,
}

struct Turns {
    kv: Arc<dyn Kv>,
    jobs: Receiver<Done>,
    state: Result<(), String>,
}

impl std::fmt::Debug for FlushTurns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlushTurns")
    }
}

impl FlushTurns {
    /// Flushes for everybody who waits, and tells them in order.
    pub fn take(&self) {
        // telling may ask for another flush, which is then of the next turn
        let (waiting, state) = {
            let mut turns = self.inner.lock();
            let waiting: Vec<Done> = turns.jobs.try_iter().collect();
            if waiting.is_empty() {
                return;
            }
            if turns.state.is_ok() {
                turns.state = turns.kv.flush().map_err(|error| error.to_string());
            }
            (waiting, turns.state.clone())
        };
        for done in waiting {
            done(state.clone().map_err(io::Error::other));
        }
    }
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
        Ok(Self { jobs, turns: None })
    }

    /// Without a thread: nothing is flushed but by the turns.
    pub fn by_turns(kv: Arc<dyn Kv>) -> (Self, FlushTurns) {
        let (jobs, receiver) = sync_channel(WAITING_MAX);
        let turns = FlushTurns {
            inner: Arc::new(Mutex::new(Turns {
                kv,
                jobs: receiver,
                state: Ok(()),
            })),
        };
        let flusher = Self {
            jobs,
            turns: Some(turns.clone()),
        };
        (flusher, turns)
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
        if let Some(turns) = &self.turns {
            turns.take();
        }
        told.recv().map_err(io::Error::other)?
    }
}

/// A measure that only flushes.
pub fn untimed() -> FlushTimer {
    Arc::new(|flush| flush())
}

/// After a flush that failed nothing is told to be durable any more: the disk may have dropped what it did
/// not take, and the next flush would not know.
fn drive(kv: &dyn Kv, jobs: &Receiver<Done>, timer: &FlushTimer) {
    let mut waiting = Vec::new();
    let mut state = Ok(());
    while let Ok(job) = jobs.recv() {
        waiting.push(job);
        waiting.extend(jobs.try_iter());
        if state.is_ok() {
            state = timer(&|| kv.flush()).map_err(|error| error.to_string());
        }
        for done in waiting.drain(..) {
            done(state.clone().map_err(io::Error::other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{CrashKv, Op};

    #[test]
    fn nothing_is_durable_after_a_flush_that_failed() {
        let kv = CrashKv::default();
        let flusher = Flusher::start(Arc::new(kv.clone()), untimed()).expect("starts");
        flusher.wait().expect("flushed");
        kv.batch(vec![Op::Put(b"a".to_vec(), Vec::new())])
            .expect("written");
        kv.fail();
        assert!(flusher.wait().is_err());
        // the disk recovers, and what it lost stays lost
        kv.crash(0);
        assert!(flusher.wait().is_err());
    }

    #[test]
    fn whoever_waits_is_told_in_order() {
        let flusher = Flusher::start(Arc::new(CrashKv::default()), untimed()).expect("starts");
        let (tell, told) = sync_channel(100);
        for number in 0..100 {
            let tell = tell.clone();
            let done = move |_| tell.send(number).expect("there is room");
            flusher.then(done).expect("runs");
        }
        flusher.wait().expect("flushed");
        assert_eq!(told.try_iter().collect::<Vec<_>>(), Vec::from_iter(0..100));
    }
}
