//! `/cluster/snapshots`: a consistent copy of everything at one index, held for a while and read as a backup while the
//! node goes on.
//!
//! A copy costs nothing when it is taken, and as much memory as has changed since while it is held; so few are held, not
//! for long, and on this node alone.

mod described;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::fleet::Fleet;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{NoteSnapshot, Proposal, SnapshotStep};
use ampora_storage::backup::{self, Header, Moved};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub(crate) use described::operations;

use super::NoQuery;
use crate::api::Api;
use crate::api::backend::Backend;
use crate::api::extract::{Params, Reader, Segments, Write};
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;
use crate::api::settings::Limits;
use crate::api::timestamp::rfc3339;

/// Chunks that wait for a reader, each some 256 KiB.
const CHUNKS_WAITING: usize = 4;

/// Between two looks whether a reader has made room.
const LOOK: Duration = Duration::from_millis(5);

/// Between two looks for copies whose time is over.
const SWEEP: Duration = Duration::from_secs(10);

/// The copies of this node.
pub(crate) struct Snapshots {
    held: Mutex<VecDeque<Arc<Held>>>,
    readers: Arc<Semaphore>,
}

struct Held {
    header: Header,
    fleet: Fleet,
    agents: usize,
    until_boot_ms: u64,
    until_wall_ms: u64,
}

impl Snapshots {
    /// None yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            held: Mutex::default(),
            readers: Arc::new(Semaphore::new(limits.snapshot_readers)),
        }
    }

    /// Keeps a copy; the oldest leaves when there are too many.
    fn keep(&self, held: Arc<Held>, max: usize) {
        let mut all = self.held.lock();
        all.push_back(held);
        while all.len() > max {
            all.pop_front();
        }
    }

    fn get(&self, id: &str, boot_ms: u64) -> Option<Arc<Held>> {
        let mut all = self.held.lock();
        all.retain(|held| held.until_boot_ms > boot_ms);
        all.iter().find(|held| held.header.id == id).cloned()
    }
}

/// Drops copies whose time is over, until `stop`.
pub(crate) async fn sweep(api: Api, stop: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => drop(api.snapshots.get("", api.backend.now().boot_ms)),
            () = stop.cancelled() => return,
        }
    }
}

