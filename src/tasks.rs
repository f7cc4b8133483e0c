//! The one place that starts tasks: a tracker that knows when all have ended, and a signal that asks them to.
//!
//! Knows nothing of what the tasks do. A task that ignores the signal holds a drain up until its caller's
//! deadline, so every task started here selects on [`Tasks::stopping`] or is bounded by itself.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to start tasks and to end them; clones speak of the same tasks.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Makes a group without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that [`Tasks::finished`] waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Runs work that holds its thread, on the threads kept for it.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Returns a group of its own inside this one: stopping this one stops it too, but not the other way
    /// round, and both wait for their own tasks only.
    #[must_use]
    pub fn group(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Returns the signal that asks tasks to end.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all tasks of this group and of the groups inside it to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns how many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until no task of this group runs, at most `within`; true when none is left. Tasks may still be
    /// started meanwhile, so callers stop first.
    pub async fn finished(&self, within: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_parent_stops_its_groups_and_not_the_reverse() {
        let node = Tasks::new();
        let door = node.group();
        door.stop();
        assert!(!node.stopping().is_cancelled());
        let other = node.group();
        let stopping = other.stopping();
        other.spawn(async move { stopping.cancelled().await });
        assert_eq!(other.running(), 1);
        node.stop();
        assert!(other.finished(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_reported() {
        let node = Tasks::new();
        node.spawn(std::future::pending::<()>());
        assert!(!node.finished(Duration::from_millis(1)).await);
    }
}
