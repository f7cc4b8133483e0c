//! Events of history that were kept, and those that were not, counted by reason.

use metrics::{Unit, counter, describe_counter, describe_gauge};

use super::names;

/// Why an event is not in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// More was said than is written: the queue in memory was full.
    QueueFull,
    /// A later event of its agent and kind took its place.
    Collapsed,
    /// The spool was at its cap, and it was among the oldest.
    SpoolFull,
    /// The disk did not take it.
    SpoolFailed,
    /// The process ended before it was written.
    Stopped,
}

impl Dropped {
    const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::Collapsed,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::Stopped,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Collapsed => "collapsed",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::Stopped => "stopped",
        }
    }

    /// Counts so many.
    pub fn count(self, events: u64) {
        counter!(names::HISTORY_DROPPED, "reason" => self.label()).increment(events);
    }
}

/// Counts events that are flushed to the spool.
pub fn written(events: u64) {
    counter!(names::HISTORY_WRITTEN).increment(events);
}

/// Says what the metrics mean, and shows every reason from the first scrape on.
pub(super) fn register() {
    describe_gauge!(
        names::HISTORY_SPOOL_BYTES,
        Unit::Bytes,
        "Bytes of the spool of this node"
    );
    describe_gauge!(
        names::HISTORY_LAG,
        Unit::Seconds,
        "Age of the oldest event that has not reached history"
    );
    describe_counter!(
        names::HISTORY_WRITTEN,
        "Events that are durable in the spool of this node"
    );
    describe_counter!(
        names::HISTORY_DROPPED,
        "Events that are not kept, by reason"
    );
    counter!(names::HISTORY_WRITTEN).absolute(0);
    for reason in Dropped::ALL {
        counter!(names::HISTORY_DROPPED, "reason" => reason.label()).absolute(0);
    }
}
