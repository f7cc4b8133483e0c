//! Rows without a thread of their own: somebody else says when they are written, as a simulated machine does.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{Rows, Shared, head, remove_other_generations};
use crate::disk::Disk;
use crate::flush::Flusher;
use crate::kv::{Fatal, Kv};

impl Rows {
    /// Without a thread: nothing is written but by [`Rows::take_turn`].
    ///
    /// # Errors
    /// Fails when the head cannot be read.
    pub fn by_turns(
        kv: Arc<dyn Kv>,
        flusher: Flusher,
        disk: Option<Disk>,
        fatal: Fatal,
    ) -> io::Result<Arc<Self>> {
        let head = head(&*kv)?;
        remove_other_generations(&*kv, head.generation)?;
        let shared = Arc::new(Shared {
            kv,
            flusher,
            disk,
            fatal,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            generation: Mutex::new(head.generation),
            durable: watch::Sender::new(head.applied.index()),
        });
        Ok(Arc::new(Self { shared }))
    }

    /// Writes what waits, as the thread would after its pause.
    pub fn take_turn(&self) {
        let urgent = std::mem::take(&mut self.shared.waiting.lock().urgent);
        self.shared.write_and_tell(urgent);
    }
}
