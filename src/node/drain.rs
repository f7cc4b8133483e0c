//! How a node leaves: first leadership and leases, which others have within milliseconds, then the doors, the sessions,
//! and the log; the membership stays as it is. Everything together ends within
//! `node.drain_seconds`; a second signal ends it at once.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::MemberStep;
use ampora_raft::proposal::Proposal;
use ampora_raft::records::{ReleaseReason, Transport};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::backend::NodeBackend;
use super::origin;
use super::run::Parts;
use crate::agents::agent::POLLS;
use crate::agents::room::Room;
use crate::config::Config;

/// The sockets get this share of the drain time, the log the rest.
const SOCKETS_SHARE: f64 = 0.8;

/// Between two looks whether the cluster goes on without this node.
const LOOK: Duration = Duration::from_millis(250);

/// Why a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A signal.
    Told,
    /// It was let in by another cluster.
    Moves,
    /// It was removed from its cluster.
    Removed,
}

/// Waits for SIGTERM or SIGINT, or for the end of membership, then closes what the node serves in order.
pub(super) async fn until_stopped(
    config: &Config,
    room: &Arc<Room>,
    backend: &Arc<NodeBackend>,
    parts: Parts,
    told_removed: impl Future<Output = ()>,
    mut signals: Signals,
) -> Why {
    notify(&[sd_notify::NotifyState::Ready]);
    let (why, name) = tokio::select! {
        name = signals.stop() => (Why::Told, name),
        () = backend.moves() => (Why::Moves, "none: the node joins another cluster"),
        () = told_removed => (Why::Removed, "none: the node was removed from its cluster"),
        () = removed(room) => (Why::Removed, "none: the node was removed from its cluster"),
    };
    notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!(
        signal = name,
        drain_seconds = config.node.drain.as_secs(),
        "stopping"
    );
    backend.set_draining();
    tokio::select! {
        () = drain(config.node.drain, room, parts, why) => {}
        name = signals.stop() => {
            tracing::warn!(signal = name, "stopping at once: a second signal came");
        }
    }
    why
}

/// Waits until the fleet says that this node was removed.
async fn removed(room: &Room) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        if room.consensus.view().fleet.is_removed(room.author.node) {
            tracing::error!("this node was removed from its cluster: it stops serving");
            return;
        }
    }
}

async fn drain(within: Duration, room: &Room, parts: Parts, why: Why) {
    // nobody listens to one that was removed
    let is_alone = room.liveness.is_alone() || why == Why::Removed;
    parts.duties.stop();
    if !is_alone
        && tokio::time::timeout(within / 4, hand_over(room))
            .await
            .is_err()
    {
        tracing::warn!("leadership and leases could not be handed over in time");
    }
    parts.opamp.stop();
    let sockets = within.mul_f64(SOCKETS_SHARE);
    if !parts.opamp.finished(sockets).await {
        tracing::warn!(
            left = parts.opamp.running(),
            "sockets did not close in time"
        );
    }
    for uid in room.registry.uids() {
        if room.registry.transport(uid) == Some(Transport::Http)
            && let Some(agent) = room.registry.get(uid)
        {
            room.leave(&agent, POLLS, ReleaseReason::Drained);
        }
    }
    parts.admin.stop();
    parts.background.stop();
    let rest = within.saturating_sub(sockets) / 2;
    parts.admin.finished(rest).await;
    parts.batches.stop();
    if !parts.batches.finished(rest).await {
        tracing::warn!("the last sessions could not be released in time");
    }
    // nothing happens to agents any more
    room.history.close();
    let written = tokio::time::timeout(rest / 2, room.history.written());
    let left = async { is_alone || tokio::time::timeout(rest / 2, leave(room)).await.is_ok() };
    let (written, is_told) = tokio::join!(written, left);
    if written.is_err() {
        tracing::warn!("the last of history could not be written in time");
    }
    if !is_told {
        tracing::warn!("the cluster was not told that this node is gone");
    }
}

/// Others lead and hold the leases from here on; the sessions stay until each is closed.
async fn hand_over(room: &Room) {
    let (node, epoch) = (room.author.node, room.liveness.epoch());
    let drain = Proposal::DrainNode { node, epoch };
    let origin = origin::of_node(node);
    if let Err(error) = room.consensus.propose(origin, drain).await {
        tracing::warn!(%error, "the leases of this node were not released");
    }
    if room.consensus.status().leader == Some(node)
        && let Err(error) = room.consensus.step(MemberStep::Lead(None)).await
    {
        tracing::warn!(%error, "leadership was not handed over");
    }
}

/// The last word of this incarnation: nobody waits for its time to be over.
async fn leave(room: &Room) {
    let (node, epoch) = (room.author.node, room.liveness.epoch());
    let leave = Proposal::LeaveNode { node, epoch };
    let origin = origin::of_node(node);
    if let Err(error) = room.consensus.propose(origin, leave).await {
        tracing::warn!(%error, "the cluster was not told that this node is gone");
    }
}

/// The signals that say stop; SIGHUP is the command line's.
pub(super) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from here on: what comes before somebody waits for it is kept.
    pub(super) fn listen() -> Self {
        let listen = |kind| {
            signal(kind)
                .inspect_err(|error| tracing::error!(%error, "cannot listen for a signal"))
                .ok()
        };
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
        }
    }

    /// The name of the signal that says stop.
    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            () = next(&mut self.terminate) => "SIGTERM",
            () = next(&mut self.interrupt) => "SIGINT",
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Tells systemd, where it asked to be told.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
