//! Rows of the fleet, written behind the log.
//!
//! In segments that end at an entry, each one atomic batch with the index that it stands for. Repeated changes of a row coalesce; what is not written yet is read from
//! memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{AppliedState, Change, Loaded, RowStore};
use ampora_raft::fleet::Fleet;
use ampora_raft::rows::{Row, RowKey};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::codec::{Kind, decode, encode};
use crate::disk::Disk;
use crate::flush::Flusher;
use crate::kv::{BATCH_OPS_MAX, Fatal, Kv, Op};
use crate::parts;

/// Rows of a segment, and so of one entry (design §3).
const SEGMENT_ROWS_MAX: usize = 512;

/// What a segment holds at most for the bodies beside memory and its rows, as counted when staged.
const SEGMENT_BYTES_MAX: usize = 1024 * 1024;

/// What may wait in memory; beyond it proposals are refused.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a changed row is counted with while it is not encoded: a large agent record.
const ROW_BYTES: usize = 2048;

/// How long rows wait for company: the log has them already, and a restart replays it.
const LINGER: Duration = Duration::from_millis(100);

/// Rows lie under this byte, the generation and their key.
const ROWS: u8 = b'r';
const APPLIED: &[u8] = b"m:applied";

/// The row that says which rows count and how far they have got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Head {
    generation: u32,
    applied: AppliedState,
}

/// The rows of one node.
#[derive(Debug)]
pub struct Rows {
    shared: Arc<Shared>,
}

struct Shared {
    kv: Arc<dyn Kv>,
    flusher: Flusher,
    disk: Option<Disk>,
    fatal: Fatal,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Held while a segment or a snapshot is written, with the generation that counts.
    generation: Mutex<u32>,
    durable: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// The rows beside memory of all segments, newest last.
    puts: BTreeMap<RowKey, Option<Row>>,
    /// Somebody waits: no lingering, and a flush behind.
    urgent: bool,
    stopped: bool,
    failed: Option<String>,
}

#[derive(Debug)]
struct Segment {
    state: AppliedState,
    fleet: Fleet,
    dirty: BTreeSet<RowKey>,
    puts: BTreeMap<RowKey, Option<Row>>,
    bytes: usize,
    /// Changes that `dirty` may make in the one batch that writes it.
    ops: usize,
}

impl Rows {
    /// The rows that `kv` holds, with their writing thread.
    ///
    /// # Errors
    /// Fails when the head cannot be read or the thread cannot be started.
    pub fn start(
        kv: Arc<dyn Kv>,
        flusher: Flusher,
        disk: Option<Disk>,
        fatal: Fatal,
    ) -> io::Result<Arc<Self>> {
        let rows = Self::by_turns(kv, flusher, disk, fatal)?;
        let writer = rows.shared.clone();
        std::thread::Builder::new()
            .name("rows".to_owned())
            .spawn(move || writer.drive())?;
        Ok(rows)
    }

    /// Replaces all rows by these, encoded as they are stored, as one change however it is interrupted.
    ///
    /// # Errors
    /// Fails when the store cannot be written, and with what `rows` fails with; nothing has changed then.
    pub fn install_encoded(
        &self,
        state: &AppliedState,
        rows: impl Iterator<Item = io::Result<(RowKey, Vec<u8>)>>,
    ) -> io::Result<()> {
        let shared = &*self.shared;
        let mut generation = shared.generation.lock();
        {
            let mut waiting = shared.waiting.lock();
            waiting.segments.clear();
            waiting.puts.clear();
            waiting.bytes = 0;
        }
        let next = generation.wrapping_add(1);
        remove_other_generations(&*shared.kv, *generation)?;
        let mut ops = Vec::new();
        for row in rows {
            let (key, row) = row?;
            parts::put_new(&mut ops, &row_key(next, &key), &row)?;
            if ops.len() > SEGMENT_ROWS_MAX {
                shared.kv.batch(std::mem::take(&mut ops))?;
            }
        }
        shared.kv.batch(ops)?;
        shared.flusher.wait()?;
        let head = Head {
            generation: next,
            applied: state.clone(),
        };
        let mut flip = Vec::new();
        parts::put(
            &*shared.kv,
            &mut flip,
            APPLIED,
            &encode(Kind::Applied, &head)?,
        )?;
        shared.kv.batch(flip)?;
        shared.flusher.wait()?;
        *generation = next;
        advance(&shared.durable, state.index());
        remove_other_generations(&*shared.kv, next)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("durable", &*self.durable.borrow())
            .finish_non_exhaustive()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.shared.waiting.lock().stopped = true;
        self.shared.wake.notify_all();
    }
}

