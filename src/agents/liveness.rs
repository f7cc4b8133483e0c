//! Whether this node may act for its agents, and the incarnation in which it does.
//!
//! A node holds one lease, its liveness, however many agents it has. It renews it every quarter of its time, counted
//! by its own boot time from before the renewal was sent, so that it stops before the fleet can think that it has. A
//! node that was thought dead takes a new incarnation and claims again whoever is connected: there is no other path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ampora_raft::consensus::{Consensus, ProposeError, RaftStatus};
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{Origin, Proposal, RegisterNode};
use ampora_raft::time::{LeaseClock, Sent};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::room::Room;
use crate::node::origin;

/// A node alone has nobody who could think it dead.
const FOR_EVER: u64 = u64::MAX;

/// Renewals in one lease time: three may be lost in a row.
const RENEWALS_PER_TTL: u32 = 4;

/// A renewal waits for the leader's next entry, which comes twice a second.
const ANSWER_WAIT_MIN: Duration = Duration::from_secs(1);

/// After a renewal or registration that came to nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Who renews the lease of this node: the log, through its leader.
pub trait Renewals: Send + Sync + 'static {
    /// One renewal; false when this incarnation is over.
    ///
    /// # Errors
    /// Nobody could be asked, or nobody answered.
    fn renew(&self, epoch: Epoch) -> BoxFuture<'_, Result<bool, ProposeError>>;
}

impl Renewals for Consensus {
    fn renew(&self, epoch: Epoch) -> BoxFuture<'_, Result<bool, ProposeError>> {
        Box::pin(Consensus::renew(self, epoch))
    }
}

/// This node's word about itself, read by everybody who acts.
#[derive(Debug)]
pub struct Liveness {
    ttl: Duration,
    epoch: AtomicU64,
    /// Boot time until which the node may act, as the lease says, or for ever.
    until_ms: AtomicU64,
    lease: Mutex<LeaseClock>,
    wake: Notify,
}

/// What a look at the lease led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// It holds, or nobody could be asked.
    On,
    /// The fleet thinks that this incarnation is over.
    Fenced,
}