/// The body of `POST /cluster/snapshots`, when there is one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST /cluster/snapshots`.
///
/// The same idempotency key names the same snapshot while it is held.
pub(crate) async fn take(
    State(api): State<Api>,
    Params(NoQuery {}): Params<NoQuery>,
    write: Write,
) -> Result<Response, Problem> {
    if !write.body.is_empty() {
        let Nothing {} = write.json()?;
    }
    let id = id(&write);
    let note = NoteSnapshot {
        id: Arc::from(&*id),
        step: SnapshotStep::Take,
    };
    let committed = write.ask(&api, Proposal::NoteSnapshot(note)).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    let held = match api.snapshots.get(&id, api.backend.now().boot_ms) {
        Some(held) => held,
        None => {
            let held = Arc::new(copy(&api, id));
            let max = api.settings.limits.snapshots;
            api.snapshots.keep(Arc::clone(&held), max);
            held
        }
    };
    let location = format!("/api/v1/cluster/snapshots/{}", held.header.id);
    let mut response = (StatusCode::CREATED, Json(shown(&held))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A name that nobody guesses unless the caller chose the key, and then only by that key.
fn id(write: &Write) -> String {
    let mut sha = Sha256::new();
    if let Some(key) = &write.origin.idempotency {
        sha.update(key.digest);
        sha.update(key.key.as_bytes());
    }
    let digest: [u8; 32] = sha.finalize().into();
    hex::encode(digest.get(..16).unwrap_or_default())
}

fn copy(api: &Api, id: String) -> Held {
    let (view, now) = (api.backend.view(), api.backend.now());
    let kept = api.settings.limits.snapshot_kept;
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let meta = view.fleet.meta();
    Held {
        header: Header {
            id,
            lineage: meta.lineage,
            applied_index: view.applied_index,
            fleet_time_ms: meta.time_ms,
            created_ms: now.wall_ms,
            node: api.backend.status().node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            feature_level: meta.feature_level,
        },
        agents: view.fleet.agents_len(),
        fleet: view.fleet,
        until_boot_ms: now.boot_ms.saturating_add(kept_ms),
        until_wall_ms: now.wall_ms.saturating_add(kept_ms),
    }
}

/// A copy that is held.
#[derive(Debug, Serialize, ToSchema)]
struct Snapshot {
    /// Agents in it.
    agents: usize,
    /// The last entry of the log in it.
    applied_index: u64,
    created_at: String,
    /// This node lets go of it then.
    expires_at: String,
    id: String,
    /// The cluster that it is of.
    lineage: String,
    /// The node that holds it.
    node_id: u64,
    /// `ready`.
    state: &'static str,
}

fn shown(held: &Held) -> Snapshot {
    let header = &held.header;
    Snapshot {
        agents: held.agents,
        applied_index: header.applied_index,
        created_at: rfc3339(header.created_ms),
        expires_at: rfc3339(held.until_wall_ms),
        id: header.id.clone(),
        lineage: format!("{:032x}", header.lineage),
        node_id: header.node.0,
        state: "ready",
    }
}

/// `GET /cluster/snapshots/{id}`: the backup, as it is made from the copy.
pub(crate) async fn read(
    State(api): State<Api>,
    Params(NoQuery {}): Params<NoQuery>,
    Segments(id): Segments<String>,
    reader: Reader,
) -> Result<Response, Problem> {
    let held = api
        .snapshots
        .get(&id, api.backend.now().boot_ms)
        .ok_or_else(|| {
            Problem::new(
                Code::SnapshotNotFound,
                "this node holds no such snapshot, or no longer: take another one here",
            )
        })?;
    let permit = Arc::clone(&api.snapshots.readers).try_acquire_owned();
    let Ok(permit) = permit else {
        return Err(Problem::new(
            Code::Overloaded,
            "as many snapshots are read as may be at once",
        ));
    };
    let note = NoteSnapshot {
        id: Arc::from(&*held.header.id),
        step: SnapshotStep::Read,
    };
    let committed = reader.note(&api, Proposal::NoteSnapshot(note)).await?;
    if committed.outcome != Outcome::Done {
        return Err(refused(committed.outcome));
    }
    let name = format!(
        "attachment; filename=\"ampora-{:08x}-{}.backup\"",
        held.header.lineage >> 96,
        held.header.applied_index
    );
    let stall = api.settings.limits.snapshot_stall;
    let body = Body::from_stream(chunks(Arc::clone(&api.backend), held, permit, stall));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, body).into_response())
}

enum Piece {
    Bytes(Bytes),
    End,
    Failed(io::Error),
}

/// The bytes of a backup, made on a thread of its own as fast as they are read. A reader that takes nothing for too
/// long gets no more, so that it does not hold a copy for ever.
fn chunks(
    backend: Arc<dyn Backend>,
    held: Arc<Held>,
    permit: OwnedSemaphorePermit,
    stall: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (pieces, made) = mpsc::channel(CHUNKS_WAITING);
    drop(tokio::task::spawn_blocking(move || {
        let read = |key: &_| backend.row(key);
        let out = |chunk| hand_over(&pieces, Piece::Bytes(Bytes::from(chunk)), stall);
        let ended = match backup::export(&held.fleet, &held.header, read, out) {
            Ok(()) => Piece::End,
            Err(error) => {
                let moved = error.get_ref().is_some_and(|inner| inner.is::<Moved>());
                tracing::warn!(%error, snapshot.id = held.header.id, moved, "a snapshot was not read to its end");
                Piece::Failed(error)
            }
        };
        // whoever has gone away does not hear of it
        drop(hand_over(&pieces, ended, stall));
        drop(permit);
    }));
    stream::unfold(Some(made), |made| async move {
        let mut made = made?;
        match made.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(made))),
            Some(Piece::End) => None,
            Some(Piece::Failed(error)) => Some((Err(error), None)),
            None => Some((Err(io::Error::other("nobody makes it any more")), None)),
        }
    })
}

fn hand_over(pieces: &mpsc::Sender<Piece>, piece: Piece, stall: Duration) -> io::Result<()> {
    let mut piece = piece;
    let mut waited = Duration::ZERO;
    loop {
        match pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(io::Error::other("the reader is gone"));
            }
            Err(mpsc::error::TrySendError::Full(_)) if waited >= stall => {
                return Err(io::Error::other("the reader took nothing for too long"));
            }
            Err(mpsc::error::TrySendError::Full(back)) => piece = back,
        }
        std::thread::park_timeout(LOOK);
        waited += LOOK;
    }
}
