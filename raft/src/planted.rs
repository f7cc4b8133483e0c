//! Bugs on purpose. The simulation has to find each of them; without the feature `planted`, which nothing that ships
//! has, every question is answered with no when it is compiled.

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// Leases end by the wall clock of the leader.
    WallClock = 1,
    /// A node believes in its lease for all of its TTL, counted from the answer.
    FullTtl,
    /// An append is acknowledged before it is flushed.
    AckBeforeFlush,
    /// Sessions and leases are obeyed under any fence.
    FenceIgnored,
    /// A restart is written before its mark is committed.
    RestartBeforeMark,
    /// A batch whose outcome is unknown is left behind, and comes again after later ones.
    ReportsOutOfOrder,
    /// The log is purged beyond what the rows on the disk stand for.
    PurgeBeyondRows,
    /// Clocks that stand in suspend are taken for boot time.
    MonotonicTime,
    /// A read is answered from this node without asking anybody.
    LocalReads,
    /// A change of configuration goes to everybody at once.
    NoSlowStart,
    /// Marks of deliveries that the log had at start are not applied again.
    ReplaySkips,
    /// A write takes effect whatever revision it expects.
    RevisionIgnored,
    /// A socket is written to without a look at the lease.
    ActsPastLease,
    /// The holder of a named lease takes it for kept until it is told otherwise.
    HolderSure,
    /// Nobody ends what a dead node has sent.
    DeadUnfinished,
    /// A node that begins again takes the claims of its agents for ones that are on their way.
    AgentForgotten,
    /// The log is never purged.
    LogKept,
}

impl Bug {
    /// All of them, with their names.
    pub const ALL: &[(Self, &str)] = &[
        (Self::WallClock, "wall-clock"),
        (Self::FullTtl, "full-ttl"),
        (Self::AckBeforeFlush, "ack-before-flush"),
        (Self::FenceIgnored, "fence-ignored"),
        (Self::RestartBeforeMark, "restart-before-mark"),
        (Self::ReportsOutOfOrder, "reports-out-of-order"),
        (Self::PurgeBeyondRows, "purge-beyond-rows"),
        (Self::MonotonicTime, "monotonic-time"),
        (Self::LocalReads, "local-reads"),
        (Self::NoSlowStart, "no-slow-start"),
        (Self::ReplaySkips, "replay-skips"),
        (Self::RevisionIgnored, "revision-ignored"),
        (Self::ActsPastLease, "acts-past-lease"),
        (Self::HolderSure, "holder-sure"),
        (Self::DeadUnfinished, "dead-unfinished"),
        (Self::AgentForgotten, "agent-forgotten"),
        (Self::LogKept, "log-kept"),
    ];
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process, in place of another.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, std::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// No.
#[cfg(not(feature = "planted"))]
pub const fn is(_bug: Bug) -> bool {
    false
}