fn head(kv: &dyn Kv) -> io::Result<Head> {
    let bytes = parts::get(kv, APPLIED)?;
    bytes.map_or_else(|| Ok(Head::default()), |b| decode(Kind::Applied, &b))
}

fn generation_key(generation: u32) -> Vec<u8> {
    let mut key = vec![ROWS];
    key.extend_from_slice(&generation.to_be_bytes());
    key
}

fn row_key(generation: u32, key: &RowKey) -> Vec<u8> {
    let mut out = generation_key(generation);
    out.extend_from_slice(&key.to_bytes());
    out
}

/// A crash between the flip to a new generation and the end of the old one leaves rows that nobody reads.
fn remove_other_generations(kv: &dyn Kv, generation: u32) -> io::Result<()> {
    remove_range(kv, &generation_key(0), &generation_key(generation))?;
    match generation.checked_add(1) {
        Some(next) => remove_range(kv, &generation_key(next), &[ROWS + 1]),
        None => Ok(()),
    }
}

fn remove_range(kv: &dyn Kv, from: &[u8], to: &[u8]) -> io::Result<()> {
    loop {
        let page = kv.range(from, to, SEGMENT_ROWS_MAX)?;
        if page.is_empty() {
            return Ok(());
        }
        kv.batch(page.into_iter().map(|(key, _)| Op::Remove(key)).collect())?;
    }
}

/// The ranges of keys between those of rows that are not in memory, which may be many.
fn kinds_in_memory(generation: &[u8], end: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kind = |kind: u8| [generation, &[kind]].concat();
    let mut ranges = Vec::new();
    let mut first = generation.to_vec();
    for beside in RowKey::BESIDE_MEMORY {
        ranges.push((first, kind(beside)));
        first = kind(beside + 1);
    }
    ranges.push((first, end));
    ranges
}

/// Bytes that a row beside memory holds while it waits.
fn beside_bytes(row: &Row) -> usize {
    if let Row::BodyPart(bytes) = row {
        bytes.len()
    } else {
        ROW_BYTES
    }
}

/// Changes that writing or removing a row takes at most: one for each part of the largest value that the
/// fleet lets it have.
fn ops_max(key: &RowKey) -> usize {
    match key {
        RowKey::Meta
        | RowKey::Node(_)
        | RowKey::BodyMeta(_)
        | RowKey::BodyPart(..)
        | RowKey::Delivery(..)
        | RowKey::Token(_)
        | RowKey::AuditHead
        | RowKey::Downtime
        | RowKey::RolloutRules
        | RowKey::TokenNote(_)
        | RowKey::Liveness(_)
        | RowKey::Lease(_)
        | RowKey::Peer(_)
        | RowKey::JoinToken(_)
        | RowKey::ClusterHead
        | RowKey::MemberNote(_) => 1,
        RowKey::Agent(_)
        | RowKey::Audit(_)
        | RowKey::EnrollmentToken(_)
        | RowKey::Enrollment(_) => 2,
        RowKey::Group(_) => 5,
        RowKey::Rollout(_) => 9,
        RowKey::Dispatch(_) => 9,
        RowKey::Idempotency(_) => 10,
        RowKey::Configuration(_) => 130,
    }
}

