//! Consensus as openraft sends it: each request through the [`PeerNetwork`] of this node, within the time that
//! openraft gives it, and snapshots in parts.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkV2};

use super::offload::offload;
use super::ports::PeerNetwork;
use super::snapshot::SnapshotData;
use super::type_config::TypeConfig;
use super::wire::{PART_BYTES, RaftRequest, Request, Response, SnapshotPart, row_bytes};
use crate::ids::NodeId;
use crate::rows::{Row, RowKey};

/// One part of a snapshot has come by then, or the whole is tried again.
const PART_DEADLINE: Duration = Duration::from_secs(10);

/// The last part is answered when the snapshot is installed: a row costs twenty times less. A node whose last part or
/// answer got lost waits for as long.
const INSTALL_PER_ROW: Duration = Duration::from_millis(1);
const INSTALL_DEADLINE: Duration = Duration::from_secs(300);

/// Makes the connections of this node.
#[derive(Clone, Debug)]
pub(super) struct Network(pub(super) Arc<dyn PeerNetwork>);

/// The connection to one node.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    network: Arc<dyn PeerNetwork>,
    target: NodeId,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Connection {
        Connection {
            network: self.0.clone(),
            target: NodeId(target),
        }
    }
}

impl Connection {
    async fn call(
        &self,
        request: Request,
        within: Duration,
    ) -> Result<Response, RPCError<TypeConfig>> {
        // openraft gives a request up at its hard limit, whatever the network does
        let called = self.network.call(self.target, RaftRequest(request), within);
        match tokio::time::timeout(within, called).await {
            Ok(Ok(response)) => Ok(response.0),
            Ok(Err(error)) => Err(RPCError::Unreachable(Unreachable::new(&error))),
            Err(_elapsed) => {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                Err(RPCError::Network(NetworkError::new(&late)))
            }
        }
    }

    async fn part(
        &self,
        part: SnapshotPart,
        install: Duration,
    ) -> Result<Response, StreamingError<TypeConfig>> {
        let within = if part.is_last { install } else { PART_DEADLINE };
        Ok(self.call(Request::Snapshot(part), within).await?)
    }

    async fn send_snapshot(
        &self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot } = snapshot;
        // parts of bodies are read from the disk
        let rows = offload(move || snapshot.rows()).await.and_then(|rows| rows);
        let rows = rows.map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
        let install = install_deadline(rows.len());
        let mut rows = rows.into_iter().peekable();
        let mut number = 0;
        loop {
            let mut bytes = 0;
            let mut taken: Vec<(RowKey, Row)> = Vec::new();
            while bytes < PART_BYTES
                && let Some((key, row)) = rows.next()
            {
                bytes += row_bytes(&row);
                taken.push((key, row));
            }
            let part = SnapshotPart {
                vote,
                meta: meta.clone(),
                number,
                rows: taken,
                is_last: rows.peek().is_none(),
            };
            let answer = self.part(part, install).await?;
            if let Response::Snapshot(judged) = answer {
                return Ok(judged);
            }
            if !matches!(answer, Response::SnapshotPart) {
                return Err(unexpected(&answer).into());
            }
            number += 1;
        }
    }
}

/// How long a snapshot of so many rows may take to be installed.
fn install_deadline(rows: usize) -> Duration {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    (PART_DEADLINE + INSTALL_PER_ROW.saturating_mul(rows)).min(INSTALL_DEADLINE)
}

fn unexpected(response: &Response) -> RPCError<TypeConfig> {
    let text = match response {
        Response::Refused(why) => why.to_string(),
        Response::Append(_)
        | Response::Vote(_)
        | Response::SnapshotPart
        | Response::Snapshot(_)
        | Response::TransferLeader(_)
        | Response::Proposed(_)
        | Response::Renewed(_)
        | Response::ReadIndex(_)
        | Response::Member(_)
        | Response::Progress(_) => "an answer to another question".to_owned(),
    };
    RPCError::Unreachable(Unreachable::new(&io::Error::other(text)))
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Request::Append(rpc), option.soft_ttl()).await?;
        if let Response::Append(response) = answer {
            return Ok(response);
        }
        Err(unexpected(&answer))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Request::Vote(rpc), option.soft_ttl()).await?;
        if let Response::Vote(response) = answer {
            return Ok(response);
        }
        Err(unexpected(&answer))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Request::PreVote(rpc), option.soft_ttl()).await?;
        if let Response::Vote(response) = answer {
            return Ok(response);
        }
        Err(unexpected(&answer))
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        match select(pin!(self.send_snapshot(vote, snapshot)), pin!(cancel)).await {
            Either::Left((sent, _)) => sent,
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::TransferLeader(request);
        let answer = self.call(request, option.soft_ttl()).await?;
        if let Response::TransferLeader(taken) = answer {
            return Ok(taken);
        }
        Err(unexpected(&answer))
    }
}
