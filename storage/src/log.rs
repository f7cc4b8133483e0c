//! The Raft log over the store: group-committed appends, the vote, and purge. The only file of this crate
//! that names openraft.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use ampora_raft::consensus::AppliedState;
use ampora_raft::consensus::type_config::TypeConfig;
use ampora_raft::ids::NodeId;
use ampora_raft::planted::{self, Bug};
use openraft::OptionalSend;
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use crate::codec::{Kind, decode, encode};
use crate::flush::Flusher;
use crate::kv::{BATCH_OPS_MAX, CrashKv, Kv, Op};
use crate::parts;

/// Entries lie under this byte and their index, big-endian.
const ENTRIES: u8 = b'l';
const ENTRIES_END: u8 = b'l' + 1;
/// The byte and the index; the number of a part follows.
const ENTRY_KEY_BYTES: usize = 9;
const VOTE: &[u8] = b"m:vote";
const PURGED: &[u8] = b"m:purged";
const COMMITTED: &[u8] = b"m:committed";

/// What one read for replication may take.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Changes in one batch of a purge, more than one entry has parts: rows and appends get their turn between
/// them.
const PURGE_OPS: usize = 512;

/// An entry as it is stored.
pub type Entry = EntryOf<TypeConfig>;
/// A place in the log.
pub type LogId = LogIdOf<TypeConfig>;
/// A vote as it is stored.
pub type Vote = VoteOf<TypeConfig>;

/// The log of one node; clones share it.
#[derive(Clone, Debug)]
pub struct Log {
    kv: Arc<dyn Kv>,
    flusher: Flusher,
}

fn entry_key(index: u64) -> Vec<u8> {
    let mut key = vec![ENTRIES];
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// The index of the last entry that no crash of this disk can take; none when it holds no entry.
pub fn durable_index(disk: &CrashKv) -> Option<u64> {
    let (key, _) = disk.last_durable(&[ENTRIES], &[ENTRIES_END])?;
    let index = key.get(1..ENTRY_KEY_BYTES)?.try_into().ok()?;
    Some(u64::from_be_bytes(index))
}

impl Log {
    /// The log that `kv` holds.
    pub fn new(kv: Arc<dyn Kv>, flusher: Flusher) -> Self {
        Self { kv, flusher }
    }

    /// Lets an empty log go on behind what was applied elsewhere, under the vote of this node. Not flushed: the rows
    /// are, behind it.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub fn begin(&self, node: NodeId, state: &AppliedState) -> io::Result<()> {
        if let Some(last) = state.last() {
            let vote = Vote::new_committed(AppliedState::TERM, node.0);
            self.write(Kind::Vote, VOTE, &vote)?;
            self.write(Kind::LogId, PURGED, &last)?;
        }
        Ok(())
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        kind: Kind,
        key: &[u8],
    ) -> io::Result<Option<T>> {
        let bytes = parts::get(&*self.kv, key)?;
        bytes.map(|bytes| decode(kind, &bytes)).transpose()
    }

    fn write<T: serde::Serialize>(&self, kind: Kind, key: &[u8], value: &T) -> io::Result<()> {
        let mut ops = Vec::new();
        parts::put(&*self.kv, &mut ops, key, &encode(kind, value)?)?;
        self.kv.batch(ops)
    }

    /// Entries from `from` on and before `to`, and no more than `bytes_max` unless the first is larger. A
    /// hole is an error: an entry that was acknowledged is missing.
    fn entries(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        parts::walk(&*self.kv, &entry_key(from), &entry_key(to), |key, value| {
            bytes += value.len();
            if bytes > bytes_max && !entries.is_empty() {
                return Ok(false);
            }
            let entry: Entry = decode(Kind::LogEntry, &value)?;
            let before = entries.last().map(|before: &Entry| before.index());
            if key != entry_key(entry.index()) || before.is_some_and(|b| b + 1 != entry.index()) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the log has a hole before entry {}", entry.index()),
                ));
            }
            entries.push(entry);
            Ok(true)
        })?;
        Ok(entries)
    }

    /// Removes the entries from `from` on, last first and each at once, so that a crash on the way leaves a
    /// log without holes and without halves.
    fn remove_back(&self, from: u64) -> io::Result<()> {
        let from = entry_key(from);
        let mut to = vec![ENTRIES_END];
        let mut ops = Vec::new();
        while let Some((last, _)) = self.kv.last(&from, &to)? {
            let entry = last.get(..ENTRY_KEY_BYTES).unwrap_or(&last).to_vec();
            let parts = self.kv.range(&entry, &to, BATCH_OPS_MAX)?;
            if ops.len() + parts.len() > PURGE_OPS {
                self.kv.batch(std::mem::take(&mut ops))?;
            }
            ops.extend(parts.into_iter().map(|(key, _)| Op::Remove(key)));
            to = entry;
        }
        self.kv.batch(ops)
    }

    /// Removes the entries before `to`, first first and each at once.
    fn remove_front(&self, to: u64) -> io::Result<()> {
        let to = entry_key(to);
        loop {
            let page = self.kv.range(&[ENTRIES], &to, PURGE_OPS)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            // a full page may end within an entry, which then waits for the next one
            let cut = (page.len() == PURGE_OPS).then(|| last.clone());
            let unfinished = cut.as_ref().and_then(|key| key.get(..ENTRY_KEY_BYTES));
            let keys = page.iter().map(|(key, _)| key);
            let ops: Vec<_> = keys
                .filter(|key| unfinished.is_none_or(|entry| !key.starts_with(entry)))
                .map(|key| Op::Remove(key.clone()))
                .collect();
            if ops.is_empty() {
                return Err(io::Error::other(
                    "an entry has more parts than one may have",
                ));
            }
            self.kv.batch(ops)?;
        }
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.entries(start, end, READ_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.read(Kind::Vote, VOTE)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let purged: Option<LogId> = self.read(Kind::LogId, PURGED)?;
        let last = match self.kv.last(&[ENTRIES], &[ENTRIES_END])? {
            Some((key, _)) => {
                // the key ends with the number of the part
                let entry = key.get(..ENTRY_KEY_BYTES).unwrap_or_default();
                let entry: Option<Entry> = self.read(Kind::LogEntry, entry)?;
                entry.map(|entry| entry.log_id())
            }
            None => purged,
        };
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last.max(purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.write(Kind::Vote, VOTE, vote)?;
        self.flusher.flushed().await
    }

    /// Without a flush: it only spares the next start some waiting.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.write(Kind::LogId, COMMITTED, &committed)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self
            .read::<Option<LogId>>(Kind::LogId, COMMITTED)?
            .flatten())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut ops = Vec::new();
        for entry in entries {
            let bytes = encode(Kind::LogEntry, &entry)?;
            if !ops.is_empty() && ops.len() + parts::count(bytes.len()) > BATCH_OPS_MAX {
                // entries are whole within a batch, and batches reach the disk in order
                self.kv.batch(std::mem::take(&mut ops))?;
            }
            parts::put_new(&mut ops, &entry_key(entry.index()), &bytes)?;
        }
        self.kv.batch(ops)?;
        if planted::is(Bug::AckBeforeFlush) {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.flusher
            .then(move |result| callback.io_completed(result))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.remove_back(from)?;
        self.flusher.flushed().await
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        self.write(Kind::LogId, PURGED, &id)?;
        self.remove_front(id.index + 1)
    }
}
