//! Consensus as other nodes call it: each request is handed to openraft or answered by this node's leadership,
//! and snapshots are put together from their parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openraft::alias::SnapshotOf;
use openraft::errors::RaftError;

use super::handle::Consensus;
use super::snapshot::SnapshotData;
use super::type_config::TypeConfig;
use super::wire::{RaftRequest, RaftResponse, Request, Response, SnapshotPart, row_bytes};
use crate::ids::NodeId;
use crate::rows::{Row, RowKey};

/// What one snapshot may have: beyond it, it is refused rather than filling the memory.
const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;

/// The snapshot that is coming in. There is one at most, because one leader sends one at a time.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    from: NodeId,
    of: Option<SnapshotPart>,
    rows: Vec<(RowKey, Row)>,
    bytes: usize,
}

impl Incoming {
    /// Takes the next part; the rows when it was the last one.
    fn take(
        &mut self,
        from: NodeId,
        mut part: SnapshotPart,
    ) -> Result<Option<Vec<(RowKey, Row)>>, Arc<str>> {
        let rows = std::mem::take(&mut part.rows);
        if part.number == 0 {
            *self = Self::default();
            self.from = from;
        } else {
            let follows = self.of.as_ref().is_some_and(|last| {
                last.number.checked_add(1) == Some(part.number)
                    && last.meta == part.meta
                    && last.vote == part.vote
                    && self.from == from
            });
            if !follows {
                *self = Self::default();
                return Err("a part of a snapshot is missing: begin it again".into());
            }
        }
        self.bytes = rows
            .iter()
            .map(|(_, row)| row_bytes(row))
            .fold(self.bytes, usize::saturating_add);
        if self.bytes > SNAPSHOT_BYTES_MAX {
            *self = Self::default();
            return Err("the snapshot is larger than this node takes".into());
        }
        self.rows.extend(rows);
        if part.is_last {
            let whole = std::mem::take(self);
            return Ok(Some(whole.rows));
        }
        self.of = Some(part);
        Ok(None)
    }
}

impl Consensus {
    /// Answers a request of another member. The caller has made sure that it comes from `from`.
    pub async fn handle(&self, from: NodeId, request: RaftRequest) -> RaftResponse {
        RaftResponse(self.answer(from, request.0).await)
    }

    async fn answer(&self, from: NodeId, request: Request) -> Response {
        match request {
            Request::Append(append) => {
                let answer = self.raft.append_entries(append).await;
                if answer.is_ok() {
                    self.contact_ms
                        .store(self.clock.boot_ms(), Ordering::Relaxed);
                }
                or_refused(answer.map(Response::Append))
            }
            Request::Vote(vote) => or_refused(self.raft.vote(vote).await.map(Response::Vote)),
            Request::PreVote(vote) => {
                or_refused(self.raft.pre_vote(vote).await.map(Response::Vote))
            }
            Request::Snapshot(part) => self.snapshot_part(from, part).await,
            Request::TransferLeader(request) => {
                match self.raft.handle_transfer_leader(request).await {
                    Ok(answer) => Response::TransferLeader(answer),
                    Err(fatal) => Response::Refused(fatal.to_string().into()),
                }
            }
            Request::Propose { origin, proposal } => {
                Response::Proposed(self.propose_here(origin, *proposal).await)
            }
            Request::Renew { epoch } => Response::Renewed(self.renewals.add(from, epoch).await),
            Request::ReadIndex => Response::ReadIndex(self.read_index().await),
            Request::Member(step) => Response::Member(self.step_here(step).await),
            Request::Progress => Response::Progress(self.progress_if_leader()),
        }
    }

    async fn snapshot_part(&self, from: NodeId, part: SnapshotPart) -> Response {
        let (vote, meta) = (part.vote, part.meta.clone());
        let taken = self.incoming.lock().take(from, part);
        let rows = match taken {
            Ok(Some(rows)) => rows,
            Ok(None) => return Response::SnapshotPart,
            Err(why) => return Response::Refused(why),
        };
        self.contact_ms
            .store(self.clock.boot_ms(), Ordering::Relaxed);
        let snapshot = SnapshotData::from_rows(rows);
        let snapshot = SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot };
        match self.raft.install_full_snapshot(vote, snapshot).await {
            Ok(judged) => Response::Snapshot(judged),
            Err(fatal) => Response::Refused(fatal.to_string().into()),
        }
    }
}

fn or_refused(answer: Result<Response, RaftError<TypeConfig>>) -> Response {
    answer.unwrap_or_else(|error| Response::Refused(error.to_string().into()))
}
