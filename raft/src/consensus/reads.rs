//! Reads beside memory, and reads that must see everything acknowledged before them.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};

use super::handle::Consensus;
use super::offload::offload;
use super::ports::RowStore;
use super::propose::{PROPOSE_DEADLINE, ProposeError, strange};
use super::wire::{RaftRequest, Request, Response};
use crate::ids::{ConfigHash, NodeId};
use crate::planted::{self, Bug};
use crate::records::AuditRecord;
use crate::rows::{Row, RowKey};

impl Consensus {
    /// Waits until the view of this node has everything that was acknowledged anywhere before this call; the index
    /// that it had to reach.
    ///
    /// # Errors
    /// Fails when no leader has a quorum; nothing ever happens through a read.
    pub async fn read_barrier(&self) -> Result<u64, ProposeError> {
        if planted::is(Bug::LocalReads) {
            return Ok(self.view.load().applied_index);
        }
        let index = match self.elsewhere() {
            None => self.read_index().await?,
            Some(leader) => {
                let request = RaftRequest(Request::ReadIndex);
                let answer = self.call(leader, request).await;
                let answer = answer.map_err(|error| match error {
                    // nothing happens through a read
                    ProposeError::OutcomeUnknown => late(),
                    other @ (ProposeError::NotLeader { .. }
                    | ProposeError::Unavailable(_)
                    | ProposeError::Overloaded
                    | ProposeError::Stopped) => other,
                })?;
                if let Response::ReadIndex(index) = answer {
                    index?
                } else {
                    return Err(strange(&answer));
                }
            }
        };
        self.applied(index).await;
        if self.view.load().applied_index < index {
            return Err(ProposeError::Unavailable(
                "this node is behind what was committed".to_owned(),
            ));
        }
        Ok(index)
    }

    /// The index that a read has to wait for, confirmed by a quorum.
    pub(super) async fn read_index(&self) -> Result<u64, ProposeError> {
        let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex);
        let confirmed = tokio::time::timeout(PROPOSE_DEADLINE, confirmed).await;
        match confirmed {
            Ok(Ok((read, _))) => Ok(read.index()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader {
                    hint: forward.leader_id.map(NodeId),
                })
            }
            Ok(Err(RaftError::APIError(error))) => {
                Err(ProposeError::Unavailable(error.to_string()))
            }
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
            Err(_elapsed) => Err(late()),
        }
    }

    /// The canonical bytes of a stored configuration body, parts put together; `None` when it is not whole.
    ///
    /// # Errors
    /// Fails when a row cannot be read.
    pub async fn read_body(&self, hash: ConfigHash) -> io::Result<Option<Vec<u8>>> {
        let Some(meta) = self.view().fleet.body(&hash).cloned() else {
            return Ok(None);
        };
        let store = self.store.clone();
        // the rows are in the page cache or near it, but a cold one would hold its thread
        offload(move || {
            let mut body = Vec::new();
            for part in 0..meta.parts {
                match store.read(&RowKey::BodyPart(hash, part))? {
                    Some(Row::BodyPart(bytes)) => body.extend_from_slice(&bytes),
                    Some(_) | None => return Ok(None),
                }
            }
            Ok(Some(body))
        })
        .await?
    }

    /// The audit records of these numbers, one answer for each in order.
    ///
    /// `None` where there is none; each that cannot be read is an error of its own.
    pub async fn read_audit(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> Vec<io::Result<Option<Arc<AuditRecord>>>> {
        let (store, wanted) = (self.store.clone(), numbers.clone());
        let read = move || wanted.map(|seq| read_record(&*store, seq)).collect();
        let read = offload(read).await;
        read.unwrap_or_else(|error| {
            let failed = |_| Err(io::Error::other(error.to_string()));
            numbers.map(failed).collect()
        })
    }
}

fn late() -> ProposeError {
    ProposeError::Unavailable("no leader with a quorum has answered in time".to_owned())
}

fn read_record(store: &dyn RowStore, seq: u64) -> io::Result<Option<Arc<AuditRecord>>> {
    match store.read(&RowKey::Audit(seq))? {
        None => Ok(None),
        Some(Row::Audit(record)) => Ok(Some(record)),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the row of an audit record holds something else",
        )),
    }
}