impl Segment {
    fn takes(&self, change: &Change, bytes: usize, ops: usize) -> bool {
        let rows = change.dirty.len() + change.puts.len();
        self.dirty.len() + self.puts.len() + rows <= SEGMENT_ROWS_MAX
            && self.bytes + bytes <= SEGMENT_BYTES_MAX
            && self.ops + ops < BATCH_OPS_MAX
    }
}

impl Shared {
    fn drive(&self) {
        loop {
            let urgent = {
                let mut waiting = self.waiting.lock();
                while waiting.segments.is_empty() && !waiting.urgent {
                    if waiting.stopped {
                        return;
                    }
                    self.wake.wait(&mut waiting);
                }
                if !waiting.urgent && waiting.segments.len() < 2 && !waiting.stopped {
                    self.wake.wait_for(&mut waiting, LINGER);
                }
                std::mem::take(&mut waiting.urgent)
            };
            if !self.write_and_tell(urgent) {
                return;
            }
        }
    }

    /// False after a failure, which everybody hears of.
    fn write_and_tell(&self, flush: bool) -> bool {
        let Err(error) = self.write_waiting(flush) else {
            return true;
        };
        self.waiting.lock().failed = Some(error.to_string());
        self.durable.send_modify(|_| {});
        // rows that are never written again would pile up unnoticed
        (self.fatal)(&error);
        false
    }

    fn write_waiting(&self, flush: bool) -> io::Result<()> {
        let mut written = None;
        // what comes meanwhile waits for the next round
        let rounds = self.waiting.lock().segments.len();
        for _ in 0..rounds {
            let generation = self.generation.lock();
            let Some(segment) = self.waiting.lock().segments.pop_front() else {
                break;
            };
            self.write(&segment, *generation)?;
            let mut waiting = self.waiting.lock();
            waiting.bytes = waiting.bytes.saturating_sub(segment.bytes);
            forget_written(&mut waiting, &segment);
            written = Some(segment.state.index());
        }
        if flush {
            self.flusher.wait()?;
            advance(&self.durable, written.unwrap_or(0));
        } else if let Some(index) = written {
            // flushed with the next entry of the log; told by then
            let durable = self.durable.clone();
            self.flusher.then(move |result| {
                if result.is_ok() {
                    advance(&durable, index);
                }
            })?;
        }
        Ok(())
    }

    /// One segment as one atomic batch, the rows beside memory before it: nobody reads them from the store
    /// until the batch that names them is there.
    fn write(&self, segment: &Segment, generation: u32) -> io::Result<()> {
        let mut ops = Vec::new();
        for (key, row) in &segment.puts {
            let name = row_key(generation, key);
            match row {
                Some(row) => parts::put(&*self.kv, &mut ops, &name, &encode(Kind::Row, row)?)?,
                None => parts::remove(&*self.kv, &mut ops, &name)?,
            }
            if ops.len() > BATCH_OPS_MAX / 2 {
                self.kv.batch(std::mem::take(&mut ops))?;
            }
        }
        if !ops.is_empty() {
            self.kv.batch(std::mem::take(&mut ops))?;
        }
        for key in &segment.dirty {
            let name = row_key(generation, key);
            match segment.fleet.row(key) {
                Some(row) => {
                    parts::put(&*self.kv, &mut ops, &name, &encode(Kind::Row, &row)?)?;
                }
                None => parts::remove(&*self.kv, &mut ops, &name)?,
            }
        }
        let head = Head {
            generation,
            applied: segment.state.clone(),
        };
        parts::put(&*self.kv, &mut ops, APPLIED, &encode(Kind::Applied, &head)?)?;
        self.kv.batch(ops)
    }
}

/// Whoever waits hears of it, also when the index is the old one.
fn advance(durable: &watch::Sender<u64>, index: u64) {
    durable.send_modify(|known| *known = index.max(*known));
}

