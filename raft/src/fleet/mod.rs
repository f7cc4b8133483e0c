//! The fleet: everything that is replicated, and the one function that changes it.

use bytes::Bytes;

use crate::effect::Effect;
use crate::outcome::Outcome;
use crate::proposal::Entry;
use crate::rows::RowKey;

/// The replicated state. Cloning is O(1): collections are persistent and records shared.
#[derive(Clone, Debug, Default)]
pub struct Fleet {}

/// What followed from an entry.
#[derive(Debug)]
pub struct Applied {
    /// The answer to the proposer.
    pub outcome: Outcome,
    /// What wakes tasks.
    pub effects: Vec<Effect>,
    /// Rows whose value in memory changed or went; at most 512 with `puts`.
    pub dirty: Vec<RowKey>,
    /// Rows that are not in memory: to be written, or removed.
    pub puts: Vec<(RowKey, Option<Bytes>)>,
}

impl Fleet {
    /// Applies the committed entry at `index`.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        let _ = (index, entry);
        Applied {
            outcome: Outcome::Done,
            effects: Vec::new(),
            dirty: Vec::new(),
            puts: Vec::new(),
        }
    }
}
