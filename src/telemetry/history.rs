//! Events of history that were kept, and those that were not, counted by reason.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

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
    /// It cannot be read any more.
    Damaged,
    /// Postgres had it and has it no more: it was set back to an older copy.
    SetBack,
    /// It left the fleet before Postgres had it, because it had waited for too long.
    Overdue,
}

impl Dropped {
    const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::Collapsed,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::Stopped,
        Self::Damaged,
        Self::SetBack,
        Self::Overdue,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Collapsed => "collapsed",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::Stopped => "stopped",
            Self::Damaged => "damaged",
            Self::SetBack => "set_back",
            Self::Overdue => "overdue",
        }
    }

    /// Counts so many.
    pub fn count(self, events: u64) {
        counter!(names::HISTORY_DROPPED, "reason" => self.label()).increment(events);
    }
}

/// Counts events that have reached history.
pub fn written(events: u64) {
    counter!(names::HISTORY_WRITTEN).increment(events);
}

/// Says what the metrics mean, and shows every reason from the first scrape on.
pub(super) fn register() {
    describe_gauge!(
        names::HISTORY_SPOOL_BYTES,
        Unit::Bytes,
        "Disk that the spool of this node takes, estimated as four times what it holds"
    );
    describe_gauge!(
        names::HISTORY_LAG,
        Unit::Seconds,
        "Age of the oldest event that has not reached history"
    );
    describe_counter!(
        names::HISTORY_WRITTEN,
        "Events that this node has brought into history: into Postgres, or its own where there is none"
    );
    describe_histogram!(
        names::DB_QUERY_DURATION,
        Unit::Seconds,
        "Time of queries of the history store, by name and server"
    );
    describe_gauge!(
        names::DB_POOL,
        "Connections to Postgres, by state; `waiting` are callers without one"
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