/// Rows beside memory that no later segment changes are read from the store from here on.
fn forget_written(waiting: &mut Waiting, segment: &Segment) {
    for key in segment.puts.keys() {
        let again = waiting
            .segments
            .iter()
            .any(|later| later.puts.contains_key(key));
        if !again {
            waiting.puts.remove(key);
        }
    }
}

impl RowStore for Rows {
    fn load(&self) -> io::Result<Loaded> {
        let kv = &*self.shared.kv;
        let head = head(kv)?;
        let from = generation_key(head.generation);
        let mut rows = Vec::new();
        let end = match head.generation.checked_add(1) {
            Some(next) => generation_key(next),
            None => vec![ROWS + 1],
        };
        for (first, to) in kinds_in_memory(&from, end) {
            parts::walk(kv, &first, &to, |key, value| {
                let name = key.get(from.len()..).unwrap_or_default();
                let name = RowKey::from_bytes(name).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "a row has an unknown key")
                })?;
                rows.push((name, decode(Kind::Row, &value)?));
                Ok(true)
            })?;
        }
        Ok(Loaded {
            state: head.applied,
            rows,
        })
    }

    fn stage(&self, change: Change) {
        let mut waiting = self.shared.waiting.lock();
        let puts = change.puts.iter().filter_map(|(_, row)| row.as_ref());
        let put_bytes: usize = puts.map(beside_bytes).sum();
        let bytes = put_bytes + change.dirty.len() * ROW_BYTES;
        let ops: usize = change.dirty.iter().map(ops_max).sum();
        waiting.bytes += bytes;
        waiting.puts.extend(change.puts.iter().cloned());
        match waiting.segments.back_mut() {
            Some(last) if last.takes(&change, bytes, ops) => {
                last.state = change.state;
                last.fleet = change.fleet;
                last.dirty.extend(change.dirty);
                last.puts.extend(change.puts);
                last.bytes += bytes;
                last.ops += ops;
            }
            Some(_) | None => {
                waiting.segments.push_back(Segment {
                    state: change.state,
                    fleet: change.fleet,
                    dirty: change.dirty.into_iter().collect(),
                    puts: change.puts.into_iter().collect(),
                    bytes,
                    ops,
                });
                // only then: a change that joins a segment must not end the wait for company
                self.shared.wake.notify_one();
            }
        }
    }

    fn overloaded(&self) -> bool {
        self.shared.waiting.lock().bytes > WAITING_BYTES_MAX
    }

    fn refusal(&self) -> Option<String> {
        self.shared.disk.as_ref().and_then(Disk::refusal)
    }

    fn durable_index(&self) -> u64 {
        *self.shared.durable.borrow()
    }

    fn wait_durable(&self, index: u64) -> BoxFuture<'static, io::Result<()>> {
        let shared = self.shared.clone();
        async move {
            let mut durable = shared.durable.subscribe();
            loop {
                if *durable.borrow_and_update() >= index {
                    return Ok(());
                }
                if let Some(failed) = &shared.waiting.lock().failed {
                    return Err(io::Error::other(failed.clone()));
                }
                shared.waiting.lock().urgent = true;
                shared.wake.notify_one();
                durable.changed().await.map_err(io::Error::other)?;
            }
        }
        .boxed()
    }

    fn read(&self, key: &RowKey) -> io::Result<Option<Row>> {
        if let Some(put) = self.shared.waiting.lock().puts.get(key) {
            return Ok(put.clone());
        }
        let generation = *self.shared.generation.lock();
        let bytes = parts::get(&*self.shared.kv, &row_key(generation, key))?;
        bytes.map(|bytes| decode(Kind::Row, &bytes)).transpose()
    }

    fn install(&self, state: &AppliedState, rows: &[(RowKey, Row)]) -> io::Result<()> {
        let encoded = |(key, row): &(RowKey, Row)| Ok((key.clone(), encode(Kind::Row, row)?));
        self.install_encoded(state, rows.iter().map(encoded))
    }
}

mod turns;

#[cfg(test)]
mod tests;
