//! `bounded` (design §9, 10): every queue, buffer and collection has a limit.
//!
//! Limits are kept by the code that owns them, and its own tests hold it to them. Here is looked at what could grow
//! over a run although each part keeps its limit: what is left of connections, calls and entries that are over.

use ampora_raft::ids::NodeId;

use crate::book::Book;

/// Calls between nodes that may wait: each of the few members waits for a few answers of each other.
const CALLS_MAX: usize = 2_000;

/// Agents in a registry: those of the run, each once.
const AGENTS_MAX: usize = 64;

/// Timers: one for each agent, and outdated ones until they fire.
const TIMERS_MAX: usize = 64 * 64;

/// Entries of the log: its limit, a step of a purge, and what comes in while a snapshot is waited for.
const ENTRIES_MAX: u64 = 600 + 512 + 4_000;

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
    /// Entries in the log.
    pub entries: u64,
}

pub(super) fn check(book: &Book, sizes: &Sizes) {
    let found = [
        ("calls", sizes.calls > CALLS_MAX),
        ("agents", sizes.agents > AGENTS_MAX),
        ("timers", sizes.timers > TIMERS_MAX),
        ("entries", sizes.entries > ENTRIES_MAX),
    ];
    for (what, _) in found.iter().filter(|(_, is_over)| *is_over) {
        book.violation("bounded", format_args!("too many {what}: {sizes:?}"));
    }
}
