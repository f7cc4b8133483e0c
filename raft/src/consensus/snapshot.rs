//! A snapshot: the fleet at an index. Taking one costs nothing, because collections are persistent; rows
//! are produced only when somebody reads them.

use std::io;
use std::sync::Arc;

use super::ports::RowStore;
use crate::fleet::Fleet;
use crate::rows::{Row, RowKey};

/// The content of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotData {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Of this node: the fleet, and the store for the parts of bodies.
    Own {
        fleet: Box<Fleet>,
        store: Arc<dyn RowStore>,
    },
    /// As rows that came from elsewhere.
    Rows(Arc<Vec<(RowKey, Row)>>),
}

impl SnapshotData {
    /// The fleet of this node; parts of bodies are read from `store` when asked for.
    pub(super) fn own(fleet: Fleet, store: Arc<dyn RowStore>) -> Self {
        Self {
            source: Source::Own {
                fleet: Box::new(fleet),
                store,
            },
        }
    }

    /// Rows that came from elsewhere.
    pub fn from_rows(rows: Vec<(RowKey, Row)>) -> Self {
        Self {
            source: Source::Rows(Arc::new(rows)),
        }
    }

    /// All rows in key order, those that are not in memory behind.
    ///
    /// # Errors
    /// Fails when a row cannot be read.
    pub fn rows(&self) -> io::Result<Vec<(RowKey, Row)>> {
        let (fleet, store) = match &self.source {
            Source::Rows(rows) => return Ok(rows.to_vec()),
            Source::Own { fleet, store } => (fleet, store),
        };
        let mut rows: Vec<_> = fleet
            .row_keys()
            .filter_map(|key| fleet.row(&key).map(|row| (key, row)))
            .collect();
        let bodies: Vec<_> = rows
            .iter()
            .filter_map(|(key, row)| match (key, row) {
                (RowKey::BodyMeta(hash), Row::BodyMeta(meta)) => Some((*hash, meta.clone())),
                _ => None,
            })
            .collect();
        for (hash, meta) in bodies {
            for part in 0..meta.parts {
                let key = RowKey::BodyPart(hash, part);
                // a part that has not come yet is not in the snapshot either
                if let Some(row) = store.read(&key)? {
                    rows.push((key, row));
                }
            }
        }
        let head = fleet.audit();
        for seq in head.first.max(1)..=head.last {
            let key = RowKey::Audit(seq);
            // one that has left since is not in the snapshot either
            if let Some(row) = store.read(&key)? {
                rows.push((key, row));
            }
        }
        Ok(rows)
    }
}
