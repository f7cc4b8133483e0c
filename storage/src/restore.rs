//! A backup becomes the data directory of a new node. The whole file is checked before the directory is touched, and a
//! directory that was begun and not finished is opened by nobody.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampora_raft::consensus::AppliedState;
use ampora_raft::fleet::{Fleet, LoadError, Restore};
use ampora_raft::ids::{ConfigHash, NodeId};
use ampora_raft::rows::{Row, RowKey};

use crate::backup::{BackupError, Header, Reader, Summary};
use crate::codec::{Kind, encode};
use crate::store::{OpenError, Store, StoreOptions, check_empty};

/// How the new cluster begins.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// Its only node.
    pub node: NodeId,
    /// Its lineage, chosen at random.
    pub lineage: u128,
    /// Wall time, for people.
    pub wall_ms: u64,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is no use.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Its rows are no fleet.
    #[error("its rows are no fleet")]
    Fleet(#[from] LoadError),
    /// A configuration body is missing.
    #[error("the body of {0} is not whole")]
    Incomplete(ConfigHash),
    /// Somebody writes to the file.
    #[error("the file changed while it was read")]
    Changed,
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// A step failed.
    #[error("cannot {step}")]
    Io {
        /// What.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> RestoreError {
    move |source| RestoreError::Io { step, source }
}

/// A backup that was read to its end and holds a whole fleet.
#[derive(Debug)]
pub struct Checked<F> {
    file: F,
    header: Header,
    summary: Summary,
    fleet: Fleet,
}

/// A directory that has everything and is not given free yet.
#[derive(Debug)]
pub struct Restored {
    store: Store,
    path: PathBuf,
}

impl<F: Read + Seek> Checked<F> {
    /// Reads the whole file and checks everything in it.
    ///
    /// # Errors
    /// It is no backup of a fleet that this program can hold.
    pub fn read(mut file: F) -> Result<Self, RestoreError> {
        let mut rows = Rows::open(&mut file)?;
        let header = rows.reader.header().clone();
        let mut parts = BTreeMap::<ConfigHash, u64>::new();
        let mut error = None;
        let in_memory = std::iter::from_fn(|| {
            loop {
                match rows.next()? {
                    Ok((RowKey::BodyPart(hash, part), _)) => {
                        // one beyond the bits is of no body, and nobody misses it
                        *parts.entry(hash).or_default() |=
                            1_u64.checked_shl(part.into()).unwrap_or_default();
                    }
                    Ok((key, row)) if !key.is_beside_memory() => return Some((key, row)),
                    Ok(_) => {}
                    Err(found) => {
                        error = Some(found);
                        return None;
                    }
                }
            }
        });
        let fleet = Fleet::load(in_memory);
        if let Some(error) = error {
            return Err(error.into());
        }
        let fleet = fleet?;
        let summary = rows.reader.summary()?;
        for key in fleet.row_keys() {
            let (RowKey::BodyMeta(hash), Some(Row::BodyMeta(meta))) = (&key, fleet.row(&key))
            else {
                continue;
            };
            let there = parts.get(hash).copied().unwrap_or_default();
            if there.count_ones() != u32::from(meta.parts) {
                return Err(RestoreError::Incomplete(*hash));
            }
        }
        Ok(Self {
            file,
            header,
            summary,
            fleet,
        })
    }

    /// Writes it into an empty directory, as the beginning of a new cluster.
    ///
    /// # Errors
    /// The directory is in use, not empty or cannot be written, or the file changed.
    pub fn restore(
        mut self,
        path: &Path,
        begin: Begin,
        options: &StoreOptions,
    ) -> Result<Restored, RestoreError> {
        check_empty(path)?;
        let applied = self.fleet.restore(&Restore {
            lineage: begin.lineage,
            index: self.header.applied_index,
            wall_ms: begin.wall_ms,
            made_ms: self.header.created_ms,
            source: Arc::from(&*self.header.id),
        });
        let state = AppliedState::founded(begin.node, self.header.applied_index);
        let store = Store::open_to_restore(path, options)?;
        store
            .log()
            .begin(begin.node, &state)
            .map_err(failed("begin the log"))?;
        self.file.rewind().map_err(failed("read the file again"))?;
        let mut beside = Rows::open(&mut self.file)?;
        let fleet = &self.fleet;
        let in_memory = fleet
            .row_keys()
            .filter_map(|key| fleet.row(&key).map(|row| (key, row)));
        let (own, gone): (Vec<_>, Vec<_>) =
            applied.puts.into_iter().partition(|(_, row)| row.is_some());
        let own = own
            .into_iter()
            .filter_map(|(key, row)| row.map(|row| (key, row)));
        let stays =
            |key: &RowKey| key.is_beside_memory() && gone.iter().all(|(gone, _)| gone != key);
        let beside_memory = beside
            .by_ref()
            .filter(|read| read.as_ref().map_or(true, |(key, _)| stays(key)));
        let all = in_memory.chain(own).map(Ok).chain(beside_memory);
        let encoded = all.map(|read: Result<(RowKey, Row), BackupError>| {
            let (key, row) = read.map_err(io::Error::other)?;
            let row = encode(Kind::Row, &row)?;
            Ok((key, row))
        });
        store
            .rows()
            .install_encoded(&state, encoded)
            .map_err(failed("write the rows"))?;
        if beside.reader.summary()?.sha256 != self.summary.sha256 {
            return Err(RestoreError::Changed);
        }
        Ok(Restored {
            store,
            path: path.to_owned(),
        })
    }
}

impl<F> Checked<F> {
    /// Of what the backup is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is in it.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

impl Restored {
    /// Gives the directory free: a node may start there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), RestoreError> {
        let finish = self.store.restored(&self.path);
        finish.map_err(failed("end the restore"))
    }
}

/// Row by row.
struct Rows<R> {
    reader: Reader<R>,
    chunk: std::vec::IntoIter<(RowKey, Row)>,
}

impl<'a, F: Read> Rows<BufReader<&'a mut F>> {
    fn open(file: &'a mut F) -> Result<Self, BackupError> {
        Ok(Self {
            reader: Reader::open(BufReader::new(file))?,
            chunk: Vec::new().into_iter(),
        })
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<(RowKey, Row), BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.chunk.next() {
                return Some(Ok(row));
            }
            match self.reader.rows() {
                Ok(Some(rows)) => self.chunk = rows.into_iter(),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