impl Liveness {
    /// An incarnation that has just been registered; it may act once the first renewal is answered, or at once when
    /// the node is alone.
    pub fn new(epoch: Epoch, ttl: Duration) -> Self {
        Self {
            ttl,
            epoch: AtomicU64::new(epoch.0),
            until_ms: AtomicU64::new(0),
            lease: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// The incarnation.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether the node may act at this boot time.
    pub fn may_act(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Acquire)
    }

    /// Whether no other node is there that could act or judge.
    pub fn is_alone(&self) -> bool {
        self.until_ms.load(Ordering::Acquire) == FOR_EVER
    }

    /// Somebody was told that this incarnation is over: it is looked at now.
    pub fn doubt(&self, epoch: Epoch) {
        if self.epoch() == epoch {
            self.wake.notify_one();
        }
    }

    fn renewed(&self, sent: Sent, ttl_ms: u64) {
        let mut lease = self.lease.lock();
        lease.answered(sent, ttl_ms);
        self.until_ms
            .store(lease.valid_until_ms(), Ordering::Release);
    }

    fn alone(&self) {
        self.until_ms.store(FOR_EVER, Ordering::Release);
    }

    /// Nothing may be done until the next renewal is answered.
    fn over(&self) {
        let mut lease = self.lease.lock();
        lease.fenced();
        self.until_ms.store(0, Ordering::Release);
    }

    fn begin(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Release);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether no other node can act or judge: nobody votes or learns beside this one, and nobody else ever registered.
fn is_alone(status: &RaftStatus, fleet: &Fleet, node: NodeId) -> bool {
    let members = status.voters.iter().chain(&status.learners);
    members.copied().all(|member| member == node) && fleet.nodes().all(|known| known.id == node)
}

/// Whether the fleet, as it is known here, has ended this incarnation: for good, whatever is not known here yet.
fn is_over(fleet: &Fleet, node: NodeId, epoch: Epoch) -> bool {
    fleet
        .node(node)
        .is_some_and(|known| known.epoch > epoch || (known.epoch == epoch && !known.live))
}

/// Keeps the lease until `stop`.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let mut acted = false;
    loop {
        let ended_ms = room.liveness.until_ms.load(Ordering::Acquire);
        let looked = tokio::select! {
            looked = look(&room) => looked,
            () = stop.cancelled() => return,
        };
        // what was held back between the end of one lease and the next waits to be woken
        acted &= !room.may_act() || room.clock.boot_ms() < ended_ms;
        let pause = match looked {
            Looked::On => room.liveness.ttl / RENEWALS_PER_TTL,
            Looked::Fenced => {
                tokio::select! {
                    () = begin_again(&room) => {}
                    () = stop.cancelled() => return,
                }
                // that was said
                acted = false;
                Duration::ZERO
            }
        };
        acted = note(&room, acted);
        let until_ms = room.liveness.until_ms.load(Ordering::Acquire);
        // while nothing may be done, a renewal that fails is tried again soon
        let pause = if acted { pause } else { pause.min(RETRY_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = room.liveness.wake.notified() => {}
            () = room.changes.next_nodes() => {}
            () = lapse(&room, until_ms), if acted => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Waits until the lease is over.
async fn lapse(room: &Room, until_ms: u64) {
    loop {
        let left_ms = until_ms.saturating_sub(room.clock.boot_ms());
        if left_ms == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left_ms)).await;
    }
}

/// Says a change once, and wakes what waited for it.
fn note(room: &Room, acted: bool) -> bool {
    let acts = room.may_act();
    match (acted, acts) {
        (false, true) => room.changes.everything(),
        (true, false) => tracing::warn!(
            epoch = room.liveness.epoch().0,
            "no quorum renews this node: agents stay connected and are acknowledged, and nothing is offered to them"
        ),
        (true, true) | (false, false) => {}
    }
    acts
}

async fn look(room: &Room) -> Looked {
    let liveness = &room.liveness;
    {
        let view = room.consensus.view();
        if is_over(&view.fleet, room.author.node, liveness.epoch()) {
            return Looked::Fenced;
        }
        if is_alone(&room.consensus.status(), &view.fleet, room.author.node) {
            liveness.alone();
            return Looked::On;
        }
        if liveness.is_alone() {
            // nobody is alone any more
            liveness.over();
        }
    }
    let epoch = liveness.epoch();
    let sent = liveness.lease.lock().sent(room.clock.boot_ms());
    let renewal = room.renewals.renew(epoch);
    let within = (liveness.ttl / RENEWALS_PER_TTL).max(ANSWER_WAIT_MIN);
    match tokio::time::timeout(within, renewal).await {
        Ok(Ok(true)) => {
            // a leader that is configured otherwise may grant less
            let view = room.consensus.view();
            let granted = view.fleet.liveness(room.author.node);
            let granted_ms = granted.map(|granted| granted.ttl_ms).filter(|ms| *ms > 0);
            let ttl_ms = ms(liveness.ttl);
            liveness.renewed(sent, granted_ms.unwrap_or(ttl_ms).min(ttl_ms));
            Looked::On
        }
        Ok(Ok(false)) => Looked::Fenced,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a renewal was not answered");
            Looked::On
        }
        Err(_elapsed) => Looked::On,
    }
}

/// Takes a new incarnation: what was decided in the old one is over, and everybody who is connected is claimed again.
async fn begin_again(room: &Arc<Room>) {
    let over = room.liveness.epoch();
    tracing::warn!(
        epoch = over.0,
        "the fleet thought this node dead: it begins again"
    );
    room.liveness.over();
    room.batches.suspend();
    // a repetition that comes late must not end the incarnation that an earlier try was given
    let origin = origin::of_node_once(room.author.node, room.entropy.bytes());
    let epoch = loop {
        if let Some(epoch) = register(&room.consensus, room.author.node, &origin).await {
            break epoch;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    // from here on no grant of the old incarnation is believed, and then none is left
    room.liveness.begin(epoch);
    room.forget_fences().await;
    let unsaid = room.batches.resume(epoch);
    room.ask_again(unsaid);
    tracing::info!(
        epoch = epoch.0,
        "a new incarnation of this node is registered"
    );
    let claimer = room.clone();
    room.tasks.spawn(async move { claimer.claim_again().await });
}

/// The new incarnation; none while it cannot be had.
async fn register(consensus: &Consensus, node: NodeId, origin: &Origin) -> Option<Epoch> {
    let known = consensus.view().fleet.node(node).cloned();
    let Some(known) = known else {
        tracing::debug!("this node was removed from the cluster");
        return None;
    };
    let proposal = Proposal::RegisterNode(RegisterNode {
        node,
        name: known.name.clone(),
        version: known.version.clone(),
        opamp_address: known.opamp_address.clone(),
        admin_address: known.admin_address.clone(),
    });
    match consensus.propose(origin.clone(), proposal).await {
        Ok(committed) => {
            if let Outcome::Registered { epoch } = committed.outcome {
                return Some(epoch);
            }
            tracing::debug!(outcome = ?committed.outcome, "a new incarnation was refused");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "a new incarnation was not committed");
            None
        }
    }
}
