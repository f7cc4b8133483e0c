//! `bounded` (design §9, 10): every queue, buffer and collection has a limit.
//!
//! Limits are kept by the code that owns them, and its own tests hold it to them. Here is looked at what could grow
//! over a run although each part keeps its limit: what is left of connections, calls, marks and entries that are over.
//! So the limits are those of a fleet of this size in trouble and not the far larger ones of the product, which a run of
//! a minute would never meet.

use ampora_raft::ids::NodeId;

use crate::book::Book;

/// Calls between nodes that may wait: each of the few members waits for a few answers of each other.
const CALLS_MAX: usize = 2_000;

/// Agents in a registry: those of the run, each once, and a few that are being given another uid.
const AGENTS_MAX: usize = 64;

/// Timers: one for each agent, and outdated ones until they fire.
const TIMERS_MAX: usize = 1_000;

/// Agents that are still to be asked for everything: each once.
const UNASKED_MAX: usize = AGENTS_MAX;

/// Marks that wait for the log: a dispatch or two to everybody.
const MARKS_MAX: usize = 500;

/// Session changes that wait for the log: what every agent does while nobody leads.
const CHANGES_MAX: usize = 500;

/// Messages that a process has not read yet: those that come in while it stands still are lost beyond it.
const INBOX_MAX: usize = 4_096;

/// Tasks: duties, and what serves a socket or a call.
const TASKS_MAX: usize = 1_000;

/// Batches of the store that are not flushed, while the disk stalls for as long as it may.
const UNFLUSHED_MAX: usize = 2_000;

/// Entries of the log: its limit for what an incarnation found and for what it has added, and what comes in while a
/// snapshot waits for a disk that stalls.
const ENTRIES_MAX: usize = 100 + 100 + 300;

/// What there is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Where.
    pub node: NodeId,
    /// Calls that wait for an answer, on the whole network.
    pub calls: usize,
    /// Agents in the registry.
    pub agents: usize,
    /// Timers of sessions.
    pub timers: usize,
    /// Agents to be asked for everything.
    pub unasked: usize,
    /// Marks of deliveries.
    pub marks: usize,
    /// Claims and releases.
    pub changes: usize,
    /// Messages of peers.
    pub inbox: usize,
    /// Tasks of the machine.
    pub tasks: usize,
    /// Batches that a crash could take.
    pub unflushed: usize,
    /// Entries in the log.
    pub entries: usize,
}

pub(super) fn check(book: &Book, sizes: &Sizes) {
    let found = [
        ("calls", sizes.calls, CALLS_MAX),
        ("agents", sizes.agents, AGENTS_MAX),
        ("timers", sizes.timers, TIMERS_MAX),
        ("agents to ask", sizes.unasked, UNASKED_MAX),
        ("marks", sizes.marks, MARKS_MAX),
        ("session changes", sizes.changes, CHANGES_MAX),
        ("messages", sizes.inbox, INBOX_MAX),
        ("tasks", sizes.tasks, TASKS_MAX),
        ("unflushed batches", sizes.unflushed, UNFLUSHED_MAX),
        ("entries", sizes.entries, ENTRIES_MAX),
    ];
    for (what, count, limit) in found {
        if count > limit {
            book.violation(
                "bounded",
                format_args!("{count} {what}, {limit} are the limit: {sizes:?}"),
            );
        }
    }
}
