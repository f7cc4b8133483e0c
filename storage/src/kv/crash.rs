//! A store in memory that forgets like a disk: after a crash only what was flushed is there, and of the
//! batches behind it any prefix. For tests and the simulation.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Kv, Op, Pair, check};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The store; clones share it.
#[derive(Clone, Debug, Default)]
pub struct CrashKv {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    durable: Map,
    visible: Map,
    unflushed: Vec<Vec<Op>>,
    failing: bool,
}

impl CrashKv {
    /// Loses what was not flushed, but for the first `survivors` batches, as a disk may have written them.
    pub fn crash(&self, survivors: usize) {
        let mut inner = self.inner.lock();
        let batches = std::mem::take(&mut inner.unflushed);
        for batch in batches.into_iter().take(survivors) {
            apply(&mut inner.durable, batch);
        }
        inner.visible = inner.durable.clone();
        inner.failing = false;
    }

    /// How many batches a crash could lose.
    pub fn unflushed(&self) -> usize {
        self.inner.lock().unflushed.len()
    }

    /// The last pair from `from` on and before `to` that no crash can take.
    pub fn last_durable(&self, from: &[u8], to: &[u8]) -> Option<Pair> {
        let inner = self.inner.lock();
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let last = inner.durable.range::<[u8], _>(bounds).next_back();
        last.map(|(k, v)| (k.clone(), v.clone()))
    }

    /// A disk of its own that holds what this one would hold after a crash.
    #[must_use]
    pub fn after_crash(&self, survivors: usize) -> Self {
        let copy = {
            let inner = self.inner.lock();
            Inner {
                durable: inner.durable.clone(),
                visible: Map::new(),
                unflushed: inner.unflushed.clone(),
                failing: false,
            }
        };
        let copy = Self {
            inner: Arc::new(Mutex::new(copy)),
        };
        copy.crash(survivors);
        copy
    }

    /// From here on every write and flush fails.
    pub fn fail(&self) {
        self.inner.lock().failing = true;
    }
}

fn apply(map: &mut Map, batch: Vec<Op>) {
    for op in batch {
        match op {
            Op::Put(key, value) => {
                map.insert(key, value);
            }
            Op::Remove(key) => {
                map.remove(&key);
            }
        }
    }
}

impl Inner {
    fn writable(&self) -> io::Result<()> {
        if self.failing {
            return Err(io::Error::other("the disk fails"));
        }
        Ok(())
    }
}

impl Kv for CrashKv {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.inner.lock().visible.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        let inner = self.inner.lock();
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let pairs = inner.visible.range::<[u8], _>(bounds).take(limit);
        Ok(pairs.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn last(&self, from: &[u8], to: &[u8]) -> io::Result<Option<Pair>> {
        let inner = self.inner.lock();
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let last = inner.visible.range::<[u8], _>(bounds).next_back();
        Ok(last.map(|(k, v)| (k.clone(), v.clone())))
    }

    fn batch(&self, ops: Vec<Op>) -> io::Result<()> {
        check(&ops)?;
        let mut inner = self.inner.lock();
        inner.writable()?;
        apply(&mut inner.visible, ops.clone());
        inner.unflushed.push(ops);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.writable()?;
        for batch in std::mem::take(&mut inner.unflushed) {
            apply(&mut inner.durable, batch);
        }
        Ok(())
    }
}
